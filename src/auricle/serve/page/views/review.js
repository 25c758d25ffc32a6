// Review: one detection at a time, answered by a key; from the answers how precise each score is.

import { get, post, remove, spectrogramOf } from "../api.js";
import { button, count, emptyState, field, link, none, select, small, spanText } from "../controls.js";
import { curvePicture } from "../curve.js";
import { element, scoreText } from "../parts.js";
import { onPlayer, play, stop } from "../player.js";
import { keep, kept, state } from "../state.js";
import { isDark } from "../theme.js";
import { indexNeeded } from "./similar.js";

const HELP = [["y n", "yes, no"], ["o", "other: type its label"], ["u", "unsure"], ["z", "undo"], ["space", "play again"]];
const ANSWERS = [["yes", "y", "Yes"], ["no", "n", "No"], ["other", "o", "Other"], ["unsure", "u", "Unsure"]];

const AHEAD = 20, FEW = 5; // questions that are fetched; fewer that are left ask for more

export async function reviewView(_, query, tools) {
  if (!state.about.index) return indexNeeded("Review");
  const classes = state.about.index.classes;
  if (!classes.length) return { title: "Review", node: emptyState("Nothing to review", ["The model of the index has no classes, so that nothing was detected.", link("Train a head on your labels", "#/train")]) };
  let label = classes.includes(query.label) ? query.label : kept("review-label", ""), items = [], current = null, answered = 0, total = 0, precision = 0.9, auto = kept("review-auto", true), sent = Promise.resolve(), waiting = 0;
  if (!classes.includes(label)) label = "";

  const card = element("section", { className: "question", ariaLabel: "The clip" }), side = element("section", { className: "curve-side", ariaLabel: "Precision" });
  const progress = element("progress", { max: 1, value: 0, ariaLabel: "Answered" }), counts = element("p", { className: "small" });
  const choice = select([["", "choose a class"], ...classes.map((name) => [name, name])], label, ({ target }) => { label = target.value; keep("review-label", label); current = null; load().catch(tools.report); });

  // ---- the queue: some questions are here already, so that a fast hand does not wait for the server
  async function load() {
    if (!label) {
      stop();
      card.replaceChildren(none("Choose a class: its detections are shown one by one, and you answer whether they are right."));
      side.replaceChildren();
      progress.hidden = true;
      counts.textContent = "";
      return;
    }
    const own = label, queue = await get("review", { label, count: AHEAD });
    if (own !== label) return;
    items = queue.items.filter((item) => item.recording); // a recording may have gone since it was indexed
    ({ answered, total } = queue);
    showProgress();
    if (!current || !items[0] || keyOf(items[0]) !== keyOf(current)) {
      current = items[0] ?? null;
      show();
    }
    await loadCurve();
  }

  function showProgress() {
    progress.hidden = false;
    progress.max = Math.max(1, total);
    progress.value = answered;
    counts.textContent = `${answered} of ${count(total, "detection")} of ${label} answered`;
  }

  /** Send one after the other, in the order of the answers; ask for more questions when few are left. */
  function send(work) {
    waiting += 1;
    sent = sent.then(work).then(async () => { if (waiting === 1) await (items.length < FEW ? load() : loadCurve()); })
      .catch((error) => { tools.report(error); return load().catch(tools.report); }).finally(() => { waiting -= 1; });
    return sent;
  }

  function show() {
    stop();
    if (!current) { card.replaceChildren(emptyState("All answered", [`No detection of ${label} is left. Choose another class, or train a head on the answers.`, link("Train", "#/train", { className: "button primary" })], "h2")); return; }
    const { recording, name, start, end, score } = current;
    const cursor = element("i", { className: "cursor", hidden: true });
    const image = element("img", { src: spectrogramOf(recording, { start, end, width: 900, height: 256, theme: isDark() ? "dark" : "light" }), alt: `Spectrogram of ${name}, ${spanText(start, end)}` });
    const picture = element("button", { type: "button", className: "picture", ariaLabel: "Play the clip", onclick: again }, image, cursor);
    current.cursor = cursor;
    const typed = element("input", { list: "review-classes", placeholder: "its label", ariaLabel: "The label that it is", autocomplete: "off" });
    const other = element("form", { className: "row", hidden: true, onsubmit: (event) => { event.preventDefault(); if (typed.value.trim()) answer("other", typed.value.trim()); } }, typed, element("button", { type: "submit", className: "primary" }, "Save"));
    current.askOther = () => { other.hidden = false; typed.focus(); };
    card.replaceChildren(element("h2", {}, "Is it ", element("b", {}, label), "?"), small(link(name, `#/recording/${recording}?start=${start}&end=${end}`), ` · ${spanText(start, end)} · score ${scoreText(score)}`), picture,
      element("div", { className: "row answers", role: "group", ariaLabel: "Answer" }, ...ANSWERS.map(([value, key, text]) => button([element("kbd", {}, key), text], () => (value === "other" ? current.askOther() : answer(value)), { className: `answer-${value}`, ariaKeyShortcuts: key }))), other,
      element("div", { className: "row" }, button([element("kbd", {}, "space"), "Play"], again), button([element("kbd", {}, "z"), "Undo"], undo, { ariaKeyShortcuts: "z" }), element("label", { className: "check" }, element("input", { type: "checkbox", checked: auto, onchange: ({ target }) => { auto = target.checked; keep("review-auto", auto); } }), "play each clip when it comes")));
    const next = items[1];
    if (next) new Image().src = spectrogramOf(next.recording, { start: next.start, end: next.end, width: 900, height: 256, theme: isDark() ? "dark" : "light" });
    if (auto && navigator.userActivation?.hasBeenActive) again();
  }

  const keyOf = (item) => `review:${item.recording}@${item.start}`;
  function again() { if (current) Promise.resolve(play(current.recording, current.start, current.end, keyOf(current))).catch(tools.report); }
  const unfollow = onPlayer((now) => {
    if (!current?.cursor) return;
    const share = (now.time - current.start) / (current.end - current.start);
    current.cursor.hidden = now.key !== keyOf(current) || !now.playing;
    current.cursor.style.setProperty("--at", Math.min(1, Math.max(0, share)));
  });

  function answer(value, other = "") {
    if (!current) return;
    const item = current, asked = label;
    items.shift();
    current = items[0] ?? null;
    answered += 1;
    showProgress();
    show();
    tools.say(`${value === "other" ? other : value}: ${item.name} ${spanText(item.start, item.end)}`);
    send(() => post("review/answers", { answers: [{ recording: item.recording, start: item.start, end: item.end, label: asked, answer: value, other, score: item.score }] }));
  }

  function undo() {
    send(async () => {
      const { undone } = await remove("review/answers/last");
      tools.say(undone ? `Undone: ${undone.answer}, ${undone.label}.` : "Nothing to undo.");
      await load();
    });
  }

  // ---- the curve
  async function loadCurve() {
    const wanted = element("input", { type: "number", min: 0.5, max: 0.99, step: 0.01, value: precision });
    wanted.onchange = () => { precision = Math.min(0.99, Math.max(0.05, Number(wanted.value) || 0.9)); loadCurve().catch(tools.report); };
    const curve = await get("review/curve", { label, precision });
    const words = curve.threshold === null ? `No threshold with a precision of ${precision} is known yet: ${curve.reason || "answer more questions"}.` : `From a score of ${curve.threshold.toFixed(3)} on, ${Math.round(100 * precision)} % or more are right.${curve.reason ? ` This is not certain: ${curve.reason}.` : ""}`;
    const drawn = curve.points.length ? [curvePicture(curve, precision), small("The line is the share of yes among the answers from a score upwards; the band is its 95 % interval.")] : [none("The curve begins with the first answers of yes or no.")];
    side.replaceChildren(element("h2", {}, "How precise is each score?"), ...drawn, field("Wanted precision", wanted), element("p", {}, words), small(`${curve.yes} yes, ${curve.no} no, ${curve.unsure} unsure.`));
  }

  const node = element("div", {}, element("div", { className: "head" }, element("div", {}, element("h1", {}, "Is what was found right?"), counts), field("Class", choice)), progress,
    element("div", { className: "review-columns" }, card, side), element("datalist", { id: "review-classes" }, ...classes.map((name) => element("option", { value: name }))));
  await load();
  const acts = { y: () => answer("yes"), n: () => answer("no"), u: () => answer("unsure"), o: () => current?.askOther(), z: undo, " ": again };
  return { title: "Review", node, help: HELP, keys: ({ key }) => { if (!(key in acts)) return false; acts[key](); return true; }, close: unfollow };
}
