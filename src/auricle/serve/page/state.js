// What all views share: what the server offers, the chosen model, and what this browser keeps.

export const state = {
  about: null, // the answer of /api/about
  model: "", // name of the chosen model
};

const PREFIX = "auricle-";

/** A value that this browser kept, or `otherwise`; browsers may refuse to keep anything. */
export function kept(name, otherwise = null) {
  try { return JSON.parse(localStorage.getItem(PREFIX + name)) ?? otherwise; } catch { return otherwise; }
}

export function keep(name, value) {
  try { localStorage.setItem(PREFIX + name, JSON.stringify(value)); } catch { /* the page works without */ }
}

export const modelNamed = (name) => state.about.models.find((model) => model.name === name);
export const currentModel = () => modelNamed(state.model) ?? state.about.models[0] ?? null;

/** Names of the classes of a model, over all heads. */
export function classesOf(model) {
  return [...new Set((model?.heads ?? []).flatMap((head) => head.classes))];
}
