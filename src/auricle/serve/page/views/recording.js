// One recording: time line, labels, events, and what can be done with a part of it.

import { downloadOf, get, post } from "../api.js";
import { button, count, emptyState, field, icon, iconButton, link, none, scoreBar, select, small, spanText } from "../controls.js";
import { clock } from "../drawing.js";
import { runJob } from "../jobs.js";
import { dot, element, scoreText, seconds } from "../parts.js";
import { isPlaying, onPlayer, play, seek, stop, toggle } from "../player.js";
import { canTag, classesOf, currentModel, state } from "../state.js";
import { Timeline } from "../timeline.js";

const LANES = 8, MOST_LANES = 16; // classes over time: with events, and the likeliest others up to eight
const MOST_EVENTS = 200; // in the table; the downloads hold all
const AT_ONCE = 30 * 60; // seconds: shorter recordings are scored when they are opened
const WINDOWS = ["0.5", "1", "2", "5", "10", "30"]; // seconds
const HELP = [
  ["space", "play, pause; what is selected, if something is"], ["← →", "move; with shift: select"], ["+ -", "zoom"], ["0", "the whole recording"], ["PageUp PageDown", "the part before, after"],
  ["s", "find similar sounds"], ["l", "label what is selected"], ["Esc", "select nothing"],
];

