// A worker that leads whole clips through a model, and draws them.

import { Engine, scaled } from "./engine.js";
import { columnsOf } from "./spectra.js";

const LOAD_SECONDS = 3;

self.onmessage = ({ data }) => {
  const { bytes, samples, rate, gain, columns: count } = data;
  try {
    const dry = scaled(samples, gain);
    const engine = new Engine(bytes);
    const through = (track) =>
      engine.classes ? engine.listen(track) : engine.enhance(track);
    const result = through(dry);
    // Once more of a part, now that the browser has translated the code well.
    const part = dry.subarray(0, LOAD_SECONDS * rate);
    const begun = performance.now();
    through(part);
    const busy = (performance.now() - begun) / 1000;
    const load = (busy * rate) / part.length;
    // What a detector hears sounds as it came.
    const [wet, scores] = engine.classes ? [dry, result] : [result, null];
    const columns = [dry, wet].map((track) => columnsOf(track, count));
    self.postMessage({ dry, wet, scores, rate, gain, load, columns });
  } catch (error) {
    self.postMessage({ reason: `${error}` });
  }
};
