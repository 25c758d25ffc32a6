// Functions that make and find parts of a page, and write numbers for people.

import { COLOURS } from "./drawing.js";

export const at = (id) => document.getElementById(id);

const ATTRIBUTES = new Set(["list", "form"]); // whose properties of the same name cannot be set

/** An element with properties or attributes, and children (elements or text). */
export function element(tag, values = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(values)) {
    if (name in made && !ATTRIBUTES.has(name)) made[name] = value; else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** A time in seconds, for people. */
export function seconds(time) {
  if (time < 60) return `${time.toFixed(2)} s`;
  const tenths = Math.round(10 * time);
  return `${Math.floor(tenths / 600)}:${((tenths % 600) / 10).toFixed(1).padStart(4, "0")}`;
}

/** A score, with a third decimal where two would round it to 0 or 1. */
export const scoreText = (score) => score.toFixed(score > 0.995 || score < 0.0005 ? 3 : 2);

/** A square in the colour of a class. */
export function dot(rank) {
  const made = element("i", { className: "dot", ariaHidden: "true" });
  made.style.setProperty("--own", `var(--c${rank % COLOURS})`);
  return made;
}

/** The time at a pointer, on an element that shows `from` to `to` seconds. */
export function timeAt(event, target, [from, to]) {
  const { left, width } = target.getBoundingClientRect();
  return from + Math.min(1, Math.max(0, (event.clientX - left) / width)) * (to - from);
}
