"use strict";
const data = JSON.parse(document.getElementById("store").textContent);
const at = id => document.getElementById(id);
const many = data.kind === "multilabel";
const KEY = "auricle-labels-" + data.key;
const START = { at: 0, answers: {}, added: [], history: [], auto: true };

// ---- what is kept
let state = START, draft = null, audio = null;
try {
  state = { ...START, ...JSON.parse(localStorage.getItem(KEY) || "{}") };
  localStorage.setItem(KEY, JSON.stringify(state));
} catch { at("lost").hidden = false; }
state.at = Math.min(Math.max(0, state.at | 0), Math.max(0, data.clips.length - 1));
const keep = () => { try { localStorage.setItem(KEY, JSON.stringify(state)); } catch { at("lost").hidden = false; } };
const classes = () => [...data.classes, ...state.added]; // those with a button: what "no others" is about
const names = () => [...new Set([...classes(), ...data.names])];
const knownWith = labels => [...new Set([...classes(), ...labels])];
const clip = () => data.clips[state.at];
const span = c => c.start === null ? "" : ` ${+c.start.toFixed(3)}–${+c.end.toFixed(3)} s`;

// ---- answers: {how: "yes" | "no" | "classes" | "unsure" | "skip", labels, known}
function record(answer, words) {
  state.history.push({ at: state.at, before: state.answers[state.at] || null });
  state.answers[state.at] = answer;
  draft = null;
  keep();
  say(words);
}
const chosen = () => draft || new Set((state.answers[state.at] || {}).labels || []);
const answered = (how, labels, known) => ({ how, labels, known });

function yes() {
  if (draft && draft.size) { draft.add(clip().label); return saveDraft(); }
  record(answered("yes", [clip().label], [clip().label]), `yes, ${clip().label}`);
  go(following());
}
function no() {
  if (draft && draft.size) { draft.delete(clip().label); return saveDraft(); }
  if (!many && names().length === 1) return none();
  record(answered("no", [], [clip().label]), many ? `no, not ${clip().label}` : `not ${clip().label}: which one is it? 0: none of these`);
  if (many) go(following()); else show(false);
}
function none() {
  record(answered("classes", many ? [] : [data.none], classes()), "none of these");
  go(following());
}
function aside(how) {
  record(answered(how, [], []), how === "skip" ? "skipped" : "unsure");
  go(following());
}
function choose(name) {
  if (!many) {
    record(answered("classes", [name], knownWith([name])), name);
    return go(following());
  }
  draft = new Set(chosen());
  if (draft.has(name)) draft.delete(name); else draft.add(name);
  say(`chosen: ${[...draft].join(", ") || "nothing"}. Enter saves: these and no others`);
  show(false);
}
function saveDraft() {
  if (!draft) return;
  const labels = [...draft];
  record(answered("classes", labels, knownWith(labels)), labels.join(", ") || "none of these");
  go(following());
}
function undo() {
  const last = state.history.pop();
  if (!last) return say("nothing to undo");
  if (last.before) state.answers[last.at] = last.before; else delete state.answers[last.at];
  draft = null;
  keep();
  say(`undone: clip ${last.at + 1}`);
  go(last.at);
}
function add(name) {
  name = name.trim().replace(/\s+/g, " ");
  if (!name) return;
  const alike = other => other.toLowerCase() === name.toLowerCase();
  if (data.none && alike(data.none)) return none();
  name = names().find(alike) || name;
  if (!classes().includes(name)) { state.added.push(name); keep(); buttons(); }
  choose(name);
}

// ---- places
const settled = i => { const a = state.answers[i]; return !!a && (many || a.how !== "no"); };
function following() {
  const count = data.clips.length;
  for (let step = 1; step <= count; step++) if (!settled((state.at + step) % count)) return (state.at + step) % count;
  return -1;
}
function go(place) {
  if (place < 0) {
    show(false);
    say("All clips have an answer: download labels.csv.");
    return at("download").focus();
  }
  stop();
  state.at = place;
  draft = null;
  keep();
  show(true);
  if (state.auto && navigator.userActivation?.hasBeenActive !== false) play();
}
function move(step) {
  if (draft) record(answered("classes", [...draft], knownWith(draft)), [...draft].join(", ") || "none of these");
  go(Math.min(data.clips.length - 1, Math.max(0, state.at + step)));
}