export async function recordingView([id], query, tools) {
  const recording = await get(`recordings/${id}`);
  if (recording.error) return { title: recording.name, node: emptyState(recording.name, [recording.error, link("To the recordings", "#/recordings")]) };
  let result = null, labels = [], ranks = new Map();

  // ---- the time line, and its player
  const timeline = new Timeline({ recording, onSeek: (time) => seek(id, time).then(() => timeline.moveTo(time)).catch(tools.report), onSelect: showSelection, onError: tools.report });
  const playing = button([icon("play"), "Play"], playPause, { className: "primary play-main", ariaKeyShortcuts: "Space" }), where = element("span", { className: "number where" }, `0:00 / ${clock(recording.seconds)}`);
  const transport = element("div", { className: "row transport" }, playing, where, element("span", { className: "spacer" }),
    element("span", { className: "group" }, iconButton("minus", "Show more time (-)", () => timeline.zoom(1 / 0.6)), iconButton("add", "Show less time (+)", () => timeline.zoom(0.6)), iconButton("fit", "The whole recording (0)", () => timeline.fit())));
  let selectedKey = "";

  function playPause() {
    const chosen = timeline.selection;
    selectedKey = chosen ? `${id}@${chosen.join("-")}` : id;
    if (isPlaying(selectedKey) || isPlaying(id)) return stop();
    const start = chosen ? chosen[0] : timeline.time >= recording.seconds - 0.05 ? 0 : timeline.time;
    return Promise.resolve(play(id, start, chosen ? chosen[1] : Infinity, selectedKey)).catch(tools.report);
  }
  const playSpan = (start, end) => Promise.resolve(toggle(id, start, end, `${id}@${start}-${end}`)).catch(tools.report);
  const unfollow = onPlayer((now) => {
    if (now.recording !== id) return;
    timeline.moveTo(now.time, now.playing);
    where.textContent = `${clock(Math.floor(now.time))} / ${clock(recording.seconds)}`;
    if (playing.classList.contains("on") !== now.playing) {
      playing.classList.toggle("on", now.playing);
      playing.replaceChildren(icon(now.playing ? "pause" : "play"), now.playing ? "Pause" : "Play");
    }
  });

  // ---- what is selected
  const selectionText = element("b", {}), labelInput = element("input", { list: "class-names", placeholder: "Label", ariaLabel: "Label of the selection", autocomplete: "off" });
  const names = element("datalist", { id: "class-names" }, ...classesOf(currentModel()).map((name) => element("option", { value: name })));
  const selection = element("form", { className: "row chosen", hidden: true, ariaLabel: "The selection", onsubmit: (event) => { event.preventDefault(); labelSelection(); } },
    selectionText, button([icon("similar"), "Find similar"], findSimilar), element("span", { className: "pair" }, labelInput, element("button", { type: "submit" }, icon("label"), "Label this")),
    button("Zoom", () => timeline.show(...timeline.selection)), names, iconButton("close", "Select nothing", () => timeline.select(null)));
  const hint = small(`Drag over the spectrogram to select a part: play it, find similar sounds, or label it. ${matchMedia("(pointer: coarse)").matches ? "Two fingers zoom." : "The wheel zooms."}`);

  function showSelection(chosen) {
    selection.hidden = !chosen;
    hint.hidden = Boolean(chosen);
    if (chosen) selectionText.textContent = chosen[1] < 60 ? `${chosen[0].toFixed(2)} – ${chosen[1].toFixed(2)} s` : chosen.map(seconds).join(" – ");
  }

  function findSimilar() {
    const [start, end] = timeline.selection ?? [0, recording.seconds];
    tools.go(`/similar?recording=${id}&start=${start.toFixed(3)}&end=${end.toFixed(3)}`);
  }

  async function labelSelection() {
    const label = labelInput.value.trim(), chosen = timeline.selection;
    if (!label) { tools.say("Type a label first.", { error: true }); labelInput.focus(); return; }
    try {
      await post("labels", { labels: [{ recording: id, start: +chosen[0].toFixed(3), end: +chosen[1].toFixed(3), label }] });
      tools.say(`${label}: ${spanText(...chosen)} is labelled.`);
      labelInput.value = "";
      timeline.select(null);
      timeline.stage.focus();
      await loadLabels();
    } catch (error) { tools.report(error); }
  }

  // ---- results
  const answer = element("div", { className: "answer" }), model = currentModel();
  const windowChoice = select([["", "automatic"], ...WINDOWS.map((size) => [size, `${size} s`])], "", () => {}, { ariaLabel: "Window" });
  const hopChoice = select([["", "half a window"], ["1", "a window"], ["4", "a quarter"]], "", () => {}, { ariaLabel: "Step" });
  const again = button("Find labels", () => tag());
  const settings = element("div", { className: "row settings" }, again, field("Window", windowChoice), field("Step", hopChoice));
  settings.hidden = !canTag(model);

  async function tag() {
    again.disabled = true;
    const window = windowChoice.value ? Number(windowChoice.value) : undefined, hop = hopChoice.value ? (window ?? state.about.window) / Number(hopChoice.value) : undefined;
    try {
      await runJob("tag", { recordings: [id], model: state.model, window, hop }, `Labels of ${recording.name}`);
      await loadResult();
      tools.say(result.tags.length ? `${result.tags[0].label} is likeliest.` : "Done.");
    } catch (error) { tools.report(error); }
    again.disabled = false;
  }

  async function loadResult() {
    result = await get(`recordings/${id}/results`, { model: state.model });
    again.textContent = "Find labels again";
    downloads.hidden = false;
    showResult();
  }

  /** Classes with a lane: those with events, the highest scores first, then the likeliest others. */
  function lanesOf() {
    const found = new Set(result.events.map((event) => event.label)), lanes = result.lanes;
    const first = lanes.filter(({ label }) => found.has(label)).slice(0, MOST_LANES), others = lanes.filter(({ label }) => !found.has(label)).slice(0, Math.max(0, LANES - first.length));
    return [...first, ...others].sort((a, b) => b.score - a.score);
  }

  function showResult() {
    const windows = result.windows, lanes = lanesOf();
    ranks = new Map(lanes.map(({ label }, i) => [label, i]));
    timeline.setLanes(lanes.map((lane) => ({ ...lane, rank: ranks.get(lane.label), windows, values: lane.scores, limit: lane.threshold, events: result.events.filter((event) => event.label === lane.label) })), (lane) => {
      const [start, end] = windows[lane.scores.indexOf(Math.max(...lane.scores))];
      timeline.onSeek(start);
      if (start < timeline.range[0] || end > timeline.range[1]) timeline.show(start - 2, end + 2);
    });
    const detected = new Set((result.detected ?? []).map(({ label }) => label));
    const tags = element("ol", { className: "scores" }, ...result.tags.map(({ label, score }) => scoreBar(label, score, { rank: ranks.get(label) ?? null, mark: detected.has(label) ? "detected" : "" })));
    const notes = result.notes?.length ? [element("ul", { className: "notes" }, ...result.notes.map((note) => element("li", {}, note)))] : [];
    answer.replaceChildren(...notes, element("div", { className: "columns" },
      element("section", {}, element("h2", {}, "Top labels"), small(windows.length > 1 ? `The highest score of any window of ${seconds(windows[0][1] - windows[0][0])}.` : "Of the whole recording."), tags),
      element("section", {}, element("h2", {}, result.events.length ? count(result.events.length, "event") : "Events"), eventsTable())));
  }

  function eventsTable() {
    if (!result.events.length) return none("No class reaches its threshold.");
    const rows = result.events.slice(0, MOST_EVENTS).map((event) => element("tr", {},
      element("td", {}, ...(ranks.has(event.label) ? [dot(ranks.get(event.label))] : []), event.label),
      element("td", { className: "n" }, spanText(event.start, event.end)), element("td", { className: "n" }, scoreText(event.score)),
      element("td", { className: "n" }, iconButton("play", `Play ${event.label} at ${seconds(event.start)}`, () => { timeline.select([event.start, event.end]); playSpan(event.start, event.end); }, { className: "icon small-icon" }))));
    const titles = [["label", ""], ["time", "n"], ["score", "n"]].map(([text, className]) => element("th", { scope: "col", className }, text));
    const table = element("table", {}, element("thead", {}, element("tr", {}, ...titles, element("td", {}))), element("tbody", {}, ...rows));
    const rest = result.events.length > MOST_EVENTS ? [small(`${result.events.length - MOST_EVENTS} more are in the downloads.`)] : [];
    return element("div", {}, element("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "Events" }, table), ...rest);
  }

  // ---- labels of people
  const own = element("section", { className: "own-labels", hidden: true });
  async function loadLabels() {
    labels = (await get("labels", { recording: id })).labels;
    own.hidden = !labels.length;
    own.replaceChildren(element("h2", {}, count(labels.length, "label of yours", "labels of yours")), element("ul", { className: "segments" }, ...labels.map(({ start, end, label }) => element("li", {}, button(`${label}  ${spanText(start, end)}`, () => { timeline.select([start, end]); playSpan(start, end); })))),
      small(link("Train a head on your labels", "#/train")));
  }

  const formats = Object.entries(state.about.formats);
  const downloads = element("details", { className: "menu", hidden: true }, element("summary", { className: "button" }, icon("download"), "Download"),
    element("ul", {}, ...formats.map(([format, what]) => element("li", {}, link(what, downloadOf(id, format, state.model), { download: "" })))));
  const facts = [clock(recording.seconds), `${+(recording.rate / 1000).toFixed(3)} kHz`, recording.channels === 1 ? "mono" : `${recording.channels} channels`, recording.source === "upload" ? "upload" : recording.source].join(" · ");
  const title = element("div", { className: "head" }, element("div", {}, element("h1", {}, recording.name), small(facts, ...(recording.notes.length ? [`; ${recording.notes.join("; ")}`] : []))),
    element("div", { className: "row" }, ...(state.about.index ? [button([icon("similar"), "Similar"], findSimilar)] : []), link("Compare", `#/compare?recording=${id}`, { className: "button" }), downloads));
  const node = element("div", {}, title, transport, timeline.root, hint, selection, settings, answer, own);
  const waits = element("p", { className: "none", role: "status" }, "The labels are computed…");

  async function first() {
    await loadLabels().catch(() => {});
    if (query.start) {
      const chosen = [Number(query.start), Number(query.end ?? recording.seconds)], around = Math.max(5, 2 * (chosen[1] - chosen[0]));
      if (recording.seconds > 60) timeline.show(chosen[0] - around, chosen[1] + around);
      timeline.select(chosen);
    }
    if (!canTag(model)) { answer.replaceChildren(none("This model has no classes. Choose another one above, or train a head on your labels.")); return; }
    if (recording.tagged.includes(state.model)) { await loadResult().catch(tools.report); return; }
    if (recording.seconds > AT_ONCE) { answer.replaceChildren(none(`This recording lasts ${clock(recording.seconds)}. 'Find labels' scores it, which takes a while.`)); return; }
    answer.replaceChildren(waits);
    await tag();
    if (waits.isConnected) waits.remove();
  }

  const acts = { " ": playPause, s: findSimilar, l: () => { if (timeline.selection) labelInput.focus(); else tools.say("Select a part first: drag over the spectrogram."); } };
  return {
    title: recording.name, node, help: HELP, shown: () => { first(); },
    keys: (event) => { if (event.key in acts) { acts[event.key](); return true; } return timeline.key(event); },
    close: () => { unfollow(); timeline.close(); },
  };
}
