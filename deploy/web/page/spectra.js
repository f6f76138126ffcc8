// Spectra as columns of levels: 0 to 255, from silence to full scale.

export const SIZE = 512;
export const ROWS = SIZE / 2;
const LOW_DB = -95;
const HIGH_DB = -15;
const WINDOW = Float32Array.from({ length: SIZE }, (_, n) =>
  0.5 - 0.5 * Math.cos((2 * Math.PI * n) / SIZE),
);
const TURNS = Float32Array.from({ length: SIZE }, (_, n) =>
  Math.cos((2 * Math.PI * n) / SIZE),
);
/** Fast Fourier transform in place, radix 2. */
function transform(real, imag) {
  for (let i = 1, j = 0; i < SIZE; i += 1) {
    let bit = SIZE >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) [real[i], real[j]] = [real[j], real[i]];
  }
  for (let length = 2; length <= SIZE; length *= 2) {
    const turn = SIZE / length;
    for (let start = 0; start < SIZE; start += length) {
      for (let k = 0; k < length / 2; k += 1) {
        const a = start + k;
        const b = a + length / 2;
        const c = TURNS[k * turn];
        const s = -TURNS[(k * turn + (3 * SIZE) / 4) % SIZE];
        const re = real[b] * c - imag[b] * s;
        const im = real[b] * s + imag[b] * c;
        real[b] = real[a] - re;
        imag[b] = imag[a] - im;
        real[a] += re;
        imag[a] += im;
      }
    }
  }
}

const real = new Float32Array(SIZE);
const imag = new Float32Array(SIZE);

/** The column of the SIZE samples around `middle`, low frequencies first. */
export function levels(samples, middle, to) {
  const start = middle - SIZE / 2;
  for (let n = 0; n < SIZE; n += 1) {
    real[n] = ((samples[start + n] ?? 0) / 32768) * WINDOW[n];
  }
  imag.fill(0);
  transform(real, imag);
  for (let k = 0; k < ROWS; k += 1) {
    const power = (real[k] ** 2 + imag[k] ** 2) / (SIZE / 4) ** 2;
    const db = 10 * Math.log10(power + 1e-12);
    to[k] = (255 * (db - LOW_DB)) / (HIGH_DB - LOW_DB);
  }
}

/** So many columns of a whole clip, one after the other. */
export function columnsOf(samples, columns) {
  const all = new Uint8ClampedArray(columns * ROWS);
  for (let k = 0; k < columns; k += 1) {
    const middle = Math.floor(((k + 0.5) * samples.length) / columns);
    levels(samples, middle, all.subarray(k * ROWS, (k + 1) * ROWS));
  }
  return all;
}
