// The frame of the page: views by address, the model, colours, and keys.

import { get } from "./api.js";
import { button, icon, link } from "./controls.js";
import { followEarlier } from "./jobs.js";
import { at, element } from "./parts.js";
import { stop } from "./player.js";
import { canTag, currentModel, keep, kept, state } from "./state.js";
import { applyTheme, nextTheme, themeChoice } from "./theme.js";
import { compareView } from "./views/compare.js";
import { recordingView } from "./views/recording.js";
import { recordingsView } from "./views/recordings.js";
import { reviewView } from "./views/review.js";
import { runsView } from "./views/runs.js";
import { similarView } from "./views/similar.js";
import { trainView } from "./views/train.js";

// A view is a function of (parts of the address, its query, tools) that returns {title, node, keys, close}; or a promise of it.
const VIEWS = {
  recordings: ["Recordings", "sounds", recordingsView, "1"],
  similar: ["Similar", "similar", similarView, "2"],
  review: ["Review", "review", reviewView, "3"],
  train: ["Train", "train", trainView, "4"],
  compare: ["Compare", "compare", compareView, "5"],
  runs: ["Runs", "runs", runsView, "6"],
};
const GENERAL = [["1 – 6", "go to a view"], ["t", "light, dark, or as the system"], ["?", "these keys"], ["Esc", "close, let go of a selection"]];

let view = null, shows = 0;

// ---- messages
/** Say something to those who read and to those who listen; errors stay until the next message. */
export function say(text, { error = false } = {}) {
  const line = at("said");
  line.textContent = text;
  line.classList.toggle("error", error);
  line.classList.remove("fresh");
  if (text) requestAnimationFrame(() => line.classList.add("fresh"));
  clearTimeout(say.timer);
  if (text && !error) say.timer = setTimeout(() => say(""), 6000);
}
const report = (error) => { if (error.name !== "AbortError") say(error.message, { error: error.code !== "cancelled" }); };

// ---- what the server offers
async function refresh() {
  state.about = await get("about");
  if (!state.about.models.some((model) => model.id === state.model)) state.model = kept("model", "");
  const chosen = currentModel();
  state.model = chosen?.id ?? "";
  at("model").replaceChildren(...state.about.models.map((model) => element("option", { value: model.id }, `${model.id}${model.trained ? " (trained here)" : ""}${canTag(model) ? "" : " (no classes)"}`)));
  at("model").value = state.model;
  at("model").disabled = state.about.models.length < 2;
}

function chooseModel(id) {
  state.model = id;
  at("model").value = id;
  keep("model", id);
}

// ---- views
const tools = { say, report, refresh, chooseModel, go: (address) => { location.hash = address; }, redraw: () => show(false) };

async function show(focus = true) {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?"), [name, ...rest] = path.split("/").map(decodeURIComponent);
  const own = ++shows, page = name === "recording" ? "recordings" : name in VIEWS ? name : "recordings";
  for (const tab of at("tabs").children) if (tab.dataset.view === page) tab.setAttribute("aria-current", "page"); else tab.removeAttribute("aria-current");
  const make = name === "recording" ? recordingView : VIEWS[page][2];
  let made;
  try {
    made = await make(rest, Object.fromEntries(new URLSearchParams(query)), tools);
  } catch (error) {
    made = { title: "Not shown", node: element("div", { className: "empty" }, element("h1", {}, "This cannot be shown"), element("p", {}, error.message), element("p", {}, link("To the recordings", "#/recordings"))) };
    if (!error.status) console.warn(error);
  }
  if (own !== shows) { made.close?.(); return; } // another address was asked for meanwhile
  view?.close?.();
  stop();
  view = made;
  document.title = `${made.title} · Auricle`;
  at("view").replaceChildren(made.node);
  at("view").className = `view-${name === "recording" ? "recording" : page}`;
  made.shown?.();
  if (focus) { at("view").focus({ preventScroll: true }); scrollTo(0, 0); }
  document.documentElement.dataset.view = name || page;
}

// ---- keys
function showKeys() {
  const group = (title, keys) => [element("h3", {}, title), element("dl", {}, ...keys.flatMap(([key, text]) => [element("dt", {}, ...key.split(" ").map((part) => (/^[–,/]$|^or$/.test(part) ? ` ${part} ` : element("kbd", {}, part)))), element("dd", {}, text)]))];
  const close = button("Close", () => at("keys").close(), { className: "primary" });
  at("keys").replaceChildren(element("h2", { id: "keys-title" }, "Keys"), ...(view?.help ? group("In this view", view.help) : []), ...group("Everywhere", GENERAL), close);
  at("keys").showModal();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || at("keys").open) return;
  const own = event.target.closest("input, select, textarea, button, a, summary");
  if (own && /^(INPUT|SELECT|TEXTAREA)$/.test(own.tagName) && !/^(checkbox|radio)$/.test(own.type)) {
    if (event.key === "Escape") own.blur();
    return;
  }
  if (own && (event.key === " " || event.key === "Enter")) return;
  const tab = Object.entries(VIEWS).find(([, [, , , key]]) => key === event.key);
  if (view?.keys?.(event)) event.preventDefault();
  else if (event.key === "?") showKeys();
  else if (event.key === "t") at("theme").click();
  else if (tab) location.hash = `/${tab[0]}`;
}

function showTheme() {
  const choice = themeChoice(), names = { auto: "as the system", light: "light", dark: "dark" };
  at("theme").replaceChildren(icon({ auto: "auto", light: "sun", dark: "moon" }[choice]));
  at("theme").ariaLabel = at("theme").title = `Colours: ${names[choice]}`;
}

async function start() {
  applyTheme();
  showTheme();
  at("tabs").replaceChildren(...Object.entries(VIEWS).map(([name, [title, drawing, , key]]) => {
    const tab = link("", `#/${name}`, { title: `${title} (${key})` });
    tab.dataset.view = name;
    tab.append(icon(drawing), element("span", {}, title));
    return tab;
  }));
  at("theme").onclick = () => { nextTheme(); showTheme(); };
  at("help").onclick = showKeys;
  document.querySelector(".skip").onclick = (event) => { event.preventDefault(); at("view").focus(); }; // the address belongs to the views
  at("model").onchange = ({ target }) => { chooseModel(target.value); show(false); };
  addEventListener("hashchange", () => show());
  addEventListener("keydown", onKey);
  try {
    await refresh();
    await show(false);
    await followEarlier(async () => { await refresh(); await show(false); });
    document.documentElement.dataset.ready = "yes";
  } catch (error) {
    at("view").replaceChildren(element("div", { className: "empty" }, element("h1", {}, "The page cannot start"), element("p", {}, error.message)));
  }
}

start();
