"""Event models in the page: the scores of the board, and their timeline."""

import csv
import json
from pathlib import Path

from c_models import build
from edgebrain.events.c_library import HopStream
from edgebrain.events.detector import load_detector
from edgebrain.events.timeline import EventRules, write_csv
import numpy as np
import pytest
from scipy.signal import resample_poly
from web_browser import (
    RATE,
    bring,
    downloaded,
    opened,
    read_wav,
    write_wav,
)

ROOT = Path(__file__).parents[3]
MODELS = ("yamnet-256-esc10", "stream-66k-esc10")
#: Keeps what the worker and the audio thread of the page say.
LISTEN = """() => {
  window.said = [];
  const keep = ({ data }) => data.scores && window.said.push({
    scores: Array.from(data.scores), samples: Array.from(data.raw ?? data.dry),
  });
  const hear = (Kind, port) => class extends Kind {
    constructor(...given) {
      super(...given);
      port(this).addEventListener("message", keep);
    }
  };
  window.Worker = hear(Worker, (worker) => worker);
  window.AudioWorkletNode = hear(AudioWorkletNode, (node) => node.port);
}"""


@pytest.fixture(scope="module")
def on_host(tmp_path_factory):
    """Return a maker of the detector in C on this machine."""
    from deploy.c.generator.generate import generate

    made = {}

    def make(name):
        if name not in made:
            target = tmp_path_factory.mktemp("host") / "c"
            model = ROOT / "models" / name / "patch_int8.onnx"
            generate(model, target, "net")
            build(target, "libnet.so")
            made[name] = load_detector(target / "libnet.so")
        return made[name]

    return make


@pytest.fixture(scope="module")
def tone(folder, tmp_path_factory):
    """Return what the fake microphone plays here: a fire."""
    pcm = read_wav(folder / "examples" / "scene.wav")
    fire = np.tile(pcm[round(2.7 * RATE) : round(5.1 * RATE)], 12)
    path = tmp_path_factory.mktemp("fire") / "fire.wav"
    return write_wav(path, resample_poly(fire, 3, 1), 48000)


@pytest.fixture(scope="module")
def scene(folder, clip, tmp_path_factory):
    """Return a clip of several sounds, some of it overdriven."""
    pcm = [read_wav(folder / "examples" / "scene.wav"), read_wav(clip)]
    path = tmp_path_factory.mktemp("scene") / "scene.wav"
    return write_wav(path, np.concatenate(pcm))


def scores_of(detector, pcm):
    return HopStream(detector.network).feed(pcm / 32768)


def said(page):
    """Return the (scores, samples) that the page was given so far."""
    return [
        (np.float32(entry["scores"]), np.int16(entry["samples"]))
        for entry in page.evaluate("window.said")
    ]


def choose(page, name):
    page.get_by_label("Model").select_option(name)
    page.wait_for_selector("#status:has-text('Ready: Rain, fire')")


@pytest.mark.parametrize("code", ["vectors", "plain"])
@pytest.mark.parametrize("name", MODELS)
def test_a_file_gets_the_scores_of_the_board(
    name, code, context, address, folder, scene, on_host, tmp_path
):
    stem = name.replace("-", "_")
    loaded = folder / "models" / f"{stem}{'-simd' * (code == 'vectors')}.wasm"
    asked = []

    def answer(route):
        asked.append(route.request.url)
        route.fulfill(path=loaded)

    context.route(f"**/{stem}-simd.wasm", answer)
    context.add_init_script(f"({LISTEN})()")
    page = opened(context, address)
    choose(page, name)
    bring(page, scene)
    assert asked
    pcm, detector = read_wav(scene), on_host(name)
    scores, samples = said(page)[-1]
    np.testing.assert_array_equal(samples, pcm)
    want = scores_of(detector, pcm)
    assert len(want) > 100 and len(np.unique(want.argmax(1))) > 2
    assert scores.tobytes() == want.tobytes()
    # The table is that of detect.py, but for the exponential function.
    rules = EventRules(on=detector.unknown_below or 0.5)
    events = detector.detect(pcm.astype(np.float32) / 32768, rules)
    write_csv(tmp_path / "want.csv", events)
    got = downloaded(page, tmp_path / "got.csv").read_text()
    rows, wanted = (
        list(csv.reader(text.splitlines()))
        for text in (got, (tmp_path / "want.csv").read_text())
    )
    assert [row[:3] for row in rows] == [row[:3] for row in wanted]
    assert len(rows) > 4
    for row, other in zip(rows[1:], wanted[1:], strict=True):
        assert abs(float(row[3]) - float(other[3])) < 2e-4
    table = page.get_by_role("table", name="Events")
    assert table.get_by_role("row").count() == len(rows)
    assert not page.faults


@pytest.mark.parametrize("seconds", [0.3, 0.976, 1.2])
def test_a_short_sound_is_repeated(
    seconds, context, address, scene, on_host, tmp_path
):
    context.add_init_script(f"({LISTEN})()")
    page = opened(context, address)
    choose(page, MODELS[0])
    pcm = read_wav(scene)[: round(seconds * RATE)]
    bring(page, write_wav(tmp_path / "short.wav", pcm))
    scores, _ = said(page)[-1]
    detector = on_host(MODELS[0])
    want = detector.timeline([pcm.astype(np.float32) / 32768]).probabilities
    shape = (-1, len(detector.class_names))
    got = detector.from_logits(scores.reshape(shape))
    np.testing.assert_array_equal(got, want)


