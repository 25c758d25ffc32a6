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

export async function reviewView(_, query, tools) {
  if (!state.about.index) return indexNeeded("Review");
  const classes = state.about.index.classes;
  if (!classes.length) return { title: "Review", node: emptyState("Nothing to review", ["The model of the index has no classes, so that nothing was detected.", link("Train a head on your labels", "#/train")]) };
  let label = classes.includes(query.label) ? query.label : kept("review-label", ""), items = [], current = null, precision = 0.9, auto = kept("review-auto", true), busy = false;
  if (!classes.includes(label)) label = "";

  const card = element("section", { className: "question", ariaLabel: "The clip" }), side = element("section", { className: "curve-side", ariaLabel: "Precision" });
  const progress = element("progress", { max: 1, value: 0, ariaLabel: "Answered" }), counts = element("p", { className: "small" });
  const choice = select([["", "choose a class"], ...classes.map((name) => [name, name])], label, ({ target }) => { label = target.value; keep("review-label", label); load().catch(tools.report); });

  // ---- the queue
  async function load() {
    stop();
    if (!label) {
      card.replaceChildren(none("Choose a class: its detections are shown one by one, and you answer whether they are right."));
      side.replaceChildren();
      progress.hidden = true;
      counts.textContent = "";
      return;
    }
    const queue = await get("review", { label });
    items = queue.items.filter((item) => item.recording); // a recording may have gone since it was indexed
    progress.hidden = false;
    progress.max = Math.max(1, queue.total);
    progress.value = queue.answered;
    counts.textContent = `${queue.answered} of ${count(queue.total, "detection")} of ${label} answered`;
    current = items[0] ?? null;
    show();
    await loadCurve();
  }

  function show() {
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

  async function answer(value, other = "") {
    if (!current || busy) return;
    busy = true;
    try {
      await post("review/answers", { answers: [{ recording: current.recording, start: current.start, end: current.end, label, answer: value, other, score: current.score }] });
      tools.say(`${value === "other" ? other : value}: ${current.name} ${spanText(current.start, current.end)}`);
      await load();
    } catch (error) { tools.report(error); }
    busy = false;
  }

  async function undo() {
    if (busy) return;
    busy = true;
    try {
      const { undone } = await remove("review/answers/last");
      tools.say(undone ? `Undone: ${undone.answer}, ${undone.label}.` : "Nothing to undo.");
      await load();
    } catch (error) { tools.report(error); }
    busy = false;
  }

  // ---- the curve
  async function loadCurve() {
    const wanted = element("input", { type: "number", min: 0.5, max: 0.99, step: 0.01, value: precision });
    wanted.onchange = () => { precision = Math.min(0.99, Math.max(0.05, Number(wanted.value) || 0.9)); loadCurve().catch(tools.report); };
    const curve = await get("review/curve", { label, precision });
    const words = curve.threshold === null ? `No threshold with a precision of ${precision} is known yet: ${curve.reason || "answer more questions"}.` : `From a score of ${curve.threshold.toFixed(3)} on, ${Math.round(100 * precision)} % or more are right${curve.reason ? `; ${curve.reason}` : ""}.`;
    const drawn = curve.points.length ? [curvePicture(curve, precision), small("The line is the share of yes among the answers from a score upwards; the band is its 95 % interval.")] : [none("The curve begins with the first answers of yes or no.")];
    side.replaceChildren(element("h2", {}, "How precise is each score?"), ...drawn, field("Wanted precision", wanted), element("p", {}, words), small(`${curve.yes} yes, ${curve.no} no, ${curve.unsure} unsure.`));
  }

  const node = element("div", {}, element("div", { className: "head" }, element("div", {}, element("h1", {}, "Is what was found right?"), counts), field("Class", choice)), progress,
    element("div", { className: "review-columns" }, card, side), element("datalist", { id: "review-classes" }, ...classes.map((name) => element("option", { value: name }))));
  await load();
  const acts = { y: () => answer("yes"), n: () => answer("no"), u: () => answer("unsure"), o: () => current?.askOther(), z: undo, " ": again };
  return { title: "Review", node, help: HELP, keys: ({ key }) => { if (!(key in acts)) return false; acts[key](); return true; }, close: unfollow };
}
