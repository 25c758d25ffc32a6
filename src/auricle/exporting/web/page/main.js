// The page: a file or the microphone in, answers out.
//
// An answer holds `spans` (start and end of each window in seconds), `rows` (scores of each window, by output), `best` (the
// highest of each class), `whole` (scores of the recording, by output; null while listening), `events`, `range` (seconds shown),
// and for files `samples` at `rate`.

import { clock } from "./drawing.js";
import { Head, eventsTable, findEvents, highest, labelTrack, scoresTable } from "./events.js";
import { replayGolden } from "./golden.js";
import { Microphone } from "./live.js";
import { Network } from "./network.js";
import { at, element, timeAt } from "./parts.js";
import { downmix, piecesOf, rateInHeader, windowsOf } from "./signals.js";
import { headSection, labelList, redraw, showModel, showPosition } from "./view.js";

const MOST_SECONDS = 30 * 60, MOST_BYTES = 700e6; // decoded sound is held in memory
const WINDOWS = [1, 2, 5, 10, 30]; // seconds
const SHORT_WINDOW = 2, LONG_WINDOW = 10, LONG_SECONDS = 120; // recordings of 2 minutes and more: windows of 10 s
const LIVE_WINDOW = 5, LIVE_HOP = 1, LIVE_SHOWN = 60, LIVE_KEPT = 30 * 60; // seconds
const PROGRESS_EVERY = 100; // milliseconds

const network = new Network();
let description, certificate, heads, answer = null, recording = null, microphone = null, job = null;

// ---- messages
function say(text) { at("status").textContent = text; }
function trouble(text) { at("trouble").textContent = text; at("trouble").hidden = !text; if (text) say(""); }
function progress(share) { at("progress").hidden = share === null; at("progress").value = share ?? 0; }
function busy(value) {
  for (const id of ["file", "check"]) at(id).disabled = value;
  at("listen").disabled = value && !microphone;
  at("stop").hidden = !job;
  if (!value) progress(null);
}

/** Run one job at a time: another waits until it has stopped. `work(signal)` throws AbortError when it was stopped. */
async function run(work) {
  job?.abort();
  const own = job = new AbortController();
  trouble("");
  busy(true);
  try {
    await work(own.signal);
  } catch (error) {
    if (error.name !== "AbortError") trouble(error.message);
    else if (job === own) say("Stopped.");
  }
  if (job === own) { job = null; busy(false); }
}

// ---- scores
const outputs = () => heads.map((head) => head.output);

/** The scores of the recording's windows [start, stop), by output. What was computed once is kept. */
async function scoreSpans(spans, signal, report) {
  const rows = Object.fromEntries(outputs().map((name) => [name, []])), { samples, kept } = recording;
  let shown = 0;
  for (const [i, span] of spans.entries()) {
    signal.throwIfAborted();
    const key = span.join();
    if (!kept.has(key)) kept.set(key, await network.run(samples, span, outputs()));
    const found = kept.get(key);
    for (const name of outputs()) rows[name].push(found[name]);
    if (performance.now() - shown > PROGRESS_EVERY) { report((i + 1) / spans.length); shown = performance.now(); }
  }
  signal.throwIfAborted();
  return rows;
}

const bestOf = (rows) => Object.fromEntries(Object.entries(rows).map(([name, list]) => [name, highest(list)]));

/** Windows that the graph can take, in seconds. */
function windowChoices() {
  const { samples, takes_samples: shorter, window_samples: most, sample_rate: rate } = description;
  if (samples && !shorter) return [samples / rate];
  const fitting = WINDOWS.filter((size) => size * rate <= most);
  return samples ? [...new Set([...fitting, samples / rate])] : fitting.length ? fitting : [most / rate];
}

const threshold = () => (heads.some((head) => head.thresholds) && at("own").checked ? null : limitTyped());
function limitTyped() {
  const value = Number(at("threshold").value);
  return value > 0 && value <= 1 ? value : 0.3;
}
/** Heads without thresholds of their own take the number that is typed. */
const thresholdOf = (head) => (head.thresholds ? threshold() : limitTyped());

function decide(found) {
  found.threshold = limitTyped();
  found.events = heads
    .flatMap((head) => findEvents(head, found.rows[head.output], found.spans, thresholdOf(head)))
    .sort((a, b) => a.start - b.start || b.score - a.score);
}

/** The whole recording at once, as `auricle tag`; a long one in windows, and the highest score of them. */
async function scoreWhole(signal) {
  const { samples } = recording, { window_samples: size, sample_rate: rate, samples: fixed } = description, once = samples.length <= size;
  const spans = once || fixed ? piecesOf(samples.length, size) : windowsOf(samples.length, LONG_WINDOW * rate, LONG_WINDOW * rate / 2);
  const rows = await scoreSpans(spans, signal, (share) => progress(0.5 * share));
  return { whole: bestOf(rows), title: once ? "The whole recording" : `Highest over windows of ${+((spans[0][1] - spans[0][0]) / rate).toFixed(2)} s` };
}

