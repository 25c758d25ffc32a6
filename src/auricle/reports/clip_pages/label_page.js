// Asks for the labels of clips, and saves them as labels.csv.
const many = data.kind === "multilabel";
let draft = null;
const page = {
  key: "auricle-labels-" + data.key,
  settled: i => { const a = state.answers[i]; return !!a && (many || a.how !== "no"); },
  inWords,
  mark: answer => ["unsure", "skip"].includes(answer.how) ? "doubt" : "done",
  show,
  move: place => move(place - state.at),
  leave: () => { draft = null; },
  named: () => buttons(),
  finished: () => {
    say("All clips have an answer: download labels.csv.");
    at("download").focus();
  },
};
restore();
const classes = () => [...data.classes, ...state.added]; // those with a button: what "no others" is about
const names = () => [...new Set([...classes(), ...data.names])];
const knownWith = labels => [...new Set([...classes(), ...labels])];

// ---- answers: {how: "yes" | "no" | "classes" | "unsure" | "skip", labels, known}
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
function add(name) {
  if (!name) return;
  const alike = other => other.toLowerCase() === name.toLowerCase();
  if (data.none && alike(data.none)) return none();
  name = names().find(alike) || name;
  if (!classes().includes(name)) { state.added.push(name); keep(); buttons(); }
  choose(name);
}

// ---- places
function move(step) {
  if (draft) record(answered("classes", [...draft], knownWith(draft)), [...draft].join(", ") || "none of these");
  go(Math.min(data.clips.length - 1, Math.max(0, state.at + step)));
}

// ---- what is shown
const WORDS = { yes: "yes", no: "no", unsure: "unsure", skip: "skipped" };
function inWords(a, c) {
  return !a ? "no answer" : a.how === "classes" ? a.labels.join(", ") || "none of these" : a.how === "yes" || a.how === "no" ? `${WORDS[a.how]}, ${c.label}` : WORDS[a.how];
}

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
  offer(names());
}

function show(focus) {
  const c = clip(), answer = state.answers[state.at], marked = chosen();
  at("name").textContent = `Clip ${state.at + 1} of ${data.clips.length}: ${c.name}${span(c)}`;
  at("why").textContent = `Why this clip: ${c.reason}. Answer: ${inWords(answer, c)}.`;
  at("question").textContent = `Is it ${c.label}? (score ${c.score.toFixed(2)})`;
  at("choose").textContent = many ? "Or choose what is in it: these and none of the others here" : "Or choose what it is";
  showPicture();
  for (const how of ["yes", "no", "unsure", "skip"]) at(how).setAttribute("aria-pressed", !draft && !!answer && answer.how === how);
  for (const button of document.querySelectorAll("#classes [data-name]")) {
    button.setAttribute("aria-pressed", (!!draft || (!!answer && answer.how === "classes")) && marked.has(button.dataset.name));
  }
  if (at("keep")) at("keep").disabled = !draft;
  progress();
  if (focus) arrive();
}

function progress() {
  const done = data.clips.filter((_, i) => page.settled(i)).length, answers = Object.values(state.answers);
  const number = how => answers.filter(a => a.how === how).length;
  at("progress").max = data.clips.length;
  at("progress").value = done;
  at("counts").textContent = `${done} of ${data.clips.length} answered, ${number("unsure")} unsure, ${number("skip")} skipped`;
  showPlaces();
  const rows = table().length, left = many ? 0 : number("no");
  at("left").hidden = !left;
  at("left").textContent = `${left} answered with no alone ${left === 1 ? "is" : "are"} left out: where classes exclude each other, a no names none. Choose a class, or none of these.`;
  at("download").disabled = !rows;
  at("download").textContent = `Download labels.csv (${rows} ${rows === 1 ? "clip" : "clips"})`;
  at("commands").textContent = data.command;
}

// ---- the table
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
  saveTable("labels.csv", ["path", "start", "end", "label", ...(many ? ["known"] : [])], table());
}

// ---- hands
const KEYS = { y: yes, n: no, u: () => aside("unsure"), s: () => aside("skip"), z: undo, 0: none, ArrowLeft: () => move(-1), ArrowRight: () => move(1), " ": toggle, Enter: saveDraft, "/": () => at("typed").focus() };
onKeys(key => {
  const number = /^[1-9]$/.test(key) && classes()[+key - 1];
  return number ? () => choose(number) : KEYS[key];
});
onClicks({ yes, no, undo, play: toggle, picture: toggle, download, unsure: () => aside("unsure"), skip: () => aside("skip"), back: () => move(-1), forward: () => move(1), next: () => go(following()) });
onTyped(add);
buttons();
show(false);
