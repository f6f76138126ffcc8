// Sample rates by a short polyphase filter, block by block.
//
// A sinc of the lower Nyquist frequency in a Kaiser window. Between 48 kHz (or
// 44.1) and 16 kHz it is flat to 0.01 dB up to 7 kHz, and what would fold to
// below 7 kHz is 80 dB down; tests/deploy/web measures both.

const SIDE = 24; // samples of the lower rate on each side
const BETA = 8;

const gcd = (a, b) => (b ? gcd(b, a % b) : a);

function bessel(x) {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > 1e-12 * sum; k += 1) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function kernel(up, down) {
  // In units of a sample at `up` times the rate that comes in.
  const width = Math.max(up, down);
  const half = SIDE * width;
  const taps = new Float64Array(2 * half + 1);
  for (let i = -half; i <= half; i += 1) {
    const x = (i / width) * Math.PI;
    const sinc = i === 0 ? 1 : Math.sin(x) / x;
    const window = bessel(BETA * Math.sqrt(1 - (i / half) ** 2));
    taps[i + half] = (sinc * (up / width) * window) / bessel(BETA);
  }
  return taps;
}

export class Resampler {
  #up;
  #down;
  #taps;
  #reach;
  #held;
  #phase = 0;

  /** From a sample rate to another, both whole numbers in Hz. */
  constructor(from, to) {
    const common = gcd(from, to);
    this.#up = to / common;
    this.#down = from / common;
    this.#taps = from === to ? null : kernel(this.#up, this.#down);
    const length = this.#taps?.length ?? 1;
    this.#reach = Math.ceil(length / this.#up);
    this.#held = new Float32Array(this.#reach);
    /** Seconds that the result is late. */
    this.latency = (length - 1) / 2 / this.#up / from;
  }

  /** The samples that are done once these have come. */
  push(samples) {
    if (!this.#taps) return samples;
    const up = this.#up;
    const reach = this.#reach;
    const all = new Float32Array(reach + samples.length);
    all.set(this.#held);
    all.set(samples, reach);
    // Output k lies at k * down of the common rate, input n at n * up.
    const end = samples.length * up;
    const out = new Float32Array(
      Math.max(0, Math.ceil((end - this.#phase) / this.#down)),
    );
    for (let k = 0; k < out.length; k += 1) {
      let tap = this.#phase % up;
      let at = reach + (this.#phase - tap) / up;
      let sum = 0;
      for (; tap < this.#taps.length; tap += up, at -= 1) {
        sum += this.#taps[tap] * all[at];
      }
      out[k] = sum;
      this.#phase += this.#down;
    }
    this.#phase -= end;
    this.#held = all.slice(samples.length);
    return out;
  }
}

/** A whole clip at another rate, in step with it. */
export function resampled(samples, from, to) {
  const resampler = new Resampler(from, to);
  const late = Math.round(resampler.latency * to);
  const tail = Math.ceil((resampler.latency + 1 / to) * from);
  const all = new Float32Array(samples.length + tail);
  all.set(samples);
  const length = Math.ceil((samples.length * to) / from);
  return resampler.push(all).slice(late, late + length);
}
