// Compare: what two models find in one recording.

import { get } from "../api.js";
import { emptyState, field, link, none, playButton, select, small } from "../controls.js";
import { clock } from "../drawing.js";
import { runJob } from "../jobs.js";
import { element, scoreText } from "../parts.js";
import { seek } from "../player.js";
import { canTag, modelWith, state } from "../state.js";
import { Timeline } from "../timeline.js";

const LANES = 5, ROWS = 12;

export async function compareView(_, query, tools) {
  const models = state.about.models.filter(canTag);
  if (models.length < 2) return { title: "Compare", node: emptyState("Two models are needed", ["The server has one model with classes. Name two with --model A B, or train a head on your labels: it becomes a model.", element("div", { className: "row" }, link("Train a head", "#/train", { className: "button primary" }))]) };
  const { recordings } = await get("recordings", { limit: 200 });
  if (!recordings.length) return { title: "Compare", node: emptyState("No recordings yet", [link("Add one", "#/recordings", { className: "button primary" })]) };
  let id = query.recording && recordings.some((one) => one.id === query.recording) ? query.recording : recordings[0].id;
  if (query.recording && id !== query.recording) recordings.unshift(await get(`recordings/${id = query.recording}`));
  let [a, b] = [modelWith(query.a)?.id ?? state.model, modelWith(query.b)?.id];
  if (!models.some((model) => model.id === a)) a = models[0].id;
  b ??= models.find((model) => model.id !== a).id;

  const options = models.map((model) => [model.id, model.id]);
  const body = element("div"), pick = (set) => ({ target }) => { set(target.value); compare(); };
  const form = element("div", { className: "row fields" }, field("Recording", select(recordings.filter((one) => !one.error).map((one) => [one.id, one.name]), id, pick((value) => { id = value; }))),
    field("Model A", select(options, a, pick((value) => { a = value; }))), field("Model B", select(options, b, pick((value) => { b = value; }))));
  let timelines = [], runs = 0;

  async function compare() {
    const own = ++runs, recording = recordings.find((one) => one.id === id);
    body.replaceChildren(none("Both models look at the recording…"));
    let results;
    try {
      await runJob("compare", { recording: id, models: [a, b] }, `Comparison on ${recording.name}`);
      results = await Promise.all([a, b].map((model) => get(`recordings/${id}/results`, { model })));
    } catch (error) { body.replaceChildren(element("p", { className: "problem", role: "alert" }, error.message)); return; }
    if (own !== runs) return;
    close();
    const sides = results.map((result, side) => sideOf(recording, result, side));
    body.replaceChildren(small(`${recording.name}, ${clock(recording.seconds)}. `, link("Open it", `#/recording/${id}`)), element("div", { className: "two" }, ...sides), bothSection(results));
  }

  function sideOf(recording, result, side) {
    const timeline = new Timeline({ recording, height: "low", onSeek: (time) => seek(id, time).then(() => timelines.forEach((one) => one.moveTo(time))).catch(tools.report), onError: tools.report });
    timelines.push(timeline);
    const lanes = result.lanes.slice(0, LANES);
    timeline.setLanes(lanes.map((lane, rank) => ({ ...lane, rank, windows: result.windows, values: lane.scores, limit: lane.threshold, events: result.events.filter((event) => event.label === lane.label) })), (lane) => timeline.onSeek(result.windows[lane.scores.indexOf(Math.max(...lane.scores))][0]));
    return element("section", { ariaLabel: `Model ${"AB"[side]}` }, element("div", { className: "side-title" }, element("b", { className: "letter" }, "AB"[side]), element("h2", {}, result.model), playButton({ recording: id, name: recording.name, report: tools.report })), timeline.root);
  }

  /** All labels that either model puts near the top, with both scores. */
  function bothSection([first, second]) {
    const scores = [first, second].map((result) => new Map([...result.lanes, ...result.tags].map(({ label, score }) => [label, score])));
    const labels = [...new Set([...first.tags, ...second.tags].map(({ label }) => label))].map((label) => ({ label, a: scores[0].get(label) ?? null, b: scores[1].get(label) ?? null }));
    labels.sort((x, y) => Math.max(y.a ?? 0, y.b ?? 0) - Math.max(x.a ?? 0, x.b ?? 0));
    const bar = (value, side) => {
      const made = element("span", { className: `meter side-${side}`, ariaHidden: "true" });
      made.style.setProperty("--share", value ?? 0);
      return element("td", {}, element("span", { className: "with-bar" }, made, element("span", { className: "number" }, value === null ? "–" : scoreText(value))));
    };
    const rows = labels.slice(0, ROWS).map(({ label, a: one, b: two }) => element("tr", {}, element("th", { scope: "row" }, label), bar(one, "a"), bar(two, "b")));
    return element("section", {}, element("h2", {}, "The likeliest labels of both"), small("A dash: the model does not have the class, or the class is not near its top."), element("table", { className: "both" }, element("thead", {}, element("tr", {}, ...["label", "A", "B"].map((text) => element("th", { scope: "col" }, text)))), element("tbody", {}, ...rows)));
  }

  function close() { timelines.forEach((timeline) => timeline.close()); timelines = []; }
  const node = element("div", {}, element("div", { className: "head" }, element("h1", {}, "Two models, one recording")), form, body);
  return { title: "Compare", node, shown: compare, close, keys: (event) => (timelines[0] ? timelines.map((timeline) => timeline.key(event)).some(Boolean) : false) };
}
