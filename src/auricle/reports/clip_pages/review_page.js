// Asks whether detections are right, and saves the answers as answers.csv.
// The curve is that of auricle/review/precision.py: weighted by 1 / probability, with Wilson's interval.
const page = {
  key: "auricle-review-" + data.key,
  settled: i => !!state.answers[i],
  inWords,
  mark: answer => answer.answer === "unsure" ? "doubt" : answer.answer === "yes" ? "done" : "refused",
  shown: i => !state.filter || data.clips[i].label === state.filter,
  show,
  move: go,
  leave: () => {},
  finished: () => {
    say(`All clips${state.filter ? ` of ${state.filter}` : ""} have an answer: download answers.csv.`);
    at("download").focus();
  },
};
restore();
state.filter ??= "";
state.reviewer ??= data.reviewer;

// ---- answers: {answer: "yes" | "no" | "other" | "unsure", other, time, reviewer}
const stamp = () => {
  const d = new Date(), two = n => String(Math.floor(Math.abs(n))).padStart(2, "0"), off = -d.getTimezoneOffset();
  const day = `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
  return `${day}T${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}${off < 0 ? "-" : "+"}${two(off / 60)}:${two(off % 60)}`;
};
function reply(answer, other = "") {
  record({ answer, other, time: stamp(), reviewer: state.reviewer }, other ? `${clip().label}: no, ${other}` : `${clip().label}: ${answer}`);
  go(following());
}
function somethingElse(name) {
  const alike = names().find(other => other.toLowerCase() === name.toLowerCase()) || name;
  if (alike === clip().label) return reply("yes");
  if (alike && !state.added.includes(alike) && !data.names.includes(alike)) state.added.push(alike);
  reply("other", alike);
}
const names = () => [...data.names, ...state.added];

// ---- what is shown
function inWords(a, c) {
  return !a ? `${c.label}, no answer` : `${c.label}, ${a.answer}${a.other ? `: ${a.other}` : ""}`;
}
function show(focus) {
  const c = clip(), answer = state.answers[state.at];
  at("name").textContent = `Clip ${state.at + 1} of ${data.clips.length}: ${c.name}${span(c)}`;
  at("why").textContent = `${c.note}Answer: ${answer ? answer.answer + (answer.other ? `: ${answer.other}` : "") : "none yet"}.`;
  at("question").textContent = `Is it ${c.label}?${c.score === null ? "" : ` (score ${c.score.toFixed(2)})`}`;
  showPicture();
  const mark = document.querySelector("#picture b");
  mark.hidden = c.mark === null;
  if (c.mark) {
    mark.style.left = `${100 * c.mark[0]}%`;
    mark.style.width = `${100 * (c.mark[1] - c.mark[0])}%`;
  }
  for (const id of ["yes", "no", "unsure"]) at(id).setAttribute("aria-pressed", !!answer && answer.answer === id);
  offer(names().filter(name => name !== c.label));
  const wanted = data.clips.map((_, i) => i).filter(shown), done = wanted.filter(page.settled);
  const unsure = done.filter(i => state.answers[i].answer === "unsure").length;
  at("progress").max = Math.max(1, wanted.length);
  at("progress").value = done.length;
  at("counts").textContent = `${done.length} of ${wanted.length} answered, ${unsure} unsure`;
  showPlaces();
  const rows = table().length;
  at("download").disabled = !rows;
  at("download").textContent = `Download answers.csv (${rows} ${rows === 1 ? "answer" : "answers"})`;
  at("commands").textContent = data.command;
  showCurve(c.label);
  if (focus) arrive();
}

// ---- the curve
const Z = 1.959963984540054; // of a 95 % interval
function wilson(share, trials, z) {
  const square = z * z, spread = Math.sqrt(share * (1 - share) / trials + square / (4 * trials * trials));
  return Math.min(1, Math.max(0, (share + square / (2 * trials) + z * spread) / (1 + square / trials)));
}
/** Rows {threshold, precision, low, high, hits, answers}, the highest threshold first, of the answers about a class. */
function precisionCurve(label) {
  const scored = Object.entries(state.answers).map(([i, a]) => [data.clips[i], a])
    .filter(([c, a]) => c.label === label && c.score !== null && c.score > 0 && a.answer !== "unsure").sort((a, b) => b[0].score - a[0].score);
  const rows = [];
  let sum = 0, squares = 0, hits = 0, answers = 0;
  scored.forEach(([c, a], n) => {
    const weight = 1 / (c.probability ?? 1);
    sum += weight;
    squares += weight * weight;
    answers += 1;
    if (a.answer === "yes") hits += weight;
    if (n + 1 < scored.length && scored[n + 1][0].score === c.score) return;
    const share = Math.min(1, hits / sum), trials = sum * sum / squares;
    rows.push({ threshold: c.score, precision: share, low: wilson(share, trials, -Z), high: wilson(share, trials, Z), cautious: wilson(share, trials, -data.caution), hits, answers });
  });
  return rows;
}
function chosenRow(rows) {
  const reaching = rows.filter(row => row.hits > 0 && row.cautious >= data.wanted && row.answers >= data.least[1]);
  const most = Math.max(...reaching.map(row => row.hits));
  return reaching.find(row => row.hits === most);
}
const percent = share => `${(100 * share).toFixed(0)} %`;
function showCurve(label) {
  const rows = precisionCurve(label), chart = at("chart"), last = rows.at(-1);
  chart.toggleAttribute("hidden", rows.length < 2);
  at("doubt").hidden = !last;
  if (!last) { at("found").textContent = `No answer about ${label} yet.`; return; }
  const best = chosenRow(rows), all = `${label}: ${percent(last.precision)} right (${percent(last.low)} to ${percent(last.high)}) of ${last.answers} ${last.answers === 1 ? "answer" : "answers"}`;
  at("found").textContent = best
    ? `${all}. From a score of ${best.threshold.toFixed(2)} on, ${percent(best.precision)} are right (${percent(best.low)} to ${percent(best.high)}).`
    : `${all}. No score reaches a precision of ${data.wanted} yet.`;
  at("doubt").textContent = last.answers < data.least[0] ? `A threshold needs ${data.least[0]} answers, ${data.least[1]} of them yes.` : "The band is the 95 % interval; the dashed line is the wanted precision.";
  draw(chart, rows, best);
}
function draw(chart, rows, best) {
  const [left, right, top, bottom] = [64, 590, 14, 200], lowest = rows.at(-1).threshold, reach = Math.max(1e-9, 1 - lowest);
  const x = score => (left + (score - lowest) / reach * (right - left)).toFixed(1), y = share => (bottom - share * (bottom - top)).toFixed(1);
  const line = name => rows.map((row, n) => `${n ? "L" : "M"}${x(row.threshold)} ${y(row[name])}`).join("");
  const band = rows.map((row, n) => `${n ? "L" : "M"}${x(row.threshold)} ${y(row.high)}`).join("") + [...rows].reverse().map(row => `L${x(row.threshold)} ${y(row.low)}`).join("") + "Z";
  const parts = [];
  const add = (tag, values, words) => {
    const part = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(values)) part.setAttribute(name, value);
    if (words) part.textContent = words;
    parts.push(part);
  };
  for (const share of [0, 0.5, 1]) {
    add("line", { x1: left, x2: right, y1: y(share), y2: y(share), class: "grid" });
    add("text", { x: left - 6, y: +y(share) + 4, "text-anchor": "end" }, percent(share));
  }
  add("path", { d: band, class: "band" });
  add("path", { d: line("precision"), class: "line" });
  add("line", { x1: left, x2: right, y1: y(data.wanted), y2: y(data.wanted), class: "wanted" });
  if (best) add("circle", { cx: x(best.threshold), cy: y(best.precision), r: 5, class: "best" });
  add("text", { x: left, y: bottom + 24, "text-anchor": "start" }, lowest.toFixed(2));
  add("text", { x: (left + right) / 2, y: bottom + 24, "text-anchor": "middle" }, "least score");
  add("text", { x: right, y: bottom + 24, "text-anchor": "end" }, "1.00");
  
  chart.replaceChildren(...parts);
}

// ---- the table, in the order of answering
function table() {
  const number = value => value === null || value === undefined ? "" : String(value);
  return Object.entries(state.answers).map(([i, a]) => [data.clips[i], a]).sort((a, b) => a[1].time < b[1].time ? -1 : a[1].time > b[1].time ? 1 : 0)
    .map(([c, a]) => [c.path, number(c.start), number(c.end), c.label, a.answer, a.other, number(c.score), a.reviewer, a.time, c.model, number(c.probability)]);
}
const COLUMNS = ["path", "start", "end", "label", "answer", "other", "score", "reviewer", "time", "model", "probability"];
const download = () => saveTable("answers.csv", COLUMNS, table());

// ---- classes and the reviewer
function filters() {
  const labels = [...new Set(data.clips.map(c => c.label))].sort(), select = at("filter");
  for (const label of labels.length > 1 ? ["", ...labels] : labels) {
    const count = data.clips.filter(c => !label || c.label === label).length;
    select.append(Object.assign(document.createElement("option"), { value: label, textContent: `${label || "all classes"} (${count})` }));
  }
  if (labels.length < 2 || !["", ...labels].includes(state.filter)) state.filter = "";
  select.value = labels.length > 1 ? state.filter : labels[0];
  select.addEventListener("change", () => {
    state.filter = labels.length > 1 ? select.value : "";
    keep();
    if (shown(state.at)) show(false); else go(following() < 0 ? data.clips.findIndex((_, i) => shown(i)) : following());
  });
}
at("reviewer").value = state.reviewer;
at("reviewer").addEventListener("change", event => {
  state.reviewer = tidy(event.target.value);
  for (const a of Object.values(state.answers)) a.reviewer = state.reviewer;
  keep();
});

// ---- hands
const KEYS = { y: () => reply("yes"), n: () => reply("no"), u: () => reply("unsure"), o: () => at("typed").focus(), z: undo, ArrowLeft: () => neighbour(-1) < 0 || go(neighbour(-1)), ArrowRight: () => neighbour(1) < 0 || go(neighbour(1)), " ": toggle };
onKeys(key => KEYS[key]);
onClicks({ yes: KEYS.y, no: KEYS.n, unsure: KEYS.u, undo, play: toggle, picture: toggle, download, back: KEYS.ArrowLeft, forward: KEYS.ArrowRight, next: () => go(following()) });
onTyped(somethingElse);
filters();
show(false);
