// What a visitor brings: files and examples, as samples.

import { toInt16 } from "./engine.js";
import { Trouble } from "./models.js";
import { resampled } from "./resample.js";
import { readWav } from "./wav.js";

export const MOST_MINUTES = 20;

/** A named piece of sound, mono, 16 bits. */
export class Clip {
  constructor(name, samples, rate) {
    this.name = name;
    this.samples = samples;
    this.rate = rate;
  }

  at(rate) {
    if (rate === this.rate) return this.samples;
    const floats = Float32Array.from(this.samples);
    return Int16Array.from(resampled(floats, this.rate, rate), toInt16);
  }
}

function mono(audio) {
  const count = audio.numberOfChannels;
  const channels = Array.from({ length: count }, (_, c) =>
    audio.getChannelData(c),
  );
  return Int16Array.from({ length: audio.length }, (_, n) => {
    let sum = 0;
    for (const channel of channels) sum += channel[n];
    return toInt16((sum / count) * 32768);
  });
}

/** Read a file at a sample rate; a mono wav of 16 bits at its own. */
export async function readClip(name, buffer, rate) {
  let clip;
  const exact = readWav(buffer);
  if (exact) {
    clip = new Clip(name, exact.samples, exact.rate);
  } else {
    const decoder = new OfflineAudioContext(1, 1, rate);
    let audio;
    try {
      audio = await decoder.decodeAudioData(buffer);
    } catch {
      throw new Trouble(
        `${name} is no sound that this browser can read, or is damaged: try ` +
          "a wav, mp3, ogg or flac file.",
      );
    }
    clip = new Clip(name, mono(audio), rate);
  }
  if (!clip.samples.length) {
    throw new Trouble(`${name} holds no sound: try another file.`);
  }
  if (clip.samples.length > MOST_MINUTES * 60 * clip.rate) {
    throw new Trouble(
      `${name} is longer than ${MOST_MINUTES} minutes: cut it, or use ` +
        "enhance.py.",
    );
  }
  return clip;
}
