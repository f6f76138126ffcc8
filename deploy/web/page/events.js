// From the scores of a detector to events, as edgebrain/events does it.

/** Probabilities of scores, both row by row. */
function probabilities(scores, count, several) {
  if (several) return scores.map((score) => 1 / (1 + Math.exp(-score)));
  const all = new Float32Array(scores.length);
  for (let at = 0; at < scores.length; at += count) {
    const row = scores.subarray(at, at + count);
    const powers = Float64Array.from(row);
    const most = Math.max(...powers);
    powers.forEach((score, k) => (powers[k] = Math.exp(score - most)));
    const sum = powers.reduce((a, b) => a + b, 0);
    all.set(powers.map((power) => power / sum), at);
  }
  return all;
}

/** What a detector heard over time, a row each `step` seconds. */
export class Heard {
  /** @param {object} model - of contents.json */
  constructor(scores, model) {
    const { class_names: names, window, step, hop, rate } = model;
    this.names = names;
    // As the probabilities are: in 32 bits.
    [this.on, this.off] = [model.on, model.off].map(Math.fround);
    this.all = probabilities(scores, names.length, model.multi_label);
    this.rows = scores.length / names.length;
    this.step = (step * hop) / rate;
    /** Of the first row, for the middle of what it was heard in. */
    this.first = (window * hop) / rate / 2;
  }

  time(row) {
    return this.first + this.step * row;
  }

  row(number) {
    const count = this.names.length;
    return this.all.subarray(number * count, (number + 1) * count);
  }

  /** The row that stands for a time, the nearest one. */
  at(seconds) {
    const nearest = Math.round((seconds - this.first) / this.step);
    return this.row(Math.max(0, Math.min(this.rows - 1, nearest)));
  }

  /** { start, end, label, probability } by start: once on, until below off. */
  events() {
    const found = [];
    const half = this.step / 2;
    this.names.forEach((label, k) => {
      let first = 0;
      let most = 0;
      for (let row = 0; row <= this.rows; row += 1) {
        const share = row < this.rows ? this.row(row)[k] : 0;
        if (share >= this.off) {
          if (!most) first = row;
          most = Math.max(most, share);
          continue;
        }
        if (most >= this.on) {
          const start = Math.max(0, this.time(first) - half);
          const end = this.time(row - 1) + half;
          found.push({ start, end, label, probability: most });
        }
        most = 0;
      }
    });
    const before = (a, b) => (a < b ? -1 : Number(a > b));
    return found.sort(
      (a, b) => a.start - b.start || before(a.label, b.label),
    );
  }
}

/** Events as detect.py writes them. */
export function table(events) {
  const quoted = (text) =>
    /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  const lines = events.map(({ start, end, label, probability }) =>
    [
      start.toFixed(3), end.toFixed(3), quoted(label), probability.toFixed(4),
    ].join(),
  );
  return ["start,end,label,probability", ...lines, ""].join("\n");
}
