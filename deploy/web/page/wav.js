// Wav files of 16 bits, sample for sample.

/** The samples of a mono file of 16 bits, or null for any other file. */
export function readWav(buffer) {
  const view = new DataView(buffer);
  const tag = (at) =>
    String.fromCharCode(...new Uint8Array(buffer, at, 4));
  if (buffer.byteLength < 12 || tag(0) !== "RIFF" || tag(8) !== "WAVE") {
    return null;
  }
  let rate = 0;
  for (let at = 12; at + 8 <= buffer.byteLength; ) {
    const size = view.getUint32(at + 4, true);
    const there = Math.min(size, buffer.byteLength - at - 8);
    if (tag(at) === "fmt " && there >= 16) {
      const [coding, channels] = [10 - 2, 10].map((k) =>
        view.getUint16(at + k, true),
      );
      if (coding !== 1 || channels !== 1) return null;
      if (view.getUint16(at + 22, true) !== 16) return null;
      rate = view.getUint32(at + 12, true);
    }
    if (tag(at) === "data") {
      if (!rate) return null;
      const end = at + 8 + (there & ~1);
      return { rate, samples: new Int16Array(buffer.slice(at + 8, end)) };
    }
    at += 8 + size + (size & 1);
  }
  return null;
}

/** A mono file of 16 bits. */
export function writeWav(samples, rate) {
  const buffer = new ArrayBuffer(44 + 2 * samples.length);
  const view = new DataView(buffer);
  const text = (at, word) =>
    [...word].forEach((c, k) => view.setUint8(at + k, c.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  new Int16Array(buffer, 44).set(samples);
  return new Blob([buffer], { type: "audio/wav" });
}