async function scoreRecording(signal) {
  const { samples, rate } = recording, started = performance.now();
  if (!recording.whole) {
    say("Computing…");
    Object.assign(recording, await scoreWhole(signal));
  }
  const size = Math.min(description.window_samples, Math.round(Number(at("window").value) * rate));
  const spans = windowsOf(samples.length, size, Math.max(1, Math.round(size / Number(at("hop").value))));
  const rows = await scoreSpans(spans, signal, (share) => progress(0.5 + 0.5 * share));
  recording.took ??= (performance.now() - started) / 1000;
  answer = {
    ...recording, rows, best: bestOf(rows), spans: spans.map(([a, b]) => [a / rate, b / rate]),
    wholeTitle: recording.title, range: [0, recording.seconds], live: false,
  };
  showAnswer();
}

// ---- files
async function decode(file) {
  if (file.size === 0) throw new Error(`${file.name} is empty.`);
  if (file.size > MOST_BYTES) throw new Error(`${file.name} is too large for this page (${Math.round(file.size / 1e6)} MB; 30 minutes are the most). Cut it, or use 'auricle tag', which takes any length.`);
  const bytes = new Uint8Array(await file.arrayBuffer()), known = rateInHeader(bytes);
  const decodeAt = (rate) => new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes.slice().buffer);
  let sound;
  try {
    sound = await decodeAt(known ?? 48000).catch(() => decodeAt(48000)); // rates that the browser has no context for
  } catch {
    throw new Error(`${file.name} cannot be decoded: this browser does not play its format, or the file is damaged. WAV, MP3 and FLAC work everywhere.`);
  }
  if (sound.duration > MOST_SECONDS) throw new Error(`${file.name} is too long: ${clock(sound.duration)}, and this page takes up to 30:00. Cut it, or use 'auricle tag', which takes any length.`);
  const channels = Array.from({ length: sound.numberOfChannels }, (_, c) => sound.getChannelData(c));
  return { channels, rate: sound.sampleRate, byBrowser: known !== sound.sampleRate };
}

async function openFile(file) {
  await stopListening();
  await run(async (signal) => {
    at("result").hidden = true;
    answer = recording = null;
    say(`Decoding ${file.name}…`);
    const sound = await decode(file);
    signal.throwIfAborted();
    const rate = description.sample_rate;
    if (sound.rate !== rate) say("Resampling…");
    const samples = await network.resample(Float32Array.from(downmix(sound.channels)), sound.rate, rate, progress);
    signal.throwIfAborted();
    if (samples.length < description.min_samples) throw new Error(`${file.name} is too short: ${(samples.length / rate).toFixed(4)} s; the model needs at least ${(description.min_samples / rate).toFixed(4)} s.`);
    recording = { name: file.name, kept: new Map(), samples, rate, seconds: samples.length / rate, sound: { rate: sound.rate, channels: sound.channels.length, byBrowser: sound.byBrowser } };
    playFrom(file);
    chooseWindow(recording.seconds);
    await scoreRecording(signal);
  });
}

function playFrom(file) {
  const player = at("player");
  if (player.src) URL.revokeObjectURL(player.src);
  player.src = URL.createObjectURL(file);
  player.hidden = false;
}

/** Windows of the length that a detector learnt from, else longer ones for longer recordings. */
function chooseWindow(seconds) {
  const wanted = description.clip_seconds ?? (seconds >= LONG_SECONDS ? LONG_WINDOW : SHORT_WINDOW), choices = windowChoices();
  const nearest = choices.reduce((a, b) => (Math.abs(b - wanted) < Math.abs(a - wanted) ? b : a));
  if (!at("window").dataset.chosen) at("window").value = nearest;
}

// ---- what is shown
function facts() {
  const { sound, rate, seconds, took } = answer, kilohertz = (hertz) => `${+(hertz / 1000).toFixed(3)} kHz`;
  const channels = sound.channels === 1 ? "mono" : `mean of ${sound.channels} channels`;
  const resampled = sound.rate === rate ? "" : `, resampled to ${kilohertz(rate)}`;
  return `${clock(seconds)}, ${sound.byBrowser ? "decoded at" : ""} ${kilohertz(sound.rate)}, ${channels}${resampled}; computed in ${took.toFixed(1)} s`.replace(/\s+/g, " ");
}

