// A worker that enhances whole clips, and draws them.

import { Engine, scaled } from "./engine.js";
import { columnsOf } from "./spectra.js";

self.onmessage = ({ data }) => {
  const { bytes, samples, rate, gain, columns: count } = data;
  try {
    const dry = scaled(samples, gain);
    const engine = new Engine(bytes);
    const begun = performance.now();
    const wet = engine.enhance(dry);
    const busy = (performance.now() - begun) / 1000;
    const columns = [dry, wet].map((track) => columnsOf(track, count));
    self.postMessage({ dry, wet, rate, gain, busy, columns });
  } catch (error) {
    self.postMessage({ reason: `${error}` });
  }
};
