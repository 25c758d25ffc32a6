// Buttons, icons, bars and the other small parts of the views.

import { COLOURS, clock } from "./drawing.js";
import { element, scoreText } from "./parts.js";
import { onPlayer, toggle } from "./player.js";

const SVG = "http://www.w3.org/2000/svg";
const ICONS = { // lines of 24 x 24
  sounds: "M3 12h2M7 8v8M11 4v16M15 7v10M19 10v4M22 12h-1",
  similar: "M10.5 17a6.5 6.5 0 1 0 0-13 6.5 6.5 0 0 0 0 13ZM15.5 15.5 21 21",
  review: "M4 12.5 9.5 18 20 6",
  train: "M4 19V5M4 19h16M8 15l4-5 3 3 5-7",
  compare: "M12 4v16M4 8h5M4 12h3M4 16h5M15 8h5M15 12h3M15 16h5",
  runs: "M5 4h14v16H5zM9 9h6M9 13h6",
  play: "M8 5.5v13l10.5-6.5z",
  pause: "M8 5v14M16 5v14",
  microphone: "M12 4a3 3 0 0 1 3 3v4a3 3 0 0 1-6 0V7a3 3 0 0 1 3-3ZM6 11a6 6 0 0 0 12 0M12 17v4",
  add: "M12 5v14M5 12h14",
  close: "M6 6l12 12M18 6 6 18",
  minus: "M5 12h14",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  download: "M12 4v11M7 11l5 5 5-5M5 20h14",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8ZM12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6 7 7M17 17l1.4 1.4M18.4 5.6 17 7M7 17l-1.4 1.4",
  moon: "M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10Z",
  auto: "M12 20a8 8 0 1 0 0-16M12 4a8 8 0 1 0 0 16zM12 4v16",
  label: "M4 5h9l7 7-7 7H4z",
  trash: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  open: "M9 6l6 6-6 6",
  undo: "M9 7 4 12l5 5M4 12h10a6 6 0 0 1 6 6",
};

/** A drawing of a few lines; it has no name of its own. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg"), path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon-line");
  if (name === "play") svg.classList.add("filled");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}

export const button = (text, onclick, values = {}) => element("button", { type: "button", onclick, ...values }, ...(Array.isArray(text) ? text : [text]));

/** A button that shows a drawing alone; `name` is read to those who do not see it. */
export function iconButton(drawing, name, onclick, values = {}) {
  return element("button", { type: "button", className: "icon", ariaLabel: name, title: name, onclick, ...values }, icon(drawing));
}

export const link = (text, href, values = {}) => element("a", { href, ...values }, text);
export const small = (...text) => element("p", { className: "small" }, ...text);
export const none = (...text) => element("p", { className: "none" }, ...text);

/** A round button that plays a part of a recording. `report(error)`: it cannot be played. */
export function playButton({ recording, start = 0, end = Infinity, name, report }) {
  const key = `${recording}@${start}-${end}`;
  const made = button([], () => Promise.resolve(toggle(recording, start, end, key)).catch(report), { className: "icon play-round" });
  Object.assign(made.dataset, { plays: key, name });
  showPlaying(made, false);
  return made;
}

function showPlaying(made, on) {
  made.classList.toggle("on", on);
  made.replaceChildren(icon(on ? "pause" : "play"));
  made.ariaLabel = made.title = `${on ? "Pause" : "Play"} ${made.dataset.name}`;
}

let shown = "";
onPlayer(({ key, playing }) => {
  const now = playing ? key : "";
  if (now === shown) return;
  shown = now;
  for (const made of document.querySelectorAll(".play-round")) if (made.classList.contains("on") !== (made.dataset.plays === now)) showPlaying(made, made.dataset.plays === now);
});

/** A label with its score as a bar. `rank`: of its colour; null: no colour of its own. */
export function scoreBar(label, score, { rank = null, mark = "", onclick = null } = {}) {
  const bar = element("span", { className: "meter", ariaHidden: "true" });
  bar.style.setProperty("--share", Math.max(0, Math.min(1, score)));
  bar.style.setProperty("--own", rank === null ? "var(--soft)" : `var(--c${rank % COLOURS})`);
  const marked = mark ? [" ", element("b", { className: "mark" }, mark)] : [];
  const name = onclick ? button(label, onclick, { className: "as-text" }) : element("span", {}, label);
  return element("li", {}, element("span", { className: "name" }, name, ...marked), bar, element("span", { className: "number" }, scoreText(score)));
}

export const chips = (tags, count = 3) => element("span", { className: "chips" }, ...tags.slice(0, count).map(({ label, score }) => element("span", { className: "chip" }, label, element("i", {}, scoreText(score)))));

/** From and to of a part of a recording. */
export function spanText(start, end) {
  const tenth = (time) => (time < 60 ? time.toFixed(1) : clock(time));
  return end < 60 ? `${tenth(start)}–${tenth(end)} s` : `${clock(start)}–${clock(end)}`;
}

export function field(label, control, hint = "") {
  return element("label", { className: "field" }, element("span", {}, label), control, ...(hint ? [element("small", {}, hint)] : []));
}

export function select(values, chosen, onchange, more = {}) {
  const made = element("select", { onchange, ...more }, ...values.map(([value, text]) => element("option", { value }, text)));
  if (chosen !== null && chosen !== undefined) made.value = chosen;
  return made;
}

export const count = (number, one, many = `${one}s`) => `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

/** What a view shows where something is not there: why, and what to do. */
export function emptyState(title, lines, heading = "h1") {
  return element("div", { className: "empty" }, element(heading, {}, title), ...lines.map((line) => (line instanceof Node ? line : element("p", {}, line))));
}

export const command = (text) => element("pre", { className: "command", tabIndex: 0, role: "region", ariaLabel: "Command" }, text);
