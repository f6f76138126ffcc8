// The page: what a visitor does, and what is shown of it.

import { Clip, MOST_MINUTES, readClip } from "./clips.js";
import { join, toInt16 } from "./engine.js";
import { table } from "./events.js";
import { Trouble, bytesOf, code, contents } from "./models.js";
import { Picture } from "./picture.js";
import { Sound } from "./sound.js";
import { Timeline } from "./timeline.js";
import { writeWav } from "./wav.js";

const $ = (id) => document.getElementById(id);
const CLIP_COLUMNS = 900;
const LIVE_COLUMNS = 600; // of 10 ms
const pictures = { dry: new Picture($("dry")), wet: new Picture($("wet")) };
const timeline = new Timeline((seconds) => asked(() => seek(seconds))());
const worker = new Worker("render.js", { type: "module" });

let models = []; // of contents.json
let examples = []; // of contents.json
let model = null; // the one in use, with the bytes of its code
let clip = null; // what was opened or recorded
let tracks = null; // { dry, wet, rate, gain }: the clip through the model
let sound = null;
let mode = "idle"; // or "playing", or "live"
let at = 0; // seconds
let rendering = "no"; // or "yes", or "again": what came meanwhile is next
let recording = { parts: [], samples: 0 };

// -- What is shown -----------------------------------------------------------
const gain = () => 10 ** ($("level").value / 20);
const mix = () => $("mix").value / 100;
const heard = () => document.querySelector("[name=heard]:checked").value;
const duration = () => (tracks ? tracks.dry.length / tracks.rate : 0);
const detects = () => model?.task === "events";
const percent = (share) => `${(100 * share).toPrecision(2)} %`;

function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

function say(text) {
  $("status").textContent = text;
}

/** Show what went wrong, as a sentence; nothing takes it away. */
function complain(error) {
  const known = error instanceof Trouble;
  if (!known) console.error(error);
  $("trouble").textContent = known
    ? error.message
    : `This went wrong, and should not: ${error.message ?? error}.`;
  $("trouble").hidden = false;
  say("");
}

/** Do what a visitor asked for, one thing after another. */
let line = Promise.resolve();
const asked = (task) => (event) => {
  line = line.then(async () => {
    $("trouble").hidden = true;
    try {
      await task(event);
    } catch (error) {
      complain(error);
    }
    refresh();
  });
};

function refresh() {
  const live = mode === "live";
  document.body.classList.toggle("live", live);
  $("transport").hidden = live;
  $("listen-row").hidden = !live;
  $("microphone").setAttribute("aria-pressed", live);
  $("microphone").textContent = live
    ? "Stop the microphone"
    : "Use the microphone";
  $("play").textContent = mode === "playing" ? "Pause" : "Play";
  for (const id of ["play", "position"]) $(id).disabled = !tracks;
  // What is still being made would be the clip of the settings before.
  $("download").disabled = !tracks || rendering !== "no";
  for (const example of $("examples").children) {
    const shown = !live && example.textContent === clip?.name;
    example.setAttribute("aria-pressed", shown);
  }
  for (const figure of document.querySelectorAll("figure")) {
    figure.classList.toggle("heard", figure.dataset.track === heard());
  }
  const level = Number($("level").value);
  $("level-value").textContent = `${level > 0 ? "+" : ""}${level} dB`;
  $("mix-value").textContent = `${$("mix").value} %`;
  const limit = -20 * Math.log10(1 - mix());
  $("mix-note").textContent = Number.isFinite(limit)
    ? `Attenuation limit: at most ${limit.toFixed(1)} dB is taken away.`
    : "No attenuation limit: all that the model takes away.";
  showPosition();
  showLatency();
}

function showPosition() {
  $("position").max = duration();
  $("position").value = at;
  const text = `${clock(at)} / ${clock(duration())}`;
  $("time").textContent = text;
  $("position").setAttribute("aria-valuetext", text.replace("/", "of"));
  const share = duration() ? at / duration() : 0;
  $("stage").style.setProperty("--at", `${100 * share}%`);
  if (mode !== "live" && detects()) timeline.at(at);
}

function showLatency() {
  if (!model) return;
  const late = detects() ? frames(model.window) : model.latency;
  const own = `${(1000 * late).toFixed(0)} ms`;
  const browser = mode === "live" ? 1000 * sound.latency : 0;
  $("latency").textContent = browser
    ? `${own} + ${browser.toFixed(0)} ms of the browser`
    : own;
}

