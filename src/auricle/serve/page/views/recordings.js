// Recordings: drop, record or choose sounds; the list of all that the server offers.

import { get, remove, upload } from "../api.js";
import { button, chips, count, icon, iconButton, link, none, playButton, small } from "../controls.js";
import { clock } from "../drawing.js";
import { runJob } from "../jobs.js";
import { element } from "../parts.js";
import { Recorder } from "../recorder.js";
import { canTag, currentModel, state } from "../state.js";

const PAGE = 50; // recordings shown at first, and by each further step
const HELP = [["u", "choose files"], ["r", "record, and end it"], ["/", "look for a name"]];

export async function recordingsView(_, { query: wanted = "" }, tools) {
  let query = wanted, rows = [], total = 0, recorder = null, waiting = 0, known = new Map(); // rows by what they show
  const list = element("ul", { className: "recordings" }), more = button("Show more", () => load(rows.length).catch(tools.report), { hidden: true });
  const heading = element("h2", {}, ""), tagAll = button("Find their labels", tagShown);
  const uploads = element("ul", { className: "uploads", ariaLabel: "Uploads" });

  // ---- the list
  async function load(offset = 0) {
    const found = await get("recordings", { query, offset, limit: PAGE });
    total = found.total;
    rows = offset ? [...rows, ...found.recordings] : found.recordings;
    show();
  }

  function show() {
    heading.textContent = query ? `${count(total, "recording")} named “${query}”` : total ? count(total, "recording") : "No recordings yet";
    const shown = new Map();
    rows.forEach((recording, place) => { // rows that have not changed stay, and with them the focus
      const key = JSON.stringify([state.model, recording]), made = known.get(key) ?? row(recording);
      shown.set(key, made);
      if (list.children[place] !== made) list.insertBefore(made, list.children[place] ?? null);
    });
    while (list.children.length > rows.length) list.lastChild.remove();
    known = shown;
    more.hidden = rows.length >= total;
    const open = untagged();
    tagAll.hidden = !open.length || !canTag(currentModel());
    tagAll.textContent = open.length === 1 ? "Find the labels of 1 recording" : `Find the labels of ${open.length} recordings`;
  }

  const untagged = () => rows.filter((recording) => !recording.error && !recording.tagged.includes(state.model));

  function row(recording) {
    const facts = recording.error ? [] : [clock(recording.seconds), recording.source === "upload" ? "upload" : null, `${+(recording.rate / 1000).toFixed(1)} kHz`].filter(Boolean);
    const name = recording.error ? element("b", {}, recording.name) : link(recording.name, `#/recording/${recording.id}`);
    const play = recording.error ? element("span", { className: "gap" }) : playButton({ recording: recording.id, name: recording.name, report: tools.report });
    const tags = recording.error ? element("span", { className: "problem" }, recording.error) : chips(recording.tags?.[state.model] ?? []);
    const away = recording.source === "upload" ? [iconButton("trash", `Remove ${recording.name}`, () => take(recording))] : [];
    return element("li", {}, play, element("div", { className: "what" }, name, element("span", { className: "small" }, facts.join(" · "))), tags, element("span", { className: "ends" }, ...away));
  }

  async function take(recording) {
    try { await remove(`recordings/${recording.id}`); tools.say(`${recording.name} is removed.`); await load(); } catch (error) { tools.report(error); }
  }

  async function tagShown() {
    tagAll.disabled = true;
    await tag(untagged());
    tagAll.disabled = false;
  }

  async function tag(recordings) {
    if (!recordings.length || !canTag(currentModel())) return;
    const body = { recordings: recordings.map(({ id }) => id), model: state.model };
    try {
      await runJob("tag", body, `Labels of ${count(recordings.length, "recording")}`, { onPartial: () => load().catch(tools.report) });
      await load();
    } catch (error) { tools.report(error); }
  }

  // ---- uploads
  async function send(files) {
    const added = [];
    for (const file of files) { // one after the other: the server decodes a few at once, and refuses more
      const bar = element("progress", { max: 1, value: 0, ariaLabel: `Upload of ${file.name}` }), words = element("span", { className: "small" }, "is sent");
      const line = element("li", {}, element("b", {}, file.name), words, bar);
      uploads.append(line);
      try {
        if (file.size > state.about.limits.upload_bytes) throw new Error(`${file.name} has ${Math.round(file.size / 1e6)} MB; this server takes up to ${Math.round(state.about.limits.upload_bytes / 1e6)} MB. Give its folder to 'auricle serve' instead.`);
        added.push(await upload(file, (share) => { bar.value = share; if (share === 1) words.textContent = "is decoded"; }));
        line.remove();
      } catch (error) {
        words.textContent = error.message;
        words.className = "problem";
        bar.replaceWith(iconButton("close", "Close this message", () => line.remove()));
      }
    }
    if (added.length === 1 && files.length === 1) return tools.go(`/recording/${added[0].id}`);
    await load();
    return tag(added);
  }

  // ---- the microphone
  const meter = element("meter", { min: -60, max: 0, low: -50, high: -6, optimum: -20, value: -60, ariaLabel: "Level" }), lasted = element("span", { className: "number" }, "0:00");
  const level = element("p", { className: "level", hidden: true }, meter, lasted);
  const record = button([icon("microphone"), "Record"], toggleRecording);

  async function toggleRecording() {
    if (recorder) return ended(recorder.stop());
    const own = recorder = new Recorder((decibels, seconds) => { meter.value = decibels; lasted.textContent = clock(seconds); }, ended);
    try {
      await own.start();
      record.replaceChildren(icon("microphone"), "Stop");
      record.classList.add("on");
      level.hidden = false;
      tools.say("Recording.");
    } catch (error) {
      own.stop();
      recorder = null;
      tools.report(error);
    }
    return undefined;
  }

  function ended(file, reason = "") {
    recorder = null;
    record.replaceChildren(icon("microphone"), "Record");
    record.classList.remove("on");
    level.hidden = true;
    if (reason) tools.say(reason, { error: true });
    if (file) send([file]).catch(tools.report);
    else if (!reason) tools.say("Nothing was recorded.");
  }

  // ---- the whole
  const input = element("input", { type: "file", id: "file", multiple: true, accept: "audio/*,video/mp4,video/webm,.flac,.ogg,.opus,.wav" });
  input.onchange = () => { const files = [...input.files]; input.value = ""; send(files).catch(tools.report); };
  const limits = state.about.limits, longest = limits.recording_seconds >= 3600 ? `${+(limits.recording_seconds / 3600).toFixed(1)} hours` : `${Math.round(limits.recording_seconds / 60)} minutes`;
  const drop = element("section", { className: "drop", ariaLabel: "Add sounds" },
    element("div", {}, element("h1", {}, "What is in your sounds?"), small(`Drop files anywhere on this page: WAV, FLAC, MP3, Ogg and more, up to ${Math.round(limits.upload_bytes / 1e6)} MB and ${longest} each. They stay on the computer that runs the server.`)),
    element("div", { className: "row" }, element("label", { className: "button primary", htmlFor: "file" }, icon("add"), "Choose files"), input, record, level));
  const search = element("input", { type: "search", placeholder: "Name", value: query, ariaLabel: "Look for a name", autocomplete: "off" });
  search.oninput = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => { query = search.value.trim(); load().catch(tools.report); }, 200);
  };
  const folders = state.about.folders.length ? small(`${state.about.folders.length === 1 ? "Folder" : "Folders"}: ${state.about.folders.join(", ")}. Uploads come first.`) : none("The server was given no folders. 'auricle serve FOLDER' offers its recordings here.");
  const node = element("div", {}, drop, uploads, element("section", {}, element("div", { className: "head" }, element("div", {}, heading, folders), element("div", { className: "row" }, search, tagAll)), list, more));
  await load();

  const over = (event) => { if (event.dataTransfer?.types.includes("Files")) { event.preventDefault(); drop.classList.add("over"); } };
  const leave = (event) => { if (!event.relatedTarget) drop.classList.remove("over"); };
  const dropped = (event) => { event.preventDefault(); drop.classList.remove("over"); if (event.dataTransfer.files.length) send([...event.dataTransfer.files]).catch(tools.report); };
  addEventListener("dragover", over);
  addEventListener("dragleave", leave);
  addEventListener("drop", dropped);
  const acts = { u: () => input.click(), r: toggleRecording, "/": () => search.focus() };
  return {
    title: "Recordings", node, help: HELP,
    keys: ({ key }) => { if (!(key in acts)) return false; acts[key](); return true; },
    close: () => {
      removeEventListener("dragover", over);
      removeEventListener("dragleave", leave);
      removeEventListener("drop", dropped);
      recorder?.stop();
    },
  };
}
