// What a detector hears: probabilities over time, and the events in them.

import { Heard } from "./events.js";
import { Picture } from "./picture.js";

const $ = (id) => document.getElementById(id);
const percent = (share) => `${Math.round(100 * share)} %`;
const readable = (name) => name.replaceAll("_", " ");

/** Levels of a row of probabilities, the first class on top. */
const levels = (row) =>
  Uint8ClampedArray.from(row, (share) => 255 * share).reverse();

function element(tag, text = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

export class Timeline {
  #model = null;
  #picture = new Picture($("scores"));
  #seek;
  /** The result of a clip; null where there is none. */
  heard = null;

  /** @param {(seconds: number) => void} seek - to where an event starts */
  constructor(seek) {
    this.#seek = seek;
  }

  /** Show the classes of another model. */
  model(model) {
    this.#model = model;
    const entries = model.class_names.map((name) => {
      const entry = element("li");
      entry.append(element("b", readable(name)), element("span"));
      return entry;
    });
    $("classes").replaceChildren(...entries);
    $("timeline").style.setProperty("--rows", entries.length);
    const { window, step, hop, rate, on, off } = model;
    $("rules").textContent =
      `Each ${(1000 * step * hop) / rate} ms the model judges the last ` +
      `${((window * hop) / rate).toFixed(2)} s. An event begins where a ` +
      `probability reaches ${percent(on)}, and lasts until it is below ` +
      `${percent(off)}. The model knows these sounds and no other.`;
  }

  /** Draw the scores of a clip in so many columns; list its events. */
  draw(scores, seconds, columns) {
    const heard = new Heard(scores, this.#model);
    this.heard = heard;
    const count = heard.names.length;
    const all = new Uint8ClampedArray(columns * count);
    for (let row = 0; row < heard.rows; row += 1) {
      // From the first column of a row to that of the next, one at least;
      // of rows that share one each class shows its highest.
      const [from, to] = [-0.5, 0.5].map((part) =>
        Math.floor(((heard.time(row) + part * heard.step) * columns) / seconds),
      );
      const own = levels(heard.row(row));
      for (let x = Math.max(0, from); x < Math.max(to, from + 1); x += 1) {
        for (let k = 0; k < count && x < columns; k += 1) {
          const place = x * count + k;
          all[place] = Math.max(all[place], own[k]);
        }
      }
    }
    this.#picture.draw(all, count);
    this.#list(heard.events());
    this.at(0);
  }

  /** Make room for a stream, in columns of 10 ms. */
  clear(columns) {
    this.heard = null;
    this.#picture.clear(columns, this.#model.class_names.length);
    this.#list([]);
  }

  /** Shift new scores in: each where the middle of its window was. */
  push(scores) {
    const heard = new Heard(scores, this.#model);
    const columns = Math.round(100 * heard.step);
    const late = Math.round(100 * (heard.first - heard.step / 2));
    for (let row = 0; row < heard.rows; row += 1) {
      const one = levels(heard.row(row));
      const all = new Uint8ClampedArray(columns * one.length);
      for (let x = 0; x < columns; x += 1) all.set(one, x * one.length);
      this.#picture.shift(all, late);
      this.#show(heard.row(row));
    }
  }

  /** Show the probabilities of a moment of the clip. */
  at(seconds) {
    if (this.heard) this.#show(this.heard.at(seconds));
  }

  #show(row) {
    const best = row.indexOf(Math.max(...row));
    const name = readable(this.#model.class_names[best]);
    const sure = row[best] >= this.#model.on;
    const text = sure ? name : "no event";
    // A new text is read aloud, so only when it changes.
    if ($("top").textContent !== text) $("top").textContent = text;
    $("top").classList.toggle("soft", !sure);
    [...$("classes").children].forEach((entry, k) => {
      entry.lastChild.textContent = percent(row[k]);
      entry.style.setProperty("--share", row[k]);
    });
  }

  #list(events) {
    const rows = events.map(({ start, end, label, probability }) => {
      const row = element("tr");
      const button = element("button", `${start.toFixed(2)} s`);
      button.type = "button";
      button.setAttribute("aria-label", `Go to ${button.textContent}`);
      button.addEventListener("click", () => this.#seek(start));
      const first = element("td");
      first.append(button);
      const name = element("th", readable(label));
      name.scope = "row";
      row.append(first, element("td", `${end.toFixed(2)} s`), name);
      row.append(element("td", percent(probability)));
      return row;
    });
    $("events").tBodies[0].replaceChildren(...rows);
    $("events").hidden = !rows.length;
    $("none").hidden = rows.length > 0;
  }
}
