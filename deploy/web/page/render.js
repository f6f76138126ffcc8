// A worker that enhances whole clips, and draws them.

import { Engine, scaled } from "./engine.js";
import { columnsOf } from "./spectra.js";

const LOAD_SECONDS = 3;

self.onmessage = ({ data }) => {
  const { bytes, samples, rate, gain, columns: count } = data;
  try {
    const dry = scaled(samples, gain);
    const engine = new Engine(bytes);
    const wet = engine.enhance(dry);
    // Once more of a part, now that the browser has translated the code well.
    const part = dry.subarray(0, LOAD_SECONDS * rate);
    const begun = performance.now();
    engine.enhance(part);
    const busy = (performance.now() - begun) / 1000;
    const load = (busy * rate) / part.length;
    const columns = [dry, wet].map((track) => columnsOf(track, count));
    self.postMessage({ dry, wet, rate, gain, load, columns });
  } catch (error) {
    self.postMessage({ reason: `${error}` });
  }
};
