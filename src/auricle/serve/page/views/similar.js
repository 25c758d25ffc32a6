// Similar: where else is this sound? From examples and counter-examples, or from the score of a class.

import { get, post, spectrogramOf } from "../api.js";
import { button, chips, command, count, emptyState, field, icon, iconButton, link, playButton, select, small, spanText } from "../controls.js";
import { element, scoreText } from "../parts.js";
import { kept, keep, state } from "../state.js";
import { isDark } from "../theme.js";

const HELP = [["/", "look for a class"], ["f", "find"], ["c", "begin again"]];
const COUNTS = [10, 20, 50, 100];
const EMPTY = { examples: [], negatives: [], label: "", least: 0.5, filters: {}, top_k: 20 };

/** What the page says without an index: how to make one. */
export function indexNeeded(title) {
  const model = state.about.models[0]?.name ?? "mn04_as", folder = state.about.folders[0] ?? "recordings";
  return { title, node: emptyState(`${title} needs an index`, ["The server was started without one. An index holds the vectors and scores of all windows of your recordings. Make it once, and name it:",
    command(`auricle index ${folder} --model ${model} --out my.index\nauricle serve ${folder} --model ${model} --index my.index`), link("To the recordings", "#/recordings")]) };
}

export async function similarView(_, query, tools) {
  if (!state.about.index) return indexNeeded("Similar");
  let asked = { ...EMPTY, ...kept("search", {}) }, found = null;
  if (query.recording) { // an example that another view hands over begins a new search
    const { name } = await get(`recordings/${query.recording}`);
    asked = { ...EMPTY, top_k: asked.top_k, examples: [{ recording: query.recording, name, start: Number(query.start), end: Number(query.end) }] };
    history.replaceState(null, "", "#/similar");
    keep("search", asked);
  }

  const chosen = element("div", { className: "examples" }), results = element("ol", { className: "cards" }), heading = element("h2", {}, ""), notes = element("div");
  const classes = element("datalist", { id: "index-classes" }, ...state.about.index.classes.map((name) => element("option", { value: name })));
  const label = element("input", { type: "search", list: "index-classes", value: asked.label, placeholder: "any", autocomplete: "off" });
  const least = element("input", { type: "number", min: 0.05, max: 1, step: 0.05, value: asked.least });
  const top = select(COUNTS.map((n) => [String(n), String(n)]), String(asked.top_k), () => {});
  const filters = Object.fromEntries([["recorder", "Recorder"], ["place", "Place"], ["path", "Path"], ["after", "After"], ["before", "Before"]].map(([name, title]) => [name, [title, element("input", { value: asked.filters[name] ?? "", placeholder: { path: "night/*", after: "2024-05-01 or 05:30", before: "2024-06-01 or 22:00" }[name] ?? "any", autocomplete: "off" })]]));
  const go = element("button", { type: "submit", className: "primary" }, icon("similar"), "Find");
  const narrowed = Object.values(asked.filters).some(Boolean);
  const form = element("form", { className: "ask", ariaLabel: "What to look for", onsubmit: (event) => { event.preventDefault(); search(); } },
    chosen, element("div", { className: "row fields" }, field("Class", label), classes, field("Score at least", least), field("Results", top), go),
    element("details", { open: narrowed }, element("summary", {}, "Time, place and recorder"), element("div", { className: "row fields" }, ...Object.values(filters).map(([title, input]) => field(title, input)))));

  function showExamples() {
    const chip = (example, list, sign) => element("span", { className: `example ${sign}` }, playButton({ recording: example.recording, start: example.start, end: example.end, name: example.name, report: tools.report }),
      element("span", {}, element("b", {}, sign === "like" ? "like " : "not "), `${example.name} ${spanText(example.start, example.end)}`), iconButton("close", `Leave ${example.name} out`, () => { list.splice(list.indexOf(example), 1); showExamples(); search(); }));
    chosen.replaceChildren(...asked.examples.map((example) => chip(example, asked.examples, "like")), ...asked.negatives.map((example) => chip(example, asked.negatives, "unlike")));
    chosen.hidden = !chosen.children.length;
  }

  const read = () => {
    asked.label = label.value.trim();
    asked.least = Number(least.value);
    asked.top_k = Number(top.value);
    asked.filters = Object.fromEntries(Object.entries(filters).map(([name, [, input]]) => [name, input.value.trim()]).filter(([, value]) => value));
    keep("search", asked);
  };

  async function search() {
    read();
    if (!asked.examples.length && !asked.label) { found = null; show(); return; }
    const example = ({ recording, start, end, span }) => (span ? { span } : { recording, start, end });
    go.disabled = true;
    results.ariaBusy = "true";
    try {
      found = await post("search", {
        examples: asked.examples.map(example), negatives: asked.examples.length ? asked.negatives.map(example) : [], top_k: asked.top_k, filters: asked.filters,
        ...(asked.label ? { label: asked.label, least: asked.least } : {}),
      });
      show();
    } catch (error) { tools.report(error); }
    go.disabled = false;
    results.ariaBusy = "false";
  }

  function show() {
    heading.hidden = !found;
    heading.textContent = found ? (found.matches.length ? count(found.matches.length, "match", "matches") : "No matches") : "";
    notes.replaceChildren(...(found?.notes ?? []).map((note) => small(note)));
    if (!found) {
      results.replaceChildren(element("li", { className: "lead" }, element("p", {}, `${count(state.about.index.spans, "window")} of ${count(state.about.index.files, "recording")} are in the index. Look for a class above, or open a recording, select a sound and choose “Find similar”.`)));
      return;
    }
    results.replaceChildren(...found.matches.map(card));
  }

  function card(match) {
    const example = { recording: match.recording, name: match.name, start: match.start, end: match.end, span: match.span };
    const add = (list, other) => () => {
      const own = (one) => (one.span ? one.span === example.span : one.recording === example.recording && one.start === example.start);
      for (const known of [list, other]) { const at = known.findIndex(own); if (at >= 0) known.splice(at, 1); }
      list.push(example);
      showExamples();
      search();
    };
    const gone = match.recording === null; // the recording is not offered any more
    const meter = element("span", { className: "meter", ariaHidden: "true" }), value = match.similarity ?? match.score;
    meter.style.setProperty("--share", Math.max(0, value));
    const about = [match.recorder, match.place, match.time?.replace("T", " ")].filter(Boolean).join(" · ");
    const place = gone ? element("b", {}, match.name) : link(match.name, `#/recording/${match.recording}?start=${match.start}&end=${match.end}`);
    const picture = gone ? null : element("img", { src: spectrogramOf(match.recording, { start: match.start, end: match.end, width: 320, height: 96, theme: isDark() ? "dark" : "light" }), alt: "", loading: "lazy", width: 320, height: 96 });
    return element("li", { className: "card" },
      ...(gone ? [] : [element("div", { className: "thumb" }, picture, playButton({ recording: match.recording, start: match.start, end: match.end, name: `${match.name} ${spanText(match.start, match.end)}`, report: tools.report }))]),
      element("div", { className: "what" }, place, element("span", { className: "small" }, [spanText(match.start, match.end), about].filter(Boolean).join(" · "))),
      element("div", { className: "alike" }, meter, element("span", { className: "number", title: match.similarity === null ? "score" : "similarity" }, scoreText(value))),
      chips(match.tags),
      element("div", { className: "row" }, button([icon("add"), "Like this"], add(asked.examples, asked.negatives)), button([icon("minus"), "Not this"], add(asked.negatives, asked.examples))));
  }

  showExamples();
  show();
  const acts = { "/": () => label.focus(), f: search, c: () => { asked = structuredClone(EMPTY); label.value = ""; for (const [, input] of Object.values(filters)) input.value = ""; keep("search", asked); showExamples(); found = null; show(); } };
  const clear = button("Begin again", acts.c);
  const node = element("div", {}, element("div", { className: "head" }, element("h1", {}, "Where else is this sound?"), clear), form, element("section", {}, heading, notes, results));
  return {
    title: "Similar", node, help: HELP, shown: () => { if (asked.examples.length || asked.label) search(); },
    keys: ({ key }) => { if (!(key in acts)) return false; acts[key](); return true; },
  };
}
