// A recording over time: spectrogram, waveform and scores of classes, with zoom, a cursor and a selection.

import { get, spectrogramOf } from "./api.js";
import { cells, clock, drawEnvelope, drawScores } from "./drawing.js";
import { dot, element, scoreText, seconds, timeAt } from "./parts.js";
import { isDark, onRecolour } from "./theme.js";

const SHORTEST = 0.05; // seconds that are shown at least
const MARGIN = 0.5; // share of the range that is fetched on each side, so that moving a little shows no gap
const WAIT = 140; // milliseconds without movement before pictures are fetched
const CLICK = 4; // pixels that a pointer may move in a click
const MOST_PIXELS = 2400; // width of a fetched picture
const KHZ = [0.25, 0.5, 1, 2, 4, 8, 16, 32]; // marks beside the spectrogram
const CLOSEST = 0.075; // of its height, between two marks

const mel = (hertz) => Math.log10(1 + hertz / 700); // the scale of the server's pictures, from 0 to half the rate

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

export class Timeline {
  /**
   * `recording`: its description. `onSeek(time)`: a click. `onSelect([start, end] | null)`: what is selected has changed. `onError(error)`.
   */
  constructor({ recording, onSeek, onSelect = () => {}, onError = () => {}, height = "" }) {
    Object.assign(this, { recording, onSeek, onSelect, onError });
    this.total = recording.seconds;
    this.range = [0, this.total];
    this.selection = null;
    this.time = 0;
    this.lanes = []; // {canvas, values, edges, limit, events, rank}
    this.pointers = new Map();
    this.build(height);
  }

  build(height) {
    this.image = element("img", { className: "spectrogram", alt: "", draggable: false });
    this.canvas = element("canvas", { className: "wave", role: "img", ariaLabel: "Waveform" });
    this.mark = element("div", { className: "selection", hidden: true });
    this.cursor = element("i", { className: "cursor" });
    this.stage = element("div", {
      className: `stage ${height}`, tabIndex: 0, role: "slider", ariaLabel: "Position in the recording", ariaValueMin: 0, ariaValueMax: this.total.toFixed(1),
    }, element("div", { className: "sky waiting" }, this.image), frequencies(this.recording.rate), this.canvas, this.mark, this.cursor);
    this.small = element("canvas", { role: "img", ariaLabel: "The whole recording" });
    this.box = element("div", { className: "viewport" });
    this.overview = element("div", { className: "overview", hidden: true }, this.small, this.box);
    this.rows = element("div", { className: "lanes" });
    this.root = element("div", { className: "timeline" }, this.overview, this.stage, this.rows);
    this.stage.onpointerdown = (event) => this.press(event);
    this.stage.onpointermove = (event) => this.drag(event);
    this.stage.onpointerup = this.stage.onpointercancel = (event) => this.release(event);
    this.stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.overview.onpointerdown = this.overview.onpointermove = (event) => {
      if (!event.buttons) return;
      const [from, to] = this.range, centre = timeAt(event, this.overview, [0, this.total]);
      this.show(centre - (to - from) / 2, centre + (to - from) / 2);
    };
    this.watch = new ResizeObserver(() => { this.changed(); });
    this.watch.observe(this.stage);
    this.recoloured = onRecolour(() => { this.fetched = ""; this.changed(); });
    this.moveTo(0);
  }

  /** Let go of what outlives the element. */
  close() {
    this.watch.disconnect();
    this.recoloured();
    clearTimeout(this.waiting);
    this.fetching?.abort();
  }

  // ---- what is shown
  /** Show from `from` to `to` seconds, as far as the recording reaches. */
  show(from, to) {
    const length = clamp(to - from, Math.min(SHORTEST, this.total), this.total), start = clamp(from, 0, this.total - length);
    this.range = [start, start + length];
    this.changed();
  }

  zoom(factor, centre = this.time >= this.range[0] && this.time <= this.range[1] ? this.time : (this.range[0] + this.range[1]) / 2) {
    const [from, to] = this.range;
    this.show(centre - (centre - from) * factor, centre + (to - centre) * factor);
  }

  move(share) {
    const [from, to] = this.range;
    this.show(from + share * (to - from), to + share * (to - from));
  }

  fit() { this.show(0, this.total); }

  get zoomed() { return this.range[1] - this.range[0] < this.total - 1e-6; }

