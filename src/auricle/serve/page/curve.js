// The curve from score to precision, as a drawing that scales.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 420, HEIGHT = 250, LEFT = 40, BOTTOM = 34, TOP = 10, RIGHT = 10;

function part(tag, values, text = "") {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(values)) made.setAttribute(name, value);
  made.textContent = text;
  return made;
}

/** `curve`: {points: [{score, precision, low, high, answers}], threshold}; `wanted`: the precision that is wanted. */
export function curvePicture({ points, threshold }, wanted) {
  const x = (score) => LEFT + score * (WIDTH - LEFT - RIGHT), y = (value) => TOP + (1 - value) * (HEIGHT - TOP - BOTTOM);
  const svg = part("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "curve", role: "img", "aria-label": `Precision by score from ${points.length} scores` });
  for (const value of [0, 0.25, 0.5, 0.75, 1]) {
    svg.append(part("line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }), part("text", { x: LEFT - 6, y: y(value) + 4, "text-anchor": "end" }, value));
    svg.append(part("text", { x: x(value), y: HEIGHT - BOTTOM + 17, "text-anchor": "middle" }, value));
  }
  svg.append(part("text", { x: (LEFT + WIDTH) / 2, y: HEIGHT - 2, "text-anchor": "middle" }, "score of the detection"));
  const ordered = [...points].sort((a, b) => a.score - b.score), path = (values) => values.map(([score, value]) => `${x(score).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  svg.append(part("polygon", { class: "band", points: path([...ordered.map((p) => [p.score, p.high]), ...ordered.map((p) => [p.score, p.low]).reverse()]) }));
  svg.append(part("line", { class: "wanted", x1: LEFT, x2: WIDTH - RIGHT, y1: y(wanted), y2: y(wanted) }));
  svg.append(part("polyline", { class: "line", points: path(ordered.map((p) => [p.score, p.precision])) }));
  if (ordered.length === 1) svg.append(part("circle", { class: "point", cx: x(ordered[0].score), cy: y(ordered[0].precision), r: 4 }));
  if (threshold !== null) svg.append(part("line", { class: "threshold", x1: x(threshold), x2: x(threshold), y1: TOP, y2: HEIGHT - BOTTOM }));
  return svg;
}
