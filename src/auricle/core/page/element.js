// The two functions that make and find parts of a page.

export const at = (id) => document.getElementById(id);

/** An element with properties or attributes, and children (elements or text). */
export function element(tag, values = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(values)) {
    if (name in made) made[name] = value; else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}
