// What all views share: what the server offers, the chosen model, and what this browser keeps.

export const state = {
  about: null, // the answer of /api/about
  model: "", // id of the chosen model
};

const PREFIX = "auricle-";

/** A value that this browser kept, or `otherwise`; browsers may refuse to keep anything. */
export function kept(name, otherwise = null) {
  try { return JSON.parse(localStorage.getItem(PREFIX + name)) ?? otherwise; } catch { return otherwise; }
}

export function keep(name, value) {
  try { localStorage.setItem(PREFIX + name, JSON.stringify(value)); } catch { /* the page works without */ }
}

export const modelWith = (id) => state.about.models.find((model) => model.id === id) ?? null;
export const currentModel = () => modelWith(state.model) ?? state.about.models[0] ?? null;

/** Names of the classes of a model, over all heads. */
export const classesOf = (model) => [...new Set(Object.values(model?.classes ?? {}).flat())];

/** True for a model that has classes. */
export const canTag = (model) => classesOf(model).length > 0;
