// The waveform and the scores over time, on canvases as sharp as the screen.

export const COLOURS = 8;

/** A context whose units are CSS pixels, cleared, with the size of the canvas's box. */
function prepared(canvas) {
  const { width, height } = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(width * ratio));
  canvas.height = Math.max(1, Math.round(height * ratio));
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return { context, width, height };
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** The lowest and highest sample of each of `columns` equal parts. */
export function envelope(samples, columns) {
  const low = new Float32Array(columns), high = new Float32Array(columns);
  for (let x = 0; x < columns; x++) {
    const first = Math.floor(x * samples.length / columns), stop = Math.max(first + 1, Math.floor((x + 1) * samples.length / columns));
    for (let i = first; i < stop && i < samples.length; i++) { if (samples[i] < low[x]) low[x] = samples[i]; else if (samples[i] > high[x]) high[x] = samples[i]; }
  }
  return { low, high };
}

export function drawWaveform(canvas, samples, range) {
  const columns = Math.max(1, Math.floor(canvas.getBoundingClientRect().width));
  drawEnvelope(canvas, { ...envelope(samples, columns), span: range }, range);
}

/** A waveform with a time axis. `low`, `high`: of equal parts of `span`; `span` and `range` (what is shown) in seconds. */
export function drawEnvelope(canvas, { low, high, span, loudest = 0 }, range, withAxis = true) {
  const { context, width, height } = prepared(canvas), axis = withAxis ? 18 : 0, middle = (height - axis) / 2;
  for (let i = 0; i < low.length; i++) loudest = Math.max(loudest, high[i], -low[i]);
  const scale = (middle - 2) / Math.max(loudest, 1e-3), x = (time) => (time - range[0]) / (range[1] - range[0]) * width;
  const first = x(span[0]), step = (x(span[1]) - first) / low.length;
  context.fillStyle = colour("--accent");
  for (let i = 0; i < low.length; i++) {
    context.fillRect(first + i * step, middle - high[i] * scale, Math.max(1, step), Math.max(1, (high[i] - low[i]) * scale));
  }
  if (withAxis) drawAxis(context, range, width, height, axis);
}

function drawAxis(context, [from, to], width, height, axis) {
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14400, 21600];
  const step = steps.find((s) => (to - from) / s <= Math.max(2, width / 70)) ?? 43200;
  context.fillStyle = colour("--soft");
  context.font = "12px system-ui, sans-serif";
  let free = 0;
  for (let time = Math.ceil(from / step) * step; time <= to + 1e-9; time += step) {
    const x = (time - from) / (to - from) * width, text = step >= 1 ? clock(time) : time < 60 ? time.toFixed(1) : clock(Math.floor(time + 1e-6)) + (time % 1).toFixed(1).slice(1);
    const room = context.measureText(text).width;
    context.fillRect(Math.min(x, width - 1), height - axis, 1, 4);
    const left = Math.min(Math.max(0, x - room / 2), width - room);
    if (left < free) continue;
    context.fillText(text, left, height - 3);
    free = left + room + 6;
  }
}

export const clock = (seconds) => {
  const whole = Math.round(seconds), two = (n) => String(n).padStart(2, "0");
  return whole >= 3600 ? `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}` : `${Math.floor(whole / 60)}:${two(whole % 60)}`;
};

/** The part of the recording that each window decides for: up to halfway to its neighbours' centres. */
export function cells(spans) {
  const centre = ([a, b]) => (a + b) / 2;
  return spans.map((span, i) => [
    Math.max(span[0], i ? (centre(spans[i - 1]) + centre(span)) / 2 : span[0]),
    Math.min(span[1], i + 1 < spans.length ? (centre(span) + centre(spans[i + 1])) / 2 : span[1]),
  ]);
}

/** One class over time: an area, its threshold (if it has one) as a dashed line, its events as bars at the foot. */
export function drawScores(canvas, { values, edges, limit, events, rank }, [from, to]) {
  const { context, width, height } = prepared(canvas), foot = 5, top = 3, room = height - foot - top;
  const x = (time) => (time - from) / (to - from) * width, y = (score) => top + (1 - score) * room;
  const own = colour(`--c${rank % COLOURS}`);
  context.fillStyle = colour("--wash");
  context.fillRect(0, top, width, room);
  const path = new Path2D();
  edges.forEach(([a, b], i) => { // steps: each window decides for its cell
    if (i === 0 || Math.abs(edges[i - 1][1] - a) > 1e-6) path.moveTo(x(a), y(0));
    path.lineTo(x(a), y(values[i]));
    path.lineTo(x(b), y(values[i]));
    if (i + 1 === edges.length || Math.abs(edges[i + 1][0] - b) > 1e-6) path.lineTo(x(b), y(0));
  });
  context.fillStyle = own;
  context.globalAlpha = 0.32;
  context.fill(path);
  context.globalAlpha = 1;
  context.strokeStyle = own;
  context.lineWidth = 1.5;
  context.stroke(path);
  if (limit) {
    context.strokeStyle = colour("--soft");
    context.lineWidth = 1;
    context.setLineDash([3, 4]);
    context.beginPath();
    context.moveTo(0, y(limit));
    context.lineTo(width, y(limit));
    context.stroke();
    context.setLineDash([]);
  }
  context.fillStyle = own;
  for (const { start, end } of events) context.fillRect(x(start), height - foot + 1, Math.max(2, x(end) - x(start)), foot - 1);
}