function showAnswer() {
  decide(answer);
  const live = answer.live;
  at("result").hidden = false;
  at("result-title").textContent = answer.name;
  at("facts").textContent = answer.about ?? facts();
  at("wave").hidden = !answer.samples;
  at("player").hidden = !answer.samples;
  at("settings").classList.toggle("live", !answer.samples);
  const onSeek = answer.samples ? seek : null;
  const sections = heads.map((head) => headSection(head, { ...answer, threshold: thresholdOf(head) }, heads.length > 1, onSeek));
  at("heads").replaceChildren(...sections);
  redraw(answer);
  if (!live && answer.samples) {
    at("wave").ariaValueMax = answer.seconds.toFixed(1);
    showPosition(at("player").currentTime || 0, answer);
    const best = heads[0].top(answer.whole[heads[0].output], 1)[0];
    say(`Done: ${heads[0].names[best]} is likeliest. ${answer.events.length} event${answer.events.length === 1 ? "" : "s"}.`);
  }
}

let pauseAt = Infinity;
function seek(time, end = Infinity) {
  const player = at("player");
  pauseAt = end;
  player.currentTime = time;
  player.play().catch(() => {});
  showPosition(time, answer);
}

function save(name, text, type) {
  const link = element("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  say(`Saved ${name}.`);
}
const decided = () => { decide(answer); return answer.events; };
const stem = () => answer.name.replace(/\.[^.]*$/, "");

// ---- the microphone
async function listen() {
  if (microphone) return stopListening();
  await run(async (signal) => {
    const rate = description.sample_rate, fixed = description.samples && !description.takes_samples;
    const size = Math.min(description.window_samples, fixed ? description.samples : LIVE_WINDOW * rate), hop = Math.min(size, LIVE_HOP * rate);
    at("result").hidden = true;
    recording = null;
    answer = { name: "Microphone", rows: Object.fromEntries(outputs().map((name) => [name, []])), spans: [], live: true, rate, about: "" };
    const own = new Microphone({
      rate, size, hop, first: fixed ? size : Math.min(size, 2 * hop),
      onWindow: (samples, start, stop) => heardWindow(own, samples, start, stop),
      onLevel: (level) => { at("level").value = level; },
      onEnd: (reason) => stopListening(reason),
    });
    say("Waiting for the microphone…");
    try {
      await own.start();
      signal.throwIfAborted();
    } catch (error) {
      await own.stop();
      throw error;
    }
    microphone = own;
    at("live").hidden = false;
    at("now").replaceChildren();
    at("listen").textContent = "Stop listening";
    at("listen").classList.add("on");
    say("Listening.");
  });
}

async function heardWindow(own, samples, start, stop) {
  const found = await network.run(samples, [0, samples.length], outputs());
  if (microphone !== own) return;
  const { spans, rows } = answer;
  spans.push([start, stop]);
  for (const name of outputs()) rows[name].push(found[name]);
  while (spans[0][1] < stop - LIVE_KEPT) {
    spans.shift();
    for (const name of outputs()) rows[name].shift();
  }
  showNow(own, found, stop);
}

let announced = "";
function showNow(own, found, stop) {
  at("clock").textContent = clock(stop) + (own.skipped ? `, ${own.skipped} steps left out: this device is too slow` : "");
  at("now").replaceChildren(...heads.map((head) => element("div", {}, ...(heads.length > 1 ? [element("h3", {}, head.name)] : []), labelList(head, found[head.output], 6, new Map(), null))));
  const there = heads.flatMap((head) => {
    const seen = head.compared(found[head.output]);
    return head.reported.filter((c) => seen[c] >= head.limit(c, thresholdOf(head))).map((c) => head.names[c]);
  });
  const text = there.slice(0, 4).join(", ");
  if (text !== announced) { announced = text; say(text ? `Now: ${text}` : "Now: nothing above the threshold"); }
  const all = answer, first = all.spans.findIndex(([, end]) => end > stop - LIVE_SHOWN);
  answer = { ...all, spans: all.spans.slice(first), rows: Object.fromEntries(Object.entries(all.rows).map(([name, rows]) => [name, rows.slice(first)])) };
  answer.best = bestOf(answer.rows);
  answer.range = [Math.max(0, stop - LIVE_SHOWN), Math.max(stop, 10)];
  answer.about = `The last ${LIVE_SHOWN} seconds, windows of up to ${+(own.size / all.rate).toFixed(2)} s, one each ${+(own.hop / all.rate).toFixed(2)} s. The sound is not kept.`;
  showAnswer();
  answer = all;
}

async function stopListening(reason = "") {
  const own = microphone;
  if (!own) return;
  microphone = null;
  at("listen").textContent = "Use the microphone";
  at("listen").classList.remove("on");
  at("live").hidden = true;
  say("Stopped listening.");
  const all = answer;
  await own.stop();
  if (all?.spans.length) {
    const end = all.spans.at(-1)[1];
    answer = { ...all, live: false, best: bestOf(all.rows), whole: bestOf(all.rows), wholeTitle: "Highest over all windows", seconds: end, range: [Math.max(0, all.spans[0][0]), end] };
    answer.about = `${clock(end - answer.range[0])} of sound were scored, and not kept.`;
    showAnswer();
  } else answer = null;
  if (reason) trouble(reason);
}

// ---- the certificate, in this browser
async function check() {
  await run(async (signal) => {
    at("check-status").textContent = "Replaying the golden clips…";
    const file = await fetch("golden.npz");
    if (!file.ok) throw new Error("golden.npz is not on this server; copy the whole folder.");
    const clips = [];
    for await (const clip of replayGolden(network, description, certificate, await file.arrayBuffer())) {
      signal.throwIfAborted();
      clips.push(clip);
      showChecked(clips);
    }
    const over = clips.filter((clip) => clip.over.length);
    at("check-status").textContent = over.length
      ? `Beyond the limits of the certificate here: ${over.map((clip) => clip.clip).join(", ")}.`
      : `All ${clips.length} clips are within the limits of the certificate.`;
  });
}

function showChecked(clips) {
  const names = Object.keys(clips[0].errors);
  const row = (clip) => element("tr", {}, element("th", { scope: "row" }, clip.clip), ...names.map((name) => element("td", { className: "n" }, clip.errors[name].toExponential(1))));
  const title = element("tr", {}, element("th", { scope: "col" }, "largest difference"), ...names.map((name) => element("th", { scope: "col", className: "n" }, name)));
  at("checked").replaceChildren(element("table", {}, element("thead", {}, title), element("tbody", {}, ...clips.map(row))));
  at("checked").hidden = false;
}

// ---- the page
function connect() {
  at("file").onchange = ({ target }) => { const [file] = target.files; target.value = ""; if (file) openFile(file); };
  at("listen").onclick = listen;
  at("stop").onclick = () => job?.abort();
  at("check").onclick = check;
  at("settings").onsubmit = (event) => event.preventDefault();
  for (const id of ["window", "hop"]) at(id).onchange = () => { at("window").dataset.chosen = "yes"; if (recording) run(scoreRecording); };
  for (const id of ["threshold", "own"]) at(id).onchange = () => { if (answer && !answer.live) showAnswer(); };
  at("save-scores").onclick = () => save(`${stem()}.scores.csv`, scoresTable(heads, answer.whole, answer.seconds, answer.rows, answer.spans), "text/csv");
  at("save-events").onclick = () => save(`${stem()}.events.csv`, eventsTable(decided(), heads.length > 1), "text/csv");
  at("save-track").onclick = () => save(`${stem()}.labels.txt`, labelTrack(decided()), "text/plain");
  const drop = at("drop");
  document.ondragover = (event) => { event.preventDefault(); drop.classList.add("over"); };
  document.ondragleave = (event) => { if (!event.relatedTarget) drop.classList.remove("over"); };
  document.ondrop = (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const [file] = event.dataTransfer.files;
    if (file && !at("file").disabled) openFile(file);
  };
  connectPlayer();
  new ResizeObserver(() => redraw(answer)).observe(at("result"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw(answer));
}

function connectPlayer() {
  const player = at("player"), wave = at("wave");
  const follow = () => {
    if (!answer?.samples) return;
    showPosition(player.currentTime, answer);
    if (player.currentTime >= pauseAt) { player.pause(); pauseAt = Infinity; }
    if (!player.paused) requestAnimationFrame(follow);
  };
  player.onplay = player.onseeked = follow;
  wave.onclick = (event) => seek(timeAt(event, at("waveform"), answer.range));
  wave.onkeydown = (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageDown: -10, PageUp: 10, Home: -Infinity, End: Infinity };
    if (event.key in steps) {
      player.currentTime = Math.min(answer.seconds, Math.max(0, player.currentTime + steps[event.key]));
      showPosition(player.currentTime, answer);
    } else if (event.key === " ") { if (player.paused) player.play().catch(() => {}); else player.pause(); }
    else return;
    event.preventDefault();
  };
}

async function readJson(name) {
  const file = await fetch(name);
  if (!file.ok) throw new Error(`${name} is not on this server; copy the whole folder.`);
  return file.json();
}

async function start() {
  try {
    [description, certificate] = await Promise.all([readJson("labels.json"), readJson("certificate.json")]);
    showModel(description, certificate);
    heads = description.heads.map((head) => new Head(head));
    if (!heads.length) throw new Error(`${description.model} has no classes; this page has nothing to show.`);
    at("window").replaceChildren(...windowChoices().map((size) => element("option", { value: size }, `${+size.toFixed(2)} s`)));
    at("own-label").hidden = !heads.some((head) => head.thresholds);
    say("Loading the model…");
    await network.open(description, progress);
    connect();
    say("Ready.");
    busy(false);
    document.documentElement.dataset.ready = "yes";
  } catch (error) {
    progress(null);
    trouble(`The page cannot start: ${error.message}`);
  }
}

start();
