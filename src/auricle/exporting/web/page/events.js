// From scores over time to events, by the rules of `auricle tag`, and to the files that are saved.

import { cells } from "./drawing.js";

export const HYSTERESIS = 0.6; // an event lasts while the score stays above this share of its threshold
const ROUNDING = 1e-9; // seconds
const LEAST = 1.17549435e-38; // of a threshold: 0 says that another class is likelier

/** What is known of one head: which classes are reported, and how a decision is made. */
export class Head {
  constructor(description) {
    const space = description.label_space;
    this.name = description.name;
    this.output = description.scores;
    this.ids = space.ids;
    this.names = space.names;
    this.exclusive = space.kind === "multiclass";
    this.thresholds = space.thresholds.length ? space.thresholds : null;
    const background = new Set(space.background);
    this.reported = space.ids.map((_, c) => c).filter((c) => !background.has(space.ids[c]));
  }

  /** A row of scores as thresholds see it: with thresholds, only the likeliest of classes that exclude each other counts. */
  compared(row) {
    if (!this.exclusive || !this.thresholds) return row;
    const best = row.indexOf(row.reduce((a, b) => Math.max(a, b))), only = new Float32Array(row.length);
    only[best] = row[best];
    return only;
  }

  limit(c, threshold) {
    return Math.max(LEAST, this.thresholds && threshold === null ? this.thresholds[c] : threshold);
  }

  /** The reported classes by score, the highest first. */
  top(row, count) {
    return [...this.reported].sort((a, b) => row[b] - row[a] || a - b).slice(0, count);
  }
}

/**
 * The events of a head. `rows`: scores of each window; `spans`: its start and end in seconds; `threshold`: a number, or null
 * for each class its own.
 */
export function findEvents(head, rows, spans, threshold) {
  const edges = cells(spans), compared = rows.map((row) => head.compared(row)), events = [];
  for (const c of head.reported) {
    const high = Math.fround(head.limit(c, threshold)), low = high * HYSTERESIS;
    for (let first = 0; first < rows.length; ) {
      if (!(compared[first][c] >= low)) { first += 1; continue; }
      let stop = first + 1;
      while (stop < rows.length && compared[stop][c] >= low && edges[stop][0] <= edges[stop - 1][1] + ROUNDING) stop += 1;
      let score = 0;
      for (let i = first; i < stop; i++) score = Math.max(score, compared[i][c]);
      if (score >= high) events.push({ head: head.name, class: c, label: head.names[c], start: edges[first][0], end: edges[stop - 1][1], score });
      first = stop;
    }
  }
  return events.sort((a, b) => a.start - b.start || b.score - a.score || a.class - b.class);
}

/** The highest score of each class over rows. */
export function highest(rows) {
  const best = Float32Array.from(rows[0]);
  for (const row of rows) for (let c = 0; c < best.length; c++) if (row[c] > best[c]) best[c] = row[c];
  return best;
}

// ---- files
const cell = (value) => {
  const text = String(value);
  const safe = /^[=+@\t\r]|^-\D/.test(text) ? `'${text}` : text; // a spreadsheet takes these for formulas
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
};
const csv = (rows) => rows.map((row) => row.map(cell).join(",") + "\r\n").join("");
const plain = (text) => text.split(/\s+/).filter(Boolean).join(" ");

/** Every window and every class: a row per window, a column per reported class. The first row is the whole recording. */
export function scoresTable(heads, whole, seconds, byHead, spans) {
  const several = heads.length > 1;
  const columns = heads.flatMap((head) => head.reported.map((c) => (several ? `${head.name}: ${head.names[c]}` : head.names[c])));
  const values = (of) => heads.flatMap((head) => head.reported.map((c) => of(head)[c].toFixed(6)));
  const rows = spans.map(([a, b], i) => ["window", a.toFixed(3), b.toFixed(3), ...values((head) => byHead[head.output][i])]);
  const first = whole ? [["recording", "0.000", seconds.toFixed(3), ...values((head) => whole[head.output])]] : [];
  return csv([["part", "start", "end", ...columns], ...first, ...rows]);
}

export function eventsTable(events, several) {
  const head = (event) => (several ? [event.head] : []);
  return csv([
    [...(several ? ["head"] : []), "start", "end", "label", "score"],
    ...events.map((e) => [...head(e), e.start.toFixed(3), e.end.toFixed(3), e.label, e.score.toFixed(4)]),
  ]);
}

export function labelTrack(events) {
  return events.map((e) => `${e.start.toFixed(6)}\t${e.end.toFixed(6)}\t${plain(e.label)} ${e.score.toFixed(2)}\n`).join("");
}