#: Leads a clip through the audio thread, faster than it would play.
OFFLINE = """async ([samples, path]) => {
  const context = new OfflineAudioContext(1, samples.length, 16000);
  await context.audioWorklet.addModule("worklet.js");
  const node = new AudioWorkletNode(context, "edgebrain-player", {
    outputChannelCount: [1], channelCount: 1, channelCountMode: "explicit"});
  const scores = [];
  node.port.onmessage = ({ data }) => scores.push(...(data.scores ?? []));
  const bytes = await (await fetch(path)).arrayBuffer();
  node.port.postMessage({
    what: "live", name: "x", bytes, share: 1, volume: 1, gain: 1 });
  const buffer = new AudioBuffer({
    length: samples.length, sampleRate: 16000 });
  buffer.copyToChannel(Float32Array.from(samples, (s) => s / 32768), 0);
  const source = new AudioBufferSourceNode(context, { buffer });
  source.connect(node).connect(context.destination);
  source.start();
  await new Promise((done) => setTimeout(done, 100)); // the message arrives
  const heard = await context.startRendering();
  await new Promise((done) => setTimeout(done, 100));
  return [scores, Array.from(heard.getChannelData(0))];
}"""


def test_the_audio_thread_gives_the_same_scores(page, scene, on_host):
    pcm = read_wav(scene)
    path = "models/yamnet_256_esc10-simd.wasm"
    scores, heard = page.evaluate(OFFLINE, [pcm.tolist(), path])
    want = scores_of(on_host(MODELS[0]), pcm).ravel()
    got = np.float32(scores)
    # The last report may come before the last rows.
    assert len(want) - 20 <= len(got) <= len(want)
    assert got.tobytes() == want[: len(got)].tobytes()
    # And the sound goes through as it came, late by a hop and 8 samples.
    heard = np.rint(np.array(heard) * 32768)
    np.testing.assert_array_equal(heard[168 + 320 :], pcm[320:-168])


def test_the_microphone_shows_what_it_hears(context, address, on_host):
    """Three times at most: a machine full of tests may starve a browser."""
    context.add_init_script(f"({LISTEN})()")
    for _ in range(3):
        page = opened(context, address)
        choose(page, MODELS[0])
        page.evaluate("window.said = []")
        page.get_by_role("button", name="Use the microphone").click()
        page.wait_for_selector("#top:has-text('crackling fire')")
        page.wait_for_timeout(3000)
        lost = page.text_content("#dropouts") != "0"
        share = page.get_by_role("listitem").filter(has_text="crackling")
        assert int(share.inner_text().split()[-2]) > 50
        page.get_by_role("button", name="Stop the microphone").click()
        page.wait_for_selector("#status:has-text('Ready: Recording')")
        table = page.get_by_role("table", name="Events")
        assert "crackling fire" in table.inner_text()
        *live, (whole, samples) = said(page)
        pieces = np.concatenate([scores for scores, _ in live])
        want = scores_of(on_host(MODELS[0]), samples).ravel()
        assert len(want) > 200
        # What came live is what the recording gives, and the host.
        assert whole.tobytes() == want.tobytes()
        assert pieces.tobytes() == want[: len(pieces)].tobytes()
        assert len(pieces) >= len(want) - 40
        assert not page.faults
        page.close()
        if not lost:
            return
    pytest.fail("three recordings, each with dropouts")


def test_a_visit_of_both_kinds_of_models(page):
    page.get_by_role("button", name="Play").click()
    choose(page, MODELS[1])
    for gone in ("Mix", "Enhanced"):
        assert not page.get_by_label(gone, exact=True).is_visible()
    assert page.get_by_role("button", name="Voice and fan").is_hidden()
    # An event leads to its sound, by keys too.
    rows = page.get_by_role("row").filter(has_text="crackling fire")
    start = rows.first.get_by_role("button")
    start.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#time:has-text('0:02 /')")
    page.get_by_role("slider", name="Position").fill("4")
    assert page.get_by_label("Heard now").inner_text() == "crackling fire"
    # While the microphone runs too.
    page.get_by_role("button", name="Use the microphone").click()
    page.wait_for_selector("#status:has-text('microphone runs')")
    for name in ("tcnn-120k", MODELS[0], "lstm-110k", MODELS[1]):
        page.get_by_label("Model").select_option(name)
        page.wait_for_timeout(300)
    page.wait_for_selector("#classes li:has-text('%')")
    page.get_by_role("button", name="Stop the microphone").click()
    page.wait_for_selector("#status:has-text('Ready: Recording')")
    page.get_by_label("Model").select_option("tcnn-120k")
    page.wait_for_selector("#status:has-text('Ready: Recording')")
    assert not page.is_visible("#timeline")
    assert not page.is_visible("#trouble")


@pytest.mark.parametrize("width", [320, 390, 1100])
def test_the_timeline_fits_the_screen(width, context, address):
    page = opened(context, address)
    page.set_viewport_size({"width": width, "height": 800})
    choose(page, MODELS[0])
    wide = "document.documentElement.scrollWidth"
    assert page.evaluate(wide) == width
    assert page.locator("#scores").bounding_box()["width"] > 120


def test_names_of_classes_are_text_and_nothing_else(
    context, address, folder, tmp_path
):
    contents = json.loads((folder / "contents.json").read_text())
    names = ["<img src=x onerror=alert(1)>", 'a "quoted", name']
    for model in contents["models"]:
        if model["task"] == "events":
            model["class_names"][2], model["class_names"][6] = names
    context.route(
        "**/contents.json", lambda route: route.fulfill(json=contents)
    )
    page = opened(context, address)
    choose(page, MODELS[0])
    assert names[0] in page.locator("#classes").inner_text()
    assert names[0] in page.get_by_role("table").inner_text()
    assert not page.locator("main img").count()
    written = downloaded(page, tmp_path / "events.csv").read_text()
    labels = [row["label"] for row in csv.DictReader(written.splitlines())]
    assert names[0] in labels and names[1] in labels
