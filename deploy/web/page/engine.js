// The C code of a model as WebAssembly, for a worker and the audio thread.

// A function of one instruction on vectors: valid where the browser has them.
const VECTORS = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0,
  10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
]);
const PAGE_BYTES = 65536;
const HOPS = 64; // at a time, of what goes in and out of the memory

export const hasVectors = () => WebAssembly.validate(VECTORS);

const MAGIC = 1.5 * 2 ** 52;

/** Round half to even, as the C code and numpy do. */
export const rint = (value) => value + MAGIC - MAGIC;

/** Round to 16 bits; what is beyond them is cut off. */
export const toInt16 = (value) =>
  rint(Math.max(-32768, Math.min(32767, value)));

/** Samples times a factor. */
export function scaled(samples, factor) {
  if (factor === 1) return samples;
  return Int16Array.from(samples, (sample) => toInt16(sample * factor));
}

/** Pieces of one kind, one after the other. */
export function join(parts, Kind = Int16Array) {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const all = new Kind(length);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** One stream through a model, an enhancer or a detector. */
export class Engine {
  #c;
  #state;
  #at;
  #scores;

  /** @param {BufferSource} bytes - a .wasm file of deploy/web.py */
  constructor(bytes) {
    const module = new WebAssembly.Module(bytes);
    this.#c = new WebAssembly.Instance(module).exports;
    this.about = JSON.parse(this.#text(this.#c.eb_describe()));
    this.hop = this.about.signal.hop_length;
    this.rate = this.about.signal.sample_rate;
    /** Samples that the output is late, beside the hop itself. */
    this.delay = this.about.delay ?? 0;
    /** How many scores a detector gives at a time; an enhancer gives none. */
    this.classes = this.about.class_names?.length ?? 0;
    // The state and buffers lie behind all that the module has itself.
    const size = this.#c.eb_size();
    const wanted = size + HOPS * (2 * this.hop + 4 * (this.classes + 1)) + 8;
    const pages = Math.ceil(wanted / PAGE_BYTES);
    this.#state = this.#c.memory.grow(pages) * PAGE_BYTES;
    this.#at = this.#state + Math.ceil(size / 8) * 8;
    this.#scores = this.#at + 2 * HOPS * this.hop;
    this.#c.eb_init(this.#state, size);
  }

  reset() {
    this.#c.eb_reset(this.#state);
  }

  /** Whole hops of int16 samples from `from` to `to`, of one length. */
  process(from, to) {
    for (const { view, hops, at } of this.#pieces(from)) {
      this.#c.eb_process_hops(this.#state, this.#at, this.#at, hops, this.hop);
      to.set(view, at);
    }
  }

  /** Whole hops of int16 samples: the scores that they bring, row by row. */
  detect(from) {
    const rows = [];
    const times = this.#scores + 4 * HOPS * this.classes;
    for (const { hops } of this.#pieces(from)) {
      const places = [this.#at, this.#scores, times];
      const count = this.#c.eb_detect_hops(this.#state, ...places, hops);
      const { buffer } = this.#c.memory;
      const size = count * this.classes;
      rows.push(new Float32Array(buffer, this.#scores, size).slice());
    }
    return join(rows, Float32Array);
  }

  /** Put hops where the C code reads them, some after the others. */
  *#pieces(from) {
    const step = HOPS * this.hop;
    for (let at = 0; at < from.length; at += step) {
      const count = Math.min(step, from.length - at);
      const view = new Int16Array(this.#c.memory.buffer, this.#at, count);
      view.set(from.subarray(at, at + count));
      yield { view, hops: count / this.hop, at };
    }
  }

  /** Enhance a clip from its start: as many samples, in step with it. */
  enhance(samples) {
    this.reset();
    const hops = Math.ceil((samples.length + this.delay) / this.hop);
    const padded = new Int16Array(hops * this.hop);
    padded.set(samples);
    this.process(padded, padded);
    return padded.slice(this.delay, this.delay + samples.length);
  }

  /** The scores of a clip; one that is too short for any is repeated. */
  listen(samples) {
    const { first_hop: first, frames } = this.about;
    this.reset();
    const hops = Math.floor(samples.length / this.hop);
    const scores = this.detect(samples.subarray(0, hops * this.hop));
    if (scores.length) return scores;
    this.reset();
    const least = (first + frames) * this.hop;
    return this.detect(
      Int16Array.from({ length: least }, (_, n) => samples[n % samples.length]),
    );
  }

  // There is no TextDecoder in an audio thread; the text is ASCII.
  #text(at) {
    const bytes = new Uint8Array(this.#c.memory.buffer, at);
    let end = 0;
    while (bytes[end]) end += 1;
    return String.fromCharCode(...bytes.subarray(0, end));
  }
}
