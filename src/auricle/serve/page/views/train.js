// Train: a head on the labels and answers of this page, on top of a model that is served.

import { get, remove, tableOf } from "../api.js";
import { count, emptyState, field, iconButton, link, none, playButton, select, small, spanText } from "../controls.js";
import { runJob } from "../jobs.js";
import { element } from "../parts.js";
import { state } from "../state.js";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,59}$/;
const LEAST = 2; // labels of a class

export async function trainView(_, __, tools) {
  const node = element("div");
  let table = await get("labels");

  const outcome = element("div", { role: "status" });
  async function train(event) {
    event.preventDefault();
    const name = nameInput.value.trim();
    if (!NAME.test(name)) { tools.say("A name has letters, digits, points and dashes, and up to 60 of them.", { error: true }); nameInput.focus(); return; }
    start.disabled = true;
    outcome.replaceChildren(none("The head is trained: the vectors of the labelled parts are computed, then heads are tried on parts that were held out."));
    try {
      const result = await runJob("train", { base: base.value, name }, `Training of ${name}`);
      await tools.refresh();
      tools.chooseModel(result.model);
      outcome.replaceChildren(learnt(result));
      tools.say(`${result.model} is trained and chosen.`);
    } catch (error) {
      outcome.replaceChildren(element("p", { className: "problem", role: "alert" }, error.message));
      tools.report(error);
    }
    start.disabled = false;
  }

  function learnt(result) {
    const scores = Object.entries(result.scores ?? {}).map(([name, value]) => element("tr", {}, element("th", { scope: "row" }, name), element("td", { className: "n" }, typeof value === "number" ? value.toFixed(3) : String(value))));
    const notes = (result.notes ?? []).map((note) => element("li", {}, note));
    return element("section", { className: "learnt" }, element("h2", {}, `${result.model} is ready`), element("p", {}, "It is chosen as the model of this page: open a recording, and its labels are found with it."),
      ...(scores.length ? [element("table", { className: "facts" }, element("tbody", {}, ...scores))] : []), ...(notes.length ? [element("ul", { className: "notes" }, ...notes)] : []),
      element("div", { className: "row" }, link("To the recordings", "#/recordings", { className: "button primary" }), link("Compare it", "#/compare", { className: "button" })));
  }

  const base = select(state.about.models.filter((model) => !model.trained).map((model) => [model.id, model.id]), state.about.models[0]?.id, () => {});
  const nameInput = element("input", { value: "my-head", autocomplete: "off", required: true });
  const start = element("button", { type: "submit", className: "primary" }, "Train");

  async function take(id) {
    try { await remove(`labels/${id}`); table = await get("labels"); show(); } catch (error) { tools.report(error); }
  }

  /** One label: a part that was drawn, or an answer of the review. A recording may have gone since. */
  function labelRow(one) {
    const where = one.start === null ? "the whole recording" : spanText(one.start, one.end), span = one.start === null ? {} : { start: one.start, end: one.end };
    const play = one.recording ? playButton({ recording: one.recording, ...span, name: `${one.name}, ${where}`, report: tools.report }) : element("span", { className: "gap" });
    const name = one.recording ? link(one.name, `#/recording/${one.recording}?${new URLSearchParams(span)}`) : element("b", {}, one.name);
    const away = one.id ? [iconButton("trash", `Remove the label ${one.label} of ${one.name}, ${where}`, () => take(one.id))] : [];
    return element("li", {}, play, element("div", { className: "what" }, name, element("span", { className: "small" }, one.id ? where : `${where} · answer of the review`)),
      element("span", { className: "chips" }, element("span", { className: `chip ${one.known ? "" : "no"}` }, one.known ? one.label : `not ${one.label}`)), element("span", { className: "ends" }, ...away));
  }

  function show() {
    const title = element("div", { className: "head" }, element("div", {}, element("h1", {}, "A head for your sounds"), small("The model stays as it is; a small classifier on top of it learns your labels. It takes seconds to minutes.")));
    if (!table.labels.length) {
      node.replaceChildren(title, emptyState("No labels yet", ["Open a recording, drag over a sound and give it a label; or answer questions in the review. Two or more of each class are enough to begin.",
        element("div", { className: "row" }, link("To the recordings", "#/recordings", { className: "button primary" }), ...(state.about.index ? [link("To the review", "#/review", { className: "button" })] : []))], "h2"), outcome);
      return;
    }
    const rows = table.classes.map(({ label, yes, no }) => element("tr", {}, element("th", { scope: "row" }, label), element("td", { className: "n" }, yes), element("td", { className: "n" }, no || "–")));
    const classes = element("table", { className: "classes" }, element("thead", {}, element("tr", {}, ...[["class", ""], ["labels", "n"], ["“no” answers", "n"]].map(([text, className]) => element("th", { scope: "col", className }, text)))), element("tbody", {}, ...rows));
    const few = table.classes.filter(({ yes }) => yes < LEAST).map(({ label }) => label), warn = [];
    if (few.length) warn.push(small(`Fewer than ${LEAST} labels: ${few.join(", ")}. Such classes cannot be tested.`));
    if (table.classes.length < 2) warn.push(small("One class alone: parts without it are needed, too. Label something else, or answer “no” in the review."));
    const form = element("form", { className: "row fields", onsubmit: train, ariaLabel: "Training" }, field("On top of", base), field("Name", nameInput), start);
    const items = table.labels.map(labelRow);
    node.replaceChildren(title, element("div", { className: "columns" }, element("section", {}, element("h2", {}, "What it learns from"), classes, ...warn), element("section", {}, element("h2", {}, "Training"), form, outcome)),
      element("section", {}, element("div", { className: "head" }, element("h2", {}, count(table.labels.length, "label")), link("Download the table", tableOf(), { className: "button", download: "labels.csv" })), element("ul", { className: "recordings" }, ...items)));
  }

  show();
  return { title: "Train", node };
}