// ---- sound
function play() {
  stop();
  const c = clip(), start = data.link && c.start !== null ? c.start : 0;
  audio = new Audio(c.sound);
  const own = audio, line = document.querySelector("#picture i");
  if (start) own.currentTime = start;
  const tick = () => {
    if (own !== audio) return;
    const share = (own.currentTime - start) / c.seconds;
    line.style.left = `${Math.min(100, Math.max(0, 100 * share))}%`;
    if (own.ended || (data.link && share >= 1)) return stop();
    requestAnimationFrame(tick);
  };
  own.play().then(() => { line.hidden = false; at("play").lastChild.nodeValue = " Stop"; tick(); }, error => {
    if (own !== audio) return;
    audio = null;
    if (error.name !== "AbortError" && error.name !== "NotAllowedError") say(`this clip cannot be played here (${error.message})`);
  });
}
function stop() {
  if (audio) audio.pause();
  audio = null;
  document.querySelector("#picture i").hidden = true;
  at("play").lastChild.nodeValue = " Play";
}
const toggle = () => audio ? stop() : play();

// ---- what is shown
const WORDS = { yes: "yes", no: "no", unsure: "unsure", skip: "skipped" };
const inWords = (a, c) => !a ? "no answer" : a.how === "classes" ? a.labels.join(", ") || "none of these" : a.how === "yes" || a.how === "no" ? `${WORDS[a.how]}, ${c.label}` : WORDS[a.how];
const say = words => { at("status").textContent = words; };

function buttons() {
  const row = at("classes");
  row.textContent = "";
  const named = classes().map((name, i) => [i < 9 ? `${i + 1}` : "", name, () => choose(name)]);
  for (const [key, name, act] of [...named, ["0", many ? "None of these" : `None of these (${data.none})`, none], ...(many ? [["Enter", "Save the choice", saveDraft]] : [])]) {
    const button = document.createElement("button");
    button.type = "button";
    if (key) {
      const hint = document.createElement("kbd");
      hint.textContent = key;
      button.append(hint, " ");
      button.setAttribute("aria-keyshortcuts", key);
    }
    button.append(name);
    button.addEventListener("click", act);
    if (classes().includes(name) && key !== "0") button.dataset.name = name;
    if (act === saveDraft) button.id = "keep";
    row.append(button);
  }
  at("known").textContent = "";
  for (const name of names()) at("known").append(Object.assign(document.createElement("option"), { value: name }));
}

function show(focus) {
  const c = clip(), answer = state.answers[state.at], marked = chosen();
  at("name").textContent = `Clip ${state.at + 1} of ${data.clips.length}: ${c.name}${span(c)}`;
  at("why").textContent = `Why this clip: ${c.reason}. Answer: ${inWords(answer, c)}.`;
  at("question").textContent = `Is it ${c.label}? (score ${c.score.toFixed(2)})`;
  at("choose").textContent = many ? "Or choose what is in it: these and none of the others here" : "Or choose what it is";
  const image = document.querySelector("#picture img");
  image.src = c.picture;
  image.alt = `Spectrogram of clip ${state.at + 1}, ${c.seconds.toFixed(1)} s`;
  for (const how of ["yes", "no", "unsure", "skip"]) at(how).setAttribute("aria-pressed", !draft && !!answer && answer.how === how);
  for (const button of document.querySelectorAll("#classes [data-name]")) {
    button.setAttribute("aria-pressed", (!!draft || (!!answer && answer.how === "classes")) && marked.has(button.dataset.name));
  }
  if (at("keep")) at("keep").disabled = !draft;
  at("undo").disabled = !state.history.length;
  at("back").disabled = state.at === 0;
  at("forward").disabled = state.at === data.clips.length - 1;
  at("auto").checked = state.auto;
  progress();
  if (focus) { at("name").focus({ preventScroll: true }); at("clip").scrollIntoView({ block: "start" }); }
}

