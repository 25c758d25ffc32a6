// Shows what a search found, and makes the next search from marks.
const WORDS = { like: "like this", unlike: "not this" };
const page = {
  key: "auricle-search-" + data.key,
  settled: i => i in state.answers || data.clips[i].example,
  show,
  leave: () => {},
  finished: () => {},
  line: () => card(state.at).querySelector(".view i"),
  playButton: () => card(state.at).querySelector(".sound"),
};
restore();
const card = i => at("cards").children[i];
const part = (tag, name, text) => Object.assign(document.createElement(tag), { className: name, textContent: text });

function button(name, text, act) {
  const made = part("button", name, text);
  made.type = "button";
  made.addEventListener("click", event => { event.stopPropagation(); act(); });
  return made;
}

function makeCard(c, i) {
  const item = part("li", c.example ? "example" : "", ""), view = part("div", "view", ""), image = document.createElement("img");
  image.src = c.picture;
  image.alt = `Spectrogram of ${c.name}${span(c)}`;
  const line = document.createElement("i");
  line.hidden = true;
  view.append(image, line);
  view.addEventListener("click", () => choose(i));
  const heading = part("h2", "", `${c.title} ${c.name}${span(c)}`);
  heading.id = `heading-${i}`;
  item.append(view, heading);
  if (c.value !== null) {
    const value = part("p", "value", `${c.measure} `), meter = part("span", "meter", ""), bar = document.createElement("i");
    bar.style.width = `${100 * Math.min(1, Math.max(0, c.value))}%`;
    meter.append(bar);
    value.append(part("b", "", c.value.toFixed(3)), meter);
    item.append(value);
  }
  for (const text of c.facts) item.append(part("p", "", text));
  const marks = part("div", "marks", ""), play = button("sound", " Play", () => choose(i));
  play.setAttribute("aria-describedby", heading.id);
  marks.append(play);
  if (!c.example && c.span !== null) {
    for (const how of ["like", "unlike"]) {
      const made = button(how, how === "like" ? "Like this" : "Not this", () => { move(i); mark(how); });
      made.setAttribute("aria-describedby", heading.id);
      made.setAttribute("aria-keyshortcuts", how === "like" ? "y" : "n");
      marks.append(made);
    }
  }
  item.append(marks);
  return item;
}

// ---- places
function choose(i) { // by hand: play, or stop what plays
  if (audio && i === state.at) return stop();
  move(i);
  play();
}
function move(i) {
  stop();
  state.at = i;
  keep();
  show(false);
}
function step(by) {
  const place = state.at + by;
  if (place >= 0 && place < data.clips.length) go(place);
}
function columns() {
  const cards = [...at("cards").children];
  return cards.filter(item => item.offsetTop === cards[0].offsetTop).length;
}

// ---- marks
function mark(how) {
  if (clip().example || clip().span === null) return say("this is an example already");
  const before = state.answers[state.at];
  if (before && before.how === how) { // the same again takes it back
    state.history.push({ at: state.at, before });
    delete state.answers[state.at];
    keep();
    say("mark removed");
  } else {
    record({ how }, `${clip().title} ${WORDS[how]}`);
  }
  show(false);
}
function command() {
  const marked = how => data.clips.filter((_, i) => state.answers[i]?.how === how).map(c => `'#${c.span}'`);
  const like = [...data.like, ...marked("like")], unlike = [...data.unlike, ...marked("unlike")];
  return [data.command, ...like, ...(unlike.length ? ["--unlike", ...unlike] : []), ...data.options].join(" ");
}
async function copy() {
  try {
    await navigator.clipboard.writeText(command());
    say("the command is copied");
  } catch {
    getSelection().selectAllChildren(at("commands"));
    say("the command is selected: copy it with the keyboard");
  }
}

function show(focus) {
  [...at("cards").children].forEach((item, i) => {
    if (i === state.at) item.setAttribute("aria-current", "true"); else item.removeAttribute("aria-current");
    for (const how of ["like", "unlike"]) item.querySelector(`.${how}`)?.setAttribute("aria-pressed", state.answers[i]?.how === how);
  });
  at("undo").disabled = !state.history.length;
  at("auto").checked = state.auto;
  at("commands").textContent = command();
  if (focus && data.clips.length) {
    card(state.at).scrollIntoView({ block: "nearest" });
    page.playButton().focus({ preventScroll: true });
  }
}

const KEYS = { y: () => mark("like"), n: () => mark("unlike"), z: undo, " ": () => data.clips.length && toggle(), ArrowLeft: () => step(-1), ArrowRight: () => step(1), ArrowUp: () => step(-columns()), ArrowDown: () => step(columns()) };
onKeys(key => KEYS[key]);
onClicks({ undo, copy });
at("cards").append(...data.clips.map(makeCard));
at("again").hidden = !data.command;
show(false);