  changed() {
    if (!this.frame) this.frame = requestAnimationFrame(() => { this.frame = 0; this.draw(); });
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.fetch(), this.pictured ? WAIT : 0);
  }

  /** The place of a time on what is shown, as a share of its width. */
  share(time) { return (time - this.range[0]) / (this.range[1] - this.range[0]); }

  draw() {
    const [from, to] = this.range;
    if (this.pictured) {
      const left = this.share(this.pictured[0]), width = this.share(this.pictured[1]) - left;
      this.image.style.left = `${100 * left}%`;
      this.image.style.width = `${100 * width}%`;
    }
    if (this.envelope) drawEnvelope(this.canvas, this.envelope, this.range);
    for (const lane of this.lanes) drawScores(lane.canvas, visible(lane, this.range), this.range);
    this.overview.hidden = !this.zoomed;
    if (this.zoomed && this.whole) {
      drawEnvelope(this.small, this.whole, [0, this.total], false);
      this.box.style.left = `${100 * from / this.total}%`;
      this.box.style.width = `${100 * (to - from) / this.total}%`;
    }
    this.place();
  }

  place() {
    const at = this.share(this.time);
    this.root.style.setProperty("--at", clamp(at, -0.01, 1.01));
    this.root.classList.toggle("outside", at < 0 || at > 1);
    this.mark.hidden = !this.selection;
    if (this.selection) {
      const [start, end] = this.selection.map((time) => clamp(this.share(time), 0, 1));
      this.mark.style.left = `${100 * start}%`;
      this.mark.style.width = `${100 * (end - start)}%`;
    }
  }

  /** Fetch spectrogram and waveform of what is shown, and a margin. */
  async fetch() {
    const [from, to] = this.range, { width } = this.stage.getBoundingClientRect();
    if (!width || !this.root.isConnected) return;
    const margin = (to - from) * MARGIN, start = Math.max(0, from - margin), end = Math.min(this.total, to + margin);
    const key = [start, end, width].join();
    if (key === this.fetched) return;
    this.fetched = key;
    this.fetching?.abort();
    const own = this.fetching = new AbortController();
    const share = (end - start) / (to - from), columns = Math.min(MOST_PIXELS, Math.round(width * share * Math.min(2, devicePixelRatio || 1)));
    this.picture(spectrogramOf(this.recording.id, { start, end, width: columns, height: 256, theme: isDark() ? "dark" : "light" }), [start, end], own.signal);
    try {
      const wave = await this.waveform(start, end, Math.min(4000, Math.round(width * share)), own.signal);
      if (!this.whole) {
        const all = start === 0 && end === this.total ? wave : await this.waveform(0, this.total, 600, own.signal);
        this.whole = all;
        this.loudest = Math.max(...all.high, ...all.low.map((value) => -value));
      }
      this.envelope = { ...wave, loudest: this.loudest };
      this.draw();
    } catch (error) {
      if (error.name !== "AbortError") this.onError(error);
    }
  }

  async waveform(start, end, columns, signal) {
    const { min, max } = await get(`recordings/${this.recording.id}/waveform`, { start, end, columns }, signal);
    return { low: min, high: max, span: [start, end] };
  }

  picture(address, span, signal) {
    const image = new Image();
    image.onload = () => {
      if (signal.aborted) return;
      this.image.src = image.src;
      this.image.parentElement.classList.remove("waiting");
      this.image.alt = `Spectrogram from ${seconds(span[0])} to ${seconds(span[1])}`;
      this.pictured = span;
      this.draw();
    };
    image.onerror = () => { if (!signal.aborted) this.onError(new Error("The spectrogram cannot be drawn.")); };
    image.src = address;
  }

  // ---- scores of classes
  /** Show lanes: {label, score, rank, windows: [[start, end]], values, limit, events}. */
  setLanes(lanes, onPick) {
    this.lanes = lanes.map((lane) => {
      const said = `${lane.label}: highest score ${scoreText(lane.score)}, ${lane.events.length} event${lane.events.length === 1 ? "" : "s"}`;
      const canvas = element("canvas", { role: "img", ariaLabel: said });
      canvas.onclick = (event) => this.onSeek(timeAt(event, canvas, this.range));
      const name = element("button", { type: "button", className: "name as-text", title: `Go to the highest score of ${lane.label}`, onclick: () => onPick(lane) }, dot(lane.rank), lane.label);
      const row = [name, element("span", { className: "number" }, scoreText(lane.score)), element("div", { className: "lane" }, canvas, element("i", { className: "cursor" }))];
      return { ...lane, edges: cells(lane.windows), canvas, row };
    });
    this.rows.replaceChildren(...this.lanes.flatMap((lane) => lane.row));
    this.changed();
  }

  // ---- cursor and selection
  /** Put the cursor; while a sound plays, what is shown follows it. */
  moveTo(time, playing = false) {
    this.time = time;
    this.stage.ariaValueNow = time.toFixed(1);
    this.stage.ariaValueText = `${clock(time)} of ${clock(this.total)}`;
    const [from, to] = this.range;
    if (playing && this.zoomed && !this.pointers.size && (time > to || time < from)) this.show(time, time + to - from);
    else this.place();
  }

  /** Select from `start` to `end` seconds; null: nothing. */
  select(selection) {
    this.selection = selection && selection[1] - selection[0] > 1e-3 ? selection : null;
    this.place();
    this.onSelect(this.selection);
  }

  /** Move an end of the selection, as the keys do. */
  extend(to) {
    const anchor = this.anchor ?? this.time;
    this.anchor = anchor;
    this.select([Math.min(anchor, to), Math.max(anchor, to)]);
  }

  press(event) {
    if (event.button) return;
    this.stage.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event);
    this.began = { x: event.clientX, time: timeAt(event, this.stage, this.range), range: this.range, pinched: this.pointers.size > 1 };
    if (this.pointers.size > 1) this.pinch = this.spread();
  }

  spread() {
    const [a, b] = [...this.pointers.values()].map((event) => event.clientX), { left, width } = this.stage.getBoundingClientRect();
    return { width: Math.max(20, Math.abs(a - b)) / width, centre: ((a + b) / 2 - left) / width, range: this.range };
  }

  drag(event) {
    if (!this.pointers.has(event.pointerId)) return;
    this.pointers.set(event.pointerId, event);
    if (this.pointers.size > 1) {
      const { width, centre, range: [from, to] } = this.pinch, now = this.spread();
      const length = (to - from) * width / now.width, middle = from + centre * (to - from);
      this.show(middle - now.centre * length, middle + (1 - now.centre) * length);
    } else if (!this.began.pinched && Math.abs(event.clientX - this.began.x) > CLICK) {
      const time = timeAt(event, this.stage, this.range);
      this.anchor = null;
      this.select([Math.min(time, this.began.time), Math.max(time, this.began.time)]);
    }
  }

  release(event) {
    if (!this.pointers.delete(event.pointerId) || this.pointers.size || this.began.pinched) return;
    if (event.type === "pointerup" && Math.abs(event.clientX - this.began.x) <= CLICK) this.onSeek(timeAt(event, this.stage, this.range));
  }

  wheel(event) {
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY) || event.shiftKey) {
      if (!this.zoomed) return;
      event.preventDefault();
      this.move((event.deltaX || event.deltaY) / 1200);
    } else if (this.zoomed || event.deltaY < 0) { // at the widest, turning on scrolls the page
      event.preventDefault();
      this.zoom(Math.exp(clamp(event.deltaY, -200, 200) / 400), timeAt(event, this.stage, this.range));
    }
  }

  /** True if a key was for the time line. */
  key(event) {
    const [from, to] = this.range, step = (to - from) / 40;
    const moves = { ArrowLeft: -step, ArrowRight: step, PageUp: -(to - from), PageDown: to - from, Home: -Infinity, End: Infinity };
    if (event.key in moves) {
      const base = event.shiftKey && this.selection && this.anchor !== null && this.anchor !== undefined ? (this.anchor === this.selection[0] ? this.selection[1] : this.selection[0]) : this.time;
      const next = clamp(base + moves[event.key], 0, this.total);
      if (event.shiftKey) this.extend(next);
      else { this.anchor = null; this.onSeek(next); if (next < from || next > to) this.show(next - (to - from) / 2, next + (to - from) / 2); }
    } else if (event.key === "+" || event.key === "=") this.zoom(0.6);
    else if (event.key === "-") this.zoom(1 / 0.6);
    else if (event.key === "0") this.fit();
    else if (event.key === "Escape" && this.selection) { this.anchor = null; this.select(null); }
    else return false;
    return true;
  }
}

/** The marks of the frequency axis, in kHz. */
function frequencies(rate) {
  const made = element("div", { className: "kilohertz", ariaHidden: "true" }), top = mel(rate / 2);
  let last = -1;
  for (const khz of KHZ) {
    const share = mel(1000 * khz) / top;
    if (share > 0.97 || share - last < CLOSEST) continue;
    last = share;
    const mark = element("span", {}, `${khz}`);
    mark.style.bottom = `${100 * share}%`;
    made.append(mark);
  }
  made.lastChild?.append(" kHz");
  return made;
}

/** The part of a lane that is shown: long recordings have many windows. */
function visible(lane, [from, to]) {
  const first = firstOf(lane.edges, ([, end]) => end >= from), stop = firstOf(lane.edges, ([start]) => start > to);
  return { ...lane, edges: lane.edges.slice(first, stop), values: lane.values.slice(first, stop) };
}

/** The place of the first of ordered values that passes a test. */
function firstOf(values, test) {
  let low = 0, high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (test(values[middle])) high = middle; else low = middle + 1;
  }
  return low;
}
