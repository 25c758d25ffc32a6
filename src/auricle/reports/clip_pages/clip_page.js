"use strict";
// What the pages of clips share: what is kept in the browser, sound, places, the list of clips, tables, keys.
// The script behind this one defines `page`: {key, settled(i), inWords(answer, clip), mark(answer), show(focus), leave(), finished()},
// named() where names of classes are buttons, and line() and playButton() of the present clip where there are several of them.
const data = JSON.parse(document.getElementById("store").textContent);
const at = id => document.getElementById(id);
const START = { at: 0, answers: {}, added: [], history: [], auto: true };

// ---- what is kept: state.answers holds an answer by the number of its clip
let state = START, audio = null;
function restore() {
  try {
    state = { ...START, ...JSON.parse(localStorage.getItem(page.key) || "{}") };
    localStorage.setItem(page.key, JSON.stringify(state));
  } catch { at("lost").hidden = false; }
  state.at = Math.min(Math.max(0, state.at | 0), Math.max(0, data.clips.length - 1));
}
const keep = () => { try { localStorage.setItem(page.key, JSON.stringify(state)); } catch { at("lost").hidden = false; } };
addEventListener("storage", event => { // the page is open in another tab too: its answers are ours, or the next one here would undo them
  if (event.key !== page.key || !event.newValue) return;
  const { answers, added, history } = JSON.parse(event.newValue);
  Object.assign(state, { answers, added, history });
  page.named?.();
  page.show(false);
});
const clip = () => data.clips[state.at];
const span = c => c.start === null ? "" : ` ${+c.start.toFixed(3)}–${+c.end.toFixed(3)} s`;
const say = words => { at("status").textContent = words; };

function record(answer, words) {
  state.history.push({ at: state.at, before: state.answers[state.at] || null });
  state.answers[state.at] = answer;
  page.leave();
  keep();
  say(words);
}
function undo() {
  const last = state.history.pop();
  if (!last) return say("nothing to undo");
  if (last.before) state.answers[last.at] = last.before; else delete state.answers[last.at];
  page.leave();
  keep();
  say(`undone: clip ${last.at + 1}`);
  go(last.at);
}

// ---- places
const shown = i => !page.shown || page.shown(i); // a filter may hide clips
function following() {
  const count = data.clips.length;
  for (let step = 1; step <= count; step++) {
    const place = (state.at + step) % count;
    if (shown(place) && !page.settled(place)) return place;
  }
  return -1;
}
function neighbour(step) {
  let place = state.at + step;
  while (place >= 0 && place < data.clips.length && !shown(place)) place += step;
  return place >= 0 && place < data.clips.length ? place : -1;
}
function go(place) {
  if (place < 0) {
    page.show(false);
    return page.finished();
  }
  stop();
  state.at = place;
  page.leave();
  keep();
  page.show(true);
  if (state.auto && navigator.userActivation?.hasBeenActive !== false) play();
}
function arrive() {
  at("name").focus({ preventScroll: true });
  at("clip").scrollIntoView({ block: "start" });
}

// ---- sound
const lineOf = () => page.line ? page.line() : document.querySelector("#picture i");
const playButton = () => page.playButton ? page.playButton() : at("play");
function play() {
  stop();
  const c = clip(), start = data.link && c.start !== null ? c.from ?? c.start : 0;
  audio = new Audio(c.sound);
  const own = audio, line = lineOf();
  if (start) own.currentTime = start;
  const tick = () => {
    if (own !== audio) return;
    const share = (own.currentTime - start) / c.seconds;
    line.style.left = `${Math.min(100, Math.max(0, 100 * share))}%`;
    if (own.ended || (data.link && share >= 1)) return stop();
    requestAnimationFrame(tick);
  };
  own.play().then(() => { line.hidden = false; playButton().lastChild.nodeValue = " Stop"; tick(); }, error => {
    if (own !== audio) return;
    audio = null;
    if (error.name !== "AbortError" && error.name !== "NotAllowedError") say(`this clip cannot be played here (${error.message})`);
  });
}
function stop() {
  if (audio) audio.pause();
  audio = null;
  if (!data.clips.length) return;
  lineOf().hidden = true;
  playButton().lastChild.nodeValue = " Play";
}
const toggle = () => audio ? stop() : play();

// ---- what is shown
function showPicture() {
  const image = document.querySelector("#picture img"), c = clip();
  image.src = c.picture;
  image.alt = `Spectrogram of clip ${state.at + 1}, ${c.seconds.toFixed(1)} s`;
}
function showPlaces() {
  at("undo").disabled = !state.history.length;
  at("back").disabled = neighbour(-1) < 0;
  at("forward").disabled = neighbour(1) < 0;
  at("auto").checked = state.auto;
  const list = at("all");
  if (list.children.length !== data.clips.length) {
    list.textContent = "";
    data.clips.forEach((_, i) => {
      const item = document.createElement("li"), button = document.createElement("button");
      button.type = "button";
      button.textContent = i + 1;
      button.addEventListener("click", () => page.move(i));
      item.append(button);
      list.append(item);
    });
  }
  [...list.children].forEach((item, i) => {
    const button = item.firstChild, answer = state.answers[i];
    item.hidden = !shown(i);
    button.className = page.settled(i) ? page.mark(answer) : "";
    button.setAttribute("aria-label", `clip ${i + 1}: ${page.inWords(answer, data.clips[i])}`);
    if (i === state.at) button.setAttribute("aria-current", "true"); else button.removeAttribute("aria-current");
  });
}
function offer(names) { // in the list behind the field of another class
  at("known").textContent = "";
  for (const name of names) at("known").append(Object.assign(document.createElement("option"), { value: name }));
}

// ---- tables
const quoted = value => `"${value.replaceAll('"', '""')}"`;
function saveTable(file, head, rows) {
  const text = [head, ...rows.map(row => row.map(value => /[",\r\n;]|^\s|\s$/.test(value) ? quoted(value) : value))].map(row => row.join(",")).join("\r\n") + "\r\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = file;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  say(`${file} is saved`);
}

// ---- hands
const tidy = name => name.trim().replace(/\s+/g, " ");
function onKeys(actOf) {
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const own = event.target.closest("input, select, button, a, summary");
    if (own && (own.tagName === "SELECT" || (own.tagName === "INPUT" && own.type !== "checkbox"))) {
      if (event.key === "Escape") at("name").focus();
      return;
    }
    if (own && (event.key === " " || event.key === "Enter")) return;
    const act = actOf(event.key.length === 1 ? event.key.toLowerCase() : event.key);
    if (!act) return;
    event.preventDefault();
    act();
  });
}
function onClicks(acts) {
  for (const [id, act] of Object.entries(acts)) at(id).addEventListener("click", act);
  at("auto").addEventListener("change", event => { state.auto = event.target.checked; keep(); });
}
function onTyped(add) {
  at("other").addEventListener("submit", event => {
    event.preventDefault();
    const name = at("typed").value;
    at("typed").value = "";
    at("name").focus({ preventScroll: true });
    add(tidy(name));
  });
}
