"""Line charts as inline SVG: ticks at round numbers, colours of the style sheet, values for the script's read-out."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

from auricle.reports.drawing.html import compact, text

WIDTH, HEIGHT = 340, 205
LEFT, RIGHT, TOP, BOTTOM = 54, 8, 10, 36
INSET = 14  # between the axis and the first point, where points and not curves are drawn
X_TICKS, Y_TICKS = 5, 5
COLOURS = 8  # of the style sheet: --c0 … --c7
MOST_POINTS = 320


@dataclass(frozen=True)
class Line:
    """One curve.

    Attributes:
        name: Name in legend and read-out.
        x, y: The points.
        colour: Number of a colour of the style sheet, from 0.
        dashed: Draw it dashed.
        faint: Draw it faint, without a read-out: raw values behind their mean.
        whiskers: Half-length of the error bar of each point; None for none.
        dots: Draw a dot at every point.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int = 0
    dashed: bool = False
    faint: bool = False
    whiskers: Sequence[float | None] = ()
    dots: bool = False


@dataclass(frozen=True)
class Scale:
    """Map values between low and high to pixels between start and end."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (math.log(v) if self.log else v for v in (self.low, self.high, value))
        ratio = (value - low) / (high - low) if high > low else 0.5
        return round(self.start + ratio * (self.end - self.start), 1)


def line_chart(
    title: str,
    lines: Sequence[Line],
    *,
    note: str = "",
    x_label: str = "epoch",
    x_ticks: Sequence[float] = (),
    log_x: bool = False,
    y_range: tuple[float, float] | None = None,
) -> str:
    """Return a figure; "" when no line has a finite point. ``note`` is printed under the title: unit or meaning."""
    lines = [line for line in map(_finite, lines) if len(line.x)]
    if not lines:
        return ""
    x, y = _x_scale(lines, log_x), _y_scale(lines, y_range)
    parts = [
        _grid(x, y, x_ticks or round_ticks(x.low, x.high, X_TICKS), x_label),
        *(_drawn(line, x, y) for line in lines),
    ]
    caption = f"<figcaption><b>{text(title)}</b>{f' <span>{text(note)}</span>' if note else ''}</figcaption>"
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text(title)}">{"".join(parts)}</svg>'
    return f'<figure class="chart" data-chart="{text(_values(lines, x, y, x_label))}">{caption}{svg}</figure>'


def round_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Return multiples of 1, 2 or 5 times a power of ten that lie in [low, high]."""
    if not high > low:
        return [low]
    step = _step(low, high, most)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _step(low: float, high: float, most: int) -> float:
    """Distance of round ticks; 1 for an empty range."""
    rough = (high - low) / most if high > low else 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)


def tick_text(value: float, step: float) -> str:
    """Write a tick with as many decimals as the distance of the ticks needs, so that neighbours differ."""
    if value == 0 or abs(value) >= 1e4 or abs(value) < 1e-3:
        return compact(value)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:.{decimals}f}".replace("-", "−")


def legend(names: Sequence[tuple[str, int, bool]]) -> str:
    """Return a legend of (name, colour, dashed) of every curve of a group of charts; "" for a single one."""
    if len(names) < 2:
        return ""
    keys = [f'<li><i class="key c{c % COLOURS}{" dashed" if d else ""}"></i>{text(n)}</li>' for n, c, d in names]
    return f'<ul class="legend">{"".join(keys)}</ul>'


def _finite(line: Line) -> Line:
    finite = [i for i, (x, y) in enumerate(zip(line.x, line.y)) if math.isfinite(x) and math.isfinite(y)]
    whiskers = [line.whiskers[i] for i in finite] if line.whiskers else ()
    return Line(
        line.name,
        [line.x[i] for i in finite],
        [line.y[i] for i in finite],
        line.colour,
        line.dashed,
        line.faint,
        whiskers,
        line.dots,
    )


def _x_scale(lines: Sequence[Line], log: bool) -> Scale:
    low, high = min(min(line.x) for line in lines), max(max(line.x) for line in lines)
    if log:
        return Scale(low, high, LEFT + INSET, WIDTH - RIGHT - INSET, log=True)
    step = _step(low, high, X_TICKS)
    end = math.ceil(high / step) * step  # a run of 20 epochs has its last row just before 20
    return Scale(low, end if end - high < 0.06 * (high - low) else high, LEFT, WIDTH - RIGHT)


def _y_scale(lines: Sequence[Line], wanted: tuple[float, float] | None) -> Scale:
    values = [v for line in lines for i, y in enumerate(line.y) for v in _reach(line, i, y)]
    low, high = wanted or (min(values), max(values))
    if not wanted:
        pad = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
        low, high = (max(0.0, low - pad) if low >= 0 else low - pad), high + pad
    return Scale(low, high, HEIGHT - BOTTOM, TOP)


def _reach(line: Line, i: int, y: float) -> tuple[float, float]:
    half = (line.whiskers[i] if line.whiskers else None) or 0.0
    return y - half, y + half


def _grid(x: Scale, y: Scale, x_ticks: Sequence[float], x_label: str) -> str:
    parts, y_step, x_step = [], _step(y.low, y.high, Y_TICKS), _step(x.low, x.high, X_TICKS)
    for value in round_ticks(y.low, y.high, Y_TICKS):
        at = y(value)
        parts.append(f'<path class="grid" d="M{LEFT} {at}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 7}" y="{at + 4}" text-anchor="end">{tick_text(value, y_step)}</text>')
    for value in x_ticks:
        parts.append(f'<path class="tick" d="M{x(value)} {HEIGHT - BOTTOM}v4"/>')
        parts.append(
            f'<text x="{x(value)}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{tick_text(value, x_step)}</text>'
        )
    parts.append(f'<path class="axis" d="M{LEFT} {HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>')
    parts.append(f'<text class="unit" x="{WIDTH - RIGHT}" y="{HEIGHT - 2}" text-anchor="end">{text(x_label)}</text>')
    return "".join(parts)


def _drawn(line: Line, x: Scale, y: Scale) -> str:
    points = [(x(a), y(b)) for a, b in zip(line.x, line.y)]
    kind = f"line c{line.colour % COLOURS}" + " dashed" * line.dashed + " faint" * line.faint
    parts = [f'<path class="{kind}" d="M{"L".join(f"{a} {b}" for a, b in points)}"/>'] if len(points) > 1 else []
    if line.dots or len(points) == 1:
        parts += [f'<circle class="dot c{line.colour % COLOURS}" cx="{a}" cy="{b}" r="3.5"/>' for a, b in points]
    for (a, _), value, half in zip(points, line.y, line.whiskers):
        if half:
            parts.append(
                f'<path class="whisker c{line.colour % COLOURS}" d="M{a} {y(value - half)}V{y(value + half)}"/>'
            )
    return "".join(parts)


def _values(lines: Sequence[Line], x: Scale, y: Scale, x_label: str) -> str:
    """JSON for the script's read-out: the curves and the frame they are drawn in."""
    shown = [
        {"name": line.name, "c": line.colour % COLOURS, "x": _short(line.x), "y": _short(line.y)}
        for line in lines
        if not line.faint
    ]
    frame = {"x": [x.low, x.high, x.start, x.end, int(x.log)], "y": [y.low, y.high, y.start, y.end]}
    return json.dumps({"lines": shown, **frame, "label": x_label}, separators=(",", ":"))


def _short(values: Sequence[float]) -> list[float]:
    return [float(f"{value:.6g}") for value in values]
