// Spectrograms, and other levels over time, on a canvas.

import { join, scaled } from "./engine.js";
import { ROWS, SIZE, levels } from "./spectra.js";

// From silence to full scale.
const COLOURS = [
  [10, 12, 22], [28, 24, 62], [66, 32, 104], [118, 42, 112],
  [178, 58, 98], [228, 98, 78], [249, 160, 92], [252, 246, 202],
];

const PALETTE = Uint32Array.from({ length: 256 }, (_, level) => {
  const place = (level / 255) * (COLOURS.length - 1);
  const first = Math.min(COLOURS.length - 2, Math.floor(place));
  const part = place - first;
  const mix = (k) =>
    Math.round(COLOURS[first][k] * (1 - part) + COLOURS[first + 1][k] * part);
  return (255 << 24) | (mix(2) << 16) | (mix(1) << 8) | mix(0);
});

/** A canvas that shows a whole clip, or the last columns of a stream. */
export class Picture {
  #canvas;
  #rows = ROWS;
  #store = document.createElement("canvas");
  #tail = new Int16Array(0); // of a stream, not shown yet

  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.#show()).observe(canvas);
  }

  /** Columns of levels, one after the other, each from the lowest row. */
  draw(all, rows = ROWS) {
    this.clear(all.length / rows, rows);
    this.#put(all, 0);
    this.#show();
  }

  /** Make room for a stream. */
  clear(columns, rows = ROWS) {
    this.#rows = rows;
    this.#tail = new Int16Array(0);
    this.#store.width = columns;
    this.#store.height = this.#rows;
    const context = this.#store.getContext("2d");
    context.fillStyle = `rgb(${COLOURS[0]})`;
    context.fillRect(0, 0, columns, this.#rows);
    this.#show();
  }

  /** Shift the columns of new samples in, one each `step` of them. */
  push(samples, step, gain) {
    const held = join([this.#tail, scaled(samples, gain)]);
    const count = Math.max(0, Math.floor((held.length - SIZE) / step));
    if (!count) {
      this.#tail = held;
      return;
    }
    const all = new Uint8ClampedArray(count * ROWS);
    for (let k = 0; k < count; k += 1) {
      const middle = SIZE / 2 + k * step;
      levels(held, middle, all.subarray(k * ROWS, (k + 1) * ROWS));
    }
    this.#tail = held.slice(count * step);
    this.shift(all, 0);
  }

  /** Shift columns in, `late` columns from the right end. */
  shift(all, late) {
    const count = all.length / this.#rows;
    const { width } = this.#store;
    this.#store.getContext("2d").drawImage(this.#store, -count, 0);
    this.#put(all, width - late - count);
    this.#show();
  }

  #put(all, at) {
    const rows = this.#rows;
    const count = all.length / rows;
    const image = new ImageData(count, rows);
    const pixels = new Uint32Array(image.data.buffer);
    for (let x = 0; x < count; x += 1) {
      for (let k = 0; k < rows; k += 1) {
        const y = rows - 1 - k;
        pixels[y * count + x] = PALETTE[all[x * rows + k]];
      }
    }
    this.#store.getContext("2d").putImageData(image, at, 0);
  }

  #show() {
    const { clientWidth, clientHeight } = this.#canvas;
    if (!clientWidth || !this.#store.width) return;
    const ratio = window.devicePixelRatio;
    this.#canvas.width = Math.round(clientWidth * ratio);
    this.#canvas.height = Math.round(clientHeight * ratio);
    const context = this.#canvas.getContext("2d");
    const { width, height } = this.#canvas;
    context.imageSmoothingEnabled = this.#rows === ROWS;
    context.drawImage(this.#store, 0, 0, width, height);
  }
}