const frames = (count) => (count * model.hop) / model.rate;

function showModel() {
  const { network, precision, macs, rate } = model;
  $("model-note").textContent =
    `${network}, ${precision}, ${Math.round(macs / 1000)} k ` +
    `multiplications a frame of ${1000 * frames(1)} ms.`;
  for (const part of document.querySelectorAll("[data-task]")) {
    part.hidden = part.dataset.task !== model.task;
  }
  document.body.classList.toggle("detects", detects());
  if (detects()) timeline.model(model);
  $("size").textContent = `${Math.round(model.bytes.byteLength / 1000)} kB`;
  for (const hertz of document.querySelectorAll(".hertz")) {
    hertz.textContent = `0 to ${rate / 2000} kHz`;
  }
}

// -- Clips -------------------------------------------------------------------
/** Lead the clip through the model; what plays goes on with the result. */
function render() {
  if (!clip) return;
  if (rendering !== "no") {
    rendering = "again";
    return;
  }
  rendering = "yes";
  refresh();
  const { bytes, rate } = model;
  worker.postMessage({
    bytes, rate, samples: clip.at(rate), gain: gain(), columns: CLIP_COLUMNS,
  });
}

function rendered({ reason, dry, wet, scores, rate, gain, load, columns }) {
  const stale = rendering === "again";
  rendering = "no";
  if (stale) {
    render();
    return;
  }
  if (reason) {
    refresh();
    complain(new Error(reason));
    return;
  }
  tracks = { dry, wet, rate, gain };
  at = Math.min(at, duration());
  if (mode === "playing") sound.exchange(tracks);
  // An audio thread has no clock that is fine enough; this is the same code.
  $("load").textContent = percent(load);
  if (mode !== "live") {
    pictures.dry.draw(columns[0]);
    pictures.wet.draw(columns[1]);
    if (scores) timeline.draw(scores, duration(), CLIP_COLUMNS);
    say(`Ready: ${clip.name}, ${duration().toFixed(1)} s.`);
  }
  refresh();
}

async function open(name, read) {
  await stop();
  say(`Opening ${name}.`);
  show(await readClip(name, await read(), model.rate));
}

function show(opened) {
  clip = opened;
  tracks = null;
  at = 0;
  $("name").textContent = clip.name;
  render();
}

const settings = () => ({
  share: heard() === "wet" ? mix() : 0,
  volume: mode === "live" ? Number($("listen").checked) : 1,
  gain: mode === "live" ? gain() : tracks.gain,
});

async function play() {
  if (mode === "playing") {
    await stop();
    return;
  }
  if (at >= duration() - 0.01) at = 0;
  mode = "playing";
  const from = Math.round(at * tracks.rate);
  await sound.clip({ ...tracks, at: from }, settings());
}

async function stop() {
  await sound.stop();
  const was = mode;
  mode = "idle";
  if (was === "live" && recording.samples) {
    show(new Clip("Recording", join(recording.parts), model.rate));
  }
}

async function seek(seconds) {
  const playing = mode === "playing";
  if (playing) await stop();
  at = Math.max(0, Math.min(duration(), seconds));
  if (playing) await play();
}

/** The clip as it is heard: mixed, and as loud as it came. */
function mixed() {
  const { dry, wet, rate, gain: level } = tracks;
  const share = mix();
  const sample = (n) => dry[n] + share * (wet[n] - dry[n]);
  return writeWav(dry.map((_, n) => toInt16(sample(n) / level)), rate);
}

const eventsFile = () =>
  new Blob([table(timeline.heard.events())], { type: "text/csv" });

function download() {
  const [blob, end] = detects()
    ? [eventsFile(), "events.csv"]
    : [mixed(), "enhanced.wav"];
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${clip.name.replace(/\.[^.]*$/, "")}_${end}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  say(`Written: ${link.download}.`);
}

