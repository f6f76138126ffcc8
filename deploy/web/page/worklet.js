// The audio thread: a clip or the microphone, original and enhanced in step.

import { Engine, join, scaled, toInt16 } from "./engine.js";
import { Resampler } from "./resample.js";

const QUANTUM = 128;
const FADE_SECONDS = 0.02; // of a switch: no step, so no click
const REPORT_SECONDS = 0.04;

/** Samples that wait to be played. */
class Queue {
  #blocks = [];
  length = 0;

  push(block) {
    this.#blocks.push(block);
    this.length += block.length;
  }

  /** Take so many; what is missing stays 0. */
  take(to) {
    let at = 0;
    while (at < to.length && this.#blocks.length) {
      const count = Math.min(this.#blocks[0].length, to.length - at);
      to.set(this.#blocks[0].subarray(0, count), at);
      at += count;
      const rest = this.#blocks[0].subarray(count);
      if (rest.length) this.#blocks[0] = rest;
      else this.#blocks.shift();
    }
    this.length -= at;
    return at;
  }
}

/** A value that reaches a new one in FADE_SECONDS. */
class Ramp {
  constructor(value, rate) {
    this.value = value;
    this.target = value;
    this.step = 1 / (FADE_SECONDS * rate);
  }

  next() {
    const left = this.target - this.value;
    this.value += Math.max(-this.step, Math.min(this.step, left));
    return this.value;
  }
}

/** Two tracks that were computed before. */
class Clip {
  constructor({ dry, wet, rate, at }) {
    Object.assign(this, { dry, wet, rate, at, size: Math.round(rate / 100) });
  }

  /** The next piece of both tracks; null at the end. */
  next() {
    if (this.at >= this.dry.length) return null;
    const end = Math.min(this.dry.length, this.at + this.size);
    const piece = [
      this.dry.subarray(this.at, end),
      this.wet.subarray(this.at, end),
    ];
    this.at = end;
    return piece;
  }
}

/** What a microphone hears, led through the model. */
class Live {
  constructor({ name, bytes, gain }) {
    this.name = name;
    this.engine = new Engine(bytes);
    this.rate = this.engine.rate;
    this.gain = gain;
    this.into = new Resampler(sampleRate, this.rate);
    this.waiting = new Queue();
    this.raw = [];
    this.wet = [];
    this.scores = [];
    this.hop = new Float32Array(this.engine.hop);
    // The original, as late as the enhanced signal.
    this.late = new Int16Array(this.engine.delay + this.engine.hop);
  }

  take(samples) {
    this.waiting.push(this.into.push(samples.slice()));
  }

  next() {
    const { hop } = this.engine;
    if (this.waiting.length < hop) return null;
    this.waiting.take(this.hop);
    const raw = Int16Array.from(this.hop, (x) => toInt16(x * 32768));
    const dry = scaled(raw, this.gain);
    // What a detector hears sounds as it came.
    const wet = dry.slice();
    if (this.engine.classes) this.scores.push(this.engine.detect(dry));
    else this.engine.process(dry, wet);
    this.raw.push(raw);
    this.wet.push(wet);
    this.late.copyWithin(0, hop);
    this.late.set(dry, this.late.length - hop);
    return [this.late.slice(0, hop), wet];
  }

  /** What came since the last call: the microphone, and the model's part. */
  news() {
    const { name, raw, wet, scores } = this;
    this.raw = [];
    this.wet = [];
    this.scores = [];
    const rows = join(scores, Float32Array);
    return { name, raw: join(raw), wet: join(wet), scores: rows };
  }
}

class Player extends AudioWorkletProcessor {
  #source = null;
  #queue = new Queue();
  #out = null;
  #share = null; // 0 is the original, 1 the enhanced signal
  #volume = null;
  #undo = 1; // of the level, so that it changes no loudness
  #sinceReport = 0;
  #dropouts = 0;
  #stopping = false;
  #over = false;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => {
      try {
        this[data.what](data);
      } catch (error) {
        this.port.postMessage({ what: "failed", reason: `${error}` });
      }
    };
  }

  // -- What the page says --------------------------------------------------
  clip(data) {
    this.#begin(new Clip(data), data);
  }

  live(data) {
    this.#begin(new Live(data), data);
    // A hop is collected first; the samples beside it are for rates between
    // which pieces of changing length come.
    const hop = (this.#source.engine.hop / this.#source.rate) * sampleRate;
    this.#queue.push(new Float32Array(Math.ceil(hop) + 8));
  }

  /** New tracks of the clip that plays, from where it is. */
  exchange({ dry, wet, gain }) {
    if (!(this.#source instanceof Clip)) return;
    Object.assign(this.#source, { dry, wet });
    this.#undo = 1 / gain;
  }

  set({ share, volume, gain }) {
    if (!this.#source) return;
    this.#share.target = share;
    this.#volume.target = volume;
    this.#undo = 1 / gain;
    this.#source.gain = gain;
  }

  /** Fade out; "ended" says when that is done. After `over` comes nothing. */
  stop({ over }) {
    this.#over = over;
    this.#stopping = true;
    if (this.#source) this.#volume.target = 0;
    else this.port.postMessage({ what: "ended" });
  }

  // -- The sound -----------------------------------------------------------
  process([input], [[out]]) {
    const source = this.#source;
    if (!source) return !this.#over;
    const live = source instanceof Live;
    // A microphone that is not connected yet, or no more, is no silence.
    if (live && !input.length && !this.#stopping) return true;
    if (live && input.length) source.take(input[0]);
    while (this.#queue.length < QUANTUM) {
      const piece = source.next();
      if (!piece) break;
      this.#queue.push(this.#out.push(this.#mix(piece)));
    }
    const ended = this.#queue.take(out) < QUANTUM;
    if (ended && input.length) this.#dropouts += 1;
    this.#sinceReport += QUANTUM;
    for (let n = 0; n < out.length; n += 1) out[n] *= this.#volume.next();
    const faded = this.#stopping && this.#volume.value === 0;
    const done = faded || (ended && !live);
    if (done || this.#sinceReport >= REPORT_SECONDS * sampleRate) {
      this.#report();
    }
    if (done) {
      this.#source = null;
      this.port.postMessage({ what: "ended" });
    }
    return !(done && this.#over);
  }

  #begin(source, { share, volume, gain }) {
    this.#source = source;
    this.#queue = new Queue();
    this.#out = new Resampler(source.rate, sampleRate);
    this.#share = new Ramp(share, source.rate);
    this.#volume = new Ramp(0, sampleRate);
    this.#volume.target = volume;
    this.#undo = 1 / gain;
    this.#stopping = false;
    this.#dropouts = 0;
    this.#sinceReport = 0;
  }

  #mix([dry, wet]) {
    return Float32Array.from(dry, (sample, n) => {
      const share = this.#share.next();
      const mixed = sample + share * (wet[n] - sample);
      return (mixed * this.#undo) / 32768;
    });
  }

  #report() {
    const source = this.#source;
    const live = source instanceof Live;
    this.port.postMessage({
      what: live ? "heard" : "at",
      dropouts: this.#dropouts,
      ...(live ? source.news() : { at: source.at }),
    });
    this.#sinceReport = 0;
  }
}

registerProcessor("edgebrain-player", Player);