function progress() {
  const done = data.clips.filter((_, i) => settled(i)).length, answers = Object.values(state.answers);
  const number = how => answers.filter(a => a.how === how).length;
  at("progress").max = data.clips.length;
  at("progress").value = done;
  at("counts").textContent = `${done} of ${data.clips.length} answered, ${number("unsure")} unsure, ${number("skip")} skipped`;
  const list = at("all");
  if (list.children.length !== data.clips.length) {
    list.textContent = "";
    data.clips.forEach((_, i) => {
      const item = document.createElement("li"), button = document.createElement("button");
      button.type = "button";
      button.textContent = i + 1;
      button.addEventListener("click", () => move(i - state.at));
      item.append(button);
      list.append(item);
    });
  }
  [...list.children].forEach(({ firstChild: button }, i) => {
    const answer = state.answers[i];
    button.className = !settled(i) ? "" : ["unsure", "skip"].includes(answer.how) ? "doubt" : "done";
    button.setAttribute("aria-label", `clip ${i + 1}: ${inWords(answer, data.clips[i])}`);
    if (i === state.at) button.setAttribute("aria-current", "true"); else button.removeAttribute("aria-current");
  });
  const rows = table().length, left = many ? 0 : number("no");
  at("left").hidden = !left;
  at("left").textContent = `${left} answered with no alone ${left === 1 ? "is" : "are"} left out: where classes exclude each other, a no names none. Choose a class, or none of these.`;
  at("download").disabled = !rows;
  at("download").textContent = `Download labels.csv (${rows} ${rows === 1 ? "clip" : "clips"})`;
  at("commands").textContent = data.command;
}

// ---- the table
const quoted = value => `"${value.replaceAll('"', '""')}"`;
const plain = /^[\p{L}\p{N}_.][\p{L}\p{N}_. -]*$/u;
// several names, or a name with other signs, are quoted inside the cell: commas and brackets would be taken for lists
const cell = names => names.every(name => plain.test(name) && !/^(array|list|set|frozenset|tuple)\(/.test(name)) ? names.join(",") : names.map(quoted).join(",");
function table() {
  const rows = [];
  data.clips.forEach((c, i) => {
    const a = state.answers[i];
    if (!a || a.how === "unsure" || a.how === "skip" || (!many && a.how === "no")) return;
    const place = [c.path, c.start === null ? "" : String(c.start), c.end === null ? "" : String(c.end), cell(a.labels)];
    rows.push(many ? [...place, cell(a.known)] : place);
  });
  return rows;
}
function download() {
  const head = ["path", "start", "end", "label", ...(many ? ["known"] : [])];
  const text = [head, ...table().map(row => row.map(value => /[",\r\n;]|^\s|\s$/.test(value) ? quoted(value) : value))].map(row => row.join(",")).join("\r\n") + "\r\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = "labels.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  say("labels.csv is saved");
}

// ---- hands
const KEYS = { y: yes, n: no, u: () => aside("unsure"), s: () => aside("skip"), z: undo, 0: none, ArrowLeft: () => move(-1), ArrowRight: () => move(1), " ": toggle, Enter: saveDraft, "/": () => at("typed").focus() };
document.addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const own = event.target.closest("input, button, a, summary");
  if (own && own.tagName === "INPUT" && own.type !== "checkbox") {
    if (event.key === "Escape") at("name").focus();
    return;
  }
  if (own && (event.key === " " || event.key === "Enter")) return;
  const number = /^[1-9]$/.test(event.key) && classes()[+event.key - 1];
  const act = number ? () => choose(number) : KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
for (const [id, act] of Object.entries({ yes, no, undo, play: toggle, picture: toggle, download, unsure: () => aside("unsure"), skip: () => aside("skip"), back: () => move(-1), forward: () => move(1), next: () => { const place = following(); go(place); } })) {
  at(id).addEventListener("click", act);
}
at("auto").addEventListener("change", event => { state.auto = event.target.checked; keep(); });
at("other").addEventListener("submit", event => {
  event.preventDefault();
  const name = at("typed").value;
  at("typed").value = "";
  at("name").focus({ preventScroll: true });
  add(name);
});
buttons();
show(false);
