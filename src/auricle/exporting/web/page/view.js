// What is shown of the answers: labels of the whole, a lane for each class over time, events.

import { COLOURS, cells, clock, drawScores, drawWaveform } from "./drawing.js";
import { at, dot, element, scoreText, seconds } from "./parts.js";

const LANES = 8; // classes shown over time, besides those with events
const MOST_LANES = 16;
const MOST_EVENTS = 200; // in the table; the files hold all

/** The likeliest labels, each with a bar. `detected`: classes that reach their own threshold; null where there are none. */
export function labelList(head, row, count, ranks, detected) {
  const list = element("ol", { className: "labels" });
  for (const c of head.top(row, count)) {
    const bar = element("span", { className: "bar", ariaHidden: "true" });
    bar.style.setProperty("--share", row[c]);
    bar.style.setProperty("--own", ranks.has(c) ? `var(--c${ranks.get(c) % COLOURS})` : "var(--soft)");
    const mark = detected?.has(c) ? [element("b", { className: "mark" }, "detected")] : [];
    list.append(element("li", {}, element("span", { className: "name" }, head.names[c], ...mark), bar, element("span", { className: "number" }, row[c].toFixed(3))));
  }
  return list;
}

/** The classes that get a lane: those with events, the highest scores first, then the likeliest others. */
function lanesOf(head, answer) {
  const best = answer.best[head.output], withEvents = new Set(answer.events.filter((e) => e.head === head.name).map((e) => e.class));
  const ranked = head.top(best, head.reported.length);
  const first = ranked.filter((c) => withEvents.has(c)).slice(0, MOST_LANES);
  const others = ranked.filter((c) => !withEvents.has(c)).slice(0, Math.max(0, LANES - first.length));
  return [...first, ...others].sort((a, b) => best[b] - best[a]);
}

/** One section for a head. `answer`: see main.js. `onSeek(time)`: go there and play. */
export function headSection(head, answer, several, onSeek) {
  const classes = lanesOf(head, answer), ranks = new Map(classes.map((c, i) => [c, i]));
  const own = answer.events.filter((event) => event.head === head.name);
  const section = element("section", { className: "head", ariaLabel: several ? head.name : "Classes" });
  const lanes = element("div", { className: "lanes" }), redraws = [];
  const edges = cells(answer.spans);
  for (const [c, rank] of ranks) {
    const events = own.filter((event) => event.class === c), values = answer.rows[head.output].map((row) => row[c]);
    const peak = values.indexOf(Math.max(...values));
    const said = `${head.names[c]}: highest score ${scoreText(values[peak])} at ${seconds(answer.spans[peak][0])}, ${events.length} event${events.length === 1 ? "" : "s"}`;
    const canvas = element("canvas", { role: "img", ariaLabel: said });
    const lane = element("div", { className: "lane" }, canvas, element("i", { className: "cursor", hidden: true }));
    if (onSeek) canvas.onclick = (event) => onSeek(timeAt(event, canvas, answer.range));
    lanes.append(element("span", { className: "name" }, dot(rank), head.names[c]), element("span", { className: "number" }, scoreText(values[peak])), lane);
    redraws.push(() => drawScores(canvas, { values, edges, events, rank, limit: head.limit(c, answer.threshold) }, answer.range));
  }
  if (several) section.append(element("h3", { className: "head-name" }, head.name));
  section.append(lanes);
  const columns = element("div", { className: "columns" });
  const whole = answer.whole?.[head.output];
  if (whole) {
    const seen = head.compared(whole);
    const detected = head.thresholds && new Set(head.reported.filter((c) => seen[c] >= head.limit(c, null)));
    const none = detected && !detected.size ? [element("p", { className: "small" }, "None of the classes reaches its threshold.")] : [];
    columns.append(element("div", {}, element("h3", {}, answer.wholeTitle), ...none, labelList(head, whole, 10, ranks, detected)));
  }
  columns.append(element("div", {}, element("h3", {}, own.length ? `${own.length} event${own.length === 1 ? "" : "s"}` : "Events"), eventsTable(own, ranks, onSeek, several ? `Events: ${head.name}` : "Events")));
  section.append(columns);
  section.redraw = () => redraws.forEach((redraw) => redraw());
  return section;
}

function eventsTable(events, ranks, onSeek, name) {
  if (!events.length) return element("p", { className: "none" }, "No class reaches its threshold. A lower one finds more.");
  const body = element("tbody");
  for (const event of events.slice(0, MOST_EVENTS)) {
    const label = [...(ranks.has(event.class) ? [dot(ranks.get(event.class))] : []), event.label];
    const play = onSeek
      ? [element("td", {}, element("button", { type: "button", className: "plain", ariaLabel: `Play ${event.label} at ${seconds(event.start)}`, onclick: () => onSeek(event.start, event.end) }, "▶"))]
      : [];
    body.append(element("tr", {}, element("td", {}, ...label), element("td", { className: "n" }, `${seconds(event.start)} – ${seconds(event.end)}`), element("td", { className: "n" }, event.score.toFixed(2)), ...play));
  }
  const titles = ["label", "time", "score", ...(onSeek ? [""] : [])].map((text, i) => (text ? element("th", { scope: "col", className: i === 0 ? "" : "n" }, text) : element("td")));
  const table = element("table", { className: "events" }, element("thead", {}, element("tr", {}, ...titles)), body);
  const scroll = element("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: name }, table);
  return events.length > MOST_EVENTS ? element("div", {}, scroll, element("p", { className: "small" }, `${events.length - MOST_EVENTS} more are in the saved files.`)) : scroll;
}

/** Draw everything that is on a canvas; again when the size or the colours change. */
export function redraw(answer) {
  if (!answer) return;
  if (answer.samples) drawWaveform(at("waveform"), answer.samples, answer.range);
  for (const section of at("heads").children) section.redraw?.();
}

/** The position of the player, on all lanes. */
export function showPosition(time, answer) {
  const [from, to] = answer.range, share = to > from ? (time - from) / (to - from) : 0;
  at("result").style.setProperty("--at", Math.min(1, Math.max(0, share)));
  const wave = at("wave");
  wave.ariaValueNow = time.toFixed(1);
  wave.ariaValueText = `${clock(time)} of ${clock(to)}`;
  for (const cursor of document.querySelectorAll(".cursor")) cursor.hidden = share <= 0;
}

export function showModel(description, certificate) {
  const rate = `${description.sample_rate} Hz`, size = certificate.files?.["model.onnx"]?.bytes;
  const length = description.samples ? `${(description.samples / description.sample_rate).toFixed(2)} s at a time` : "any length";
  const classes = description.heads.map((head) => `${head.label_space.ids.length}${description.heads.length > 1 ? ` (${head.name})` : ""}`);
  const errors = Object.entries(certificate.largest_errors ?? {}).map(([name, error]) => `${name} ${error.toExponential(1)}`);
  const facts = [
    ["Model", description.model],
    ["Takes", `${rate}, ${length}`],
    ["Classes", classes.join(", ") || "none"],
    ["Graph", size ? `${(size / 1e6).toFixed(1)} MB, ${certificate.precision ?? ""}` : ""],
    ["Largest differences from PyTorch", errors.join(", ")],
    ["Licence of the weights", description.licence],
    ["Source", description.source || "not stated"],
  ];
  at("model-facts").replaceChildren(...facts.filter(([, text]) => text).map(([name, text]) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, text))));
  at("kicker").textContent = `${description.model} · Auricle`;
  document.title = `${description.model}: tag a sound`;
}
