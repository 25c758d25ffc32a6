// Light or dark: as the system has it, or as this browser was told.

import { keep, kept } from "./state.js";

const CHOICES = ["auto", "light", "dark"];
const system = matchMedia("(prefers-color-scheme: dark)"), listeners = new Set();
let choice = CHOICES.includes(kept("theme")) ? kept("theme") : "auto";

export const themeChoice = () => choice;
export const isDark = () => (choice === "auto" ? system.matches : choice === "dark");

/** Call `listener` when the colours change. Returns the function that ends it. */
export function onRecolour(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const ask = (query) => query.includes("prefers-color-scheme");
const ruled = []; // rules for dark systems: a choice makes them hold always or never
export function applyTheme() {
  if (!ruled.length) {
    for (const sheet of document.styleSheets) for (const rule of sheet.cssRules) if (rule instanceof CSSMediaRule && ask(rule.media.mediaText)) ruled.push(rule);
  }
  for (const rule of ruled) rule.media.mediaText = choice === "auto" ? "(prefers-color-scheme: dark)" : choice === "dark" ? "all" : "not all";
  document.documentElement.style.colorScheme = choice === "auto" ? "" : choice;
  for (const listener of listeners) listener();
}

/** The next of: as the system, light, dark. */
export function nextTheme() {
  choice = CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
  keep("theme", choice);
  applyTheme();
  return choice;
}

system.addEventListener("change", () => { for (const listener of listeners) listener(); });