// -- The microphone ----------------------------------------------------------
async function microphone() {
  const running = mode === "live";
  await stop();
  if (running) return;
  say("Waiting for the microphone.");
  recording = { parts: [], samples: 0 };
  mode = "live";
  try {
    await sound.live(model, settings());
  } catch (error) {
    mode = "idle";
    await sound.stop();
    throw error;
  }
  pictures.dry.clear(LIVE_COLUMNS);
  pictures.wet.clear(LIVE_COLUMNS);
  if (detects()) timeline.clear(LIVE_COLUMNS);
  $("name").textContent = "Microphone";
  say("The microphone runs. What it hears can be played when you stop it.");
}

/** What came from the microphone in the last moment. */
function hear({ name, raw, wet, scores, dropouts }) {
  recording.parts.push(raw);
  recording.samples += raw.length;
  $("dropouts").textContent = dropouts;
  const step = model.rate / 100;
  pictures.dry.push(raw, step, gain());
  pictures.wet.push(wet, step, 1);
  // Not what the model before the present one still said.
  if (name === model.name && detects()) timeline.push(scores);
  if (recording.samples === raw.length) refresh(); // the latency is known now
  if (recording.samples > MOST_MINUTES * 60 * model.rate) asked(microphone)();
}

// -- The beginning -----------------------------------------------------------
const chosen = () => models.find(({ name }) => name === $("model").value);

async function choose(entry) {
  const bytes = await code(entry);
  const otherTask = model && model.task !== entry.task;
  const otherRate = model && model.rate !== entry.rate;
  if (otherRate || (otherTask && mode === "playing")) await stop();
  if (otherTask) tracks = null;
  model = { ...entry, bytes };
  showModel();
  if (mode === "live") {
    sound.model(model, settings());
    if (detects()) timeline.clear(LIVE_COLUMNS);
  }
  const [first] = examples.filter(({ task }) => task === model.task);
  const others = examples.filter(({ task }) => task !== model.task);
  const stays = clip && !others.some(({ name }) => name === clip.name);
  if (stays || mode === "live") render();
  else await open(first.name, () => bytesOf(first.file));
}

const listeners = {
  heard: hear,
  at: (data) => {
    at = data.at / tracks.rate;
    showPosition();
  },
  ended: asked(async () => {
    await stop();
    at = duration();
  }),
  failed: ({ reason }) => complain(new Error(reason)),
};

function connect() {
  const on = (id, event, task) => $(id).addEventListener(event, asked(task));
  on("play", "click", play);
  on("download", "click", download);
  on("microphone", "click", microphone);
  on("position", "input", () => seek(Number($("position").value)));
  on("model", "change", () => choose(chosen()));
  const change = () => {
    refresh();
    if (mode !== "idle") sound.set(settings());
  };
  for (const id of ["mix", "listen"]) $(id).addEventListener("input", change);
  for (const radio of document.getElementsByName("heard")) {
    radio.addEventListener("change", change);
  }
  $("level").addEventListener("input", () => {
    change();
    if (mode !== "live") render();
  });
  on("file", "change", async () => {
    const [file] = $("file").files;
    $("file").value = ""; // the same file may be opened again
    if (file) await open(file.name, () => file.arrayBuffer());
  });
  for (const figure of document.querySelectorAll("figure")) {
    figure.addEventListener("click", asked(async (event) => {
      const { left, width } = figure.getBoundingClientRect();
      const share = (event.clientX - left) / width;
      if (mode !== "live" && tracks) await seek(share * duration());
    }));
  }
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  document.addEventListener("dragleave", () =>
    document.body.classList.remove("dropping"),
  );
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const [file] = event.dataTransfer.files;
    if (file) asked(() => open(file.name, () => file.arrayBuffer()))();
  });
}

asked(async () => {
  const found = await contents();
  ({ models, examples } = found);
  for (const group of $("model").children) {
    const own = models.filter(({ task }) => task === group.dataset.of);
    group.append(...own.map(({ name }) => new Option(name)));
    group.hidden = !own.length;
  }
  const wanted = new URLSearchParams(location.search).get("context_rate");
  sound = new Sound(Number(wanted) || models[0].rate, (message) =>
    listeners[message.what](message),
  );
  worker.onmessage = ({ data }) => rendered(data);
  worker.onerror = () =>
    complain(new Trouble("render.js cannot be used: build the page again."));
  for (const { name, file, task } of examples) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.dataset.task = task;
    const read = asked(() => open(name, () => bytesOf(file)));
    button.addEventListener("click", read);
    $("examples").append(button);
  }
  connect();
  await choose(chosen());
})();
