// Reads the figures that Prometheus reads: the text of /metrics, as series that can be asked for.

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

export class Figures {
  constructor(text) {
    this.series = new Map();
    for (const line of text.split("\n")) {
      const found = LINE.exec(line);
      if (!found) continue;
      const labels = {};
      for (const [, name, value] of (found[2] ?? "").matchAll(LABEL)) labels[name] = value.replace(/\\(.)/g, "$1");
      if (!this.series.has(found[1])) this.series.set(found[1], []);
      this.series.get(found[1]).push({ labels, value: Number(found[3]) });
    }
  }

  all(name, wanted = {}) {
    const fits = ({ labels }) => Object.entries(wanted).every(([key, value]) => labels[key] === value);
    return (this.series.get(name) ?? []).filter(fits);
  }

  /** The sum of the series that fit; null where there is none. */
  sum(name, wanted = {}) {
    const found = this.all(name, wanted);
    return found.length ? found.reduce((sum, { value }) => sum + value, 0) : null;
  }

  /** A quantile of a histogram since the server's start, as its buckets tell it; null without observations. */
  quantile(name, part, wanted = {}) {
    const sums = new Map();
    for (const { labels, value } of this.all(`${name}_bucket`, wanted)) {
      const edge = labels.le === "+Inf" ? Infinity : Number(labels.le);
      sums.set(edge, (sums.get(edge) ?? 0) + value);
    }
    const edges = [...sums].sort(([a], [b]) => a - b);
    const total = edges.at(-1)?.[1] ?? 0;
    if (!total) return null;
    let [low, below] = [0, 0];
    for (const [edge, count] of edges) {
      if (count >= part * total) {
        return edge === Infinity ? low : low + ((edge - low) * (part * total - below)) / Math.max(1, count - below);
      }
      [low, below] = [edge, count];
    }
    return low;
  }
}
