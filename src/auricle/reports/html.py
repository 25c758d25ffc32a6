"""Small pieces of HTML: escaping, sections, tables, and numbers as a person writes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape


def text(value: object) -> str:
    """Any value, safe inside an element or an attribute."""
    return escape(str(value), quote=True)


def script_safe(data: str) -> str:
    """JSON that cannot end the script element it stands in."""
    return data.replace("<", "\\u003c")


def section(id: str, title: str, body: str, lead: str = "") -> str:
    """A titled part of the page; nothing at all when it would be empty."""
    if not body:
        return ""
    intro = f'<p class="lead">{lead}</p>' if lead else ""
    return f'<section id="{id}"><h2>{text(title)}</h2>{intro}{body}</section>'


def subsection(title: str, body: str, lead: str = "") -> str:
    intro = f'<p class="lead">{lead}</p>' if lead else ""
    return f"<h3>{text(title)}</h3>{intro}{body}" if body else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, kind: str = "", numeric: Iterable[int] = ()) -> str:
    """Cells are HTML already. ``numeric`` columns are set flush right; wide tables scroll by themselves."""
    right = set(numeric)
    cells = [_row(head, "th", right), *(_row(row, "td", right) for row in rows)]
    body = f"<thead>{cells[0]}</thead><tbody>{''.join(cells[1:])}</tbody>"
    return f'<div class="scroll"><table class="{kind}">{body}</table></div>'


def _row(cells: Sequence[str], tag: str, right: set[int]) -> str:
    return (
        "<tr>" + "".join(f"<{tag}{' class=n' if i in right else ''}>{c}</{tag}>" for i, c in enumerate(cells)) + "</tr>"
    )


def details(summary: str, body: str) -> str:
    return f"<details><summary>{text(summary)}</summary>{body}</details>"


def percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{100 * value:.{digits}f}"


def count(value: float) -> str:
    """12345 -> 12 345, with thin no-break spaces."""
    return f"{round(value):,}".replace(",", "\u202f")


def duration(seconds: float) -> str:
    if seconds >= 5400:
        return f"{seconds / 3600:.1f} hours"
    return f"{seconds / 60:.1f} minutes" if seconds >= 90 else f"{seconds:.1f} seconds"


def compact(value: float) -> str:
    """For axes and read-outs: 0.0005 -> 5e-4, 12500 -> 12.5k."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e6 or size < 1e-3:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}".replace("-", "−")
    if size >= 1e4:
        return f"{value / 1e3:.4g}k"
    return f"{value:.4g}".replace("-", "−")


def play(sound: str | None, label: str = "play") -> str:
    """A button that plays a sound of the page's own store; nothing where there is none."""
    return (
        "" if sound is None else f'<button class="play" data-sound="{text(sound)}" aria-label="{text(label)}"></button>'
    )


# How a metric is written: shares as per cent and their differences in points, d' as it is.

SPACE = "\u00a0"


@dataclass(frozen=True)
class Measure:
    """factor to what is shown, its unit, and the unit of a difference."""

    factor: float
    unit: str
    points: str

    def value(self, score: float) -> str:
        """ "77.5 %"."""
        return f"{self.number(score)}{SPACE}{self.unit}" if self.unit else self.number(score)

    def number(self, score: float) -> str:
        return f"{self.factor * score:.{self.digits}f}"

    def spread(self, deviation: float | None) -> str:
        """ " ± 5.4", or nothing."""
        return "" if deviation is None else f"{SPACE}±{SPACE}{self.number(deviation)}"

    def signed(self, difference: float) -> str:
        """With its sign, a true minus."""
        return f"{self.factor * difference:+.{self.digits}f}".replace("-", "−")

    def difference(self, mean: float, deviation: float | None) -> str:
        """ "+1.8 ± 5.8 points"."""
        return f"{self.signed(mean)}{self.spread(deviation)}{' ' + self.points if self.points else ''}"

    @property
    def digits(self) -> int:
        return 1 if self.unit else 2


SHARE, PLAIN = Measure(100.0, "%", "points"), Measure(1.0, "", "")


def measure_of(metric: str) -> Measure:
    """d' is the only metric that is no share of 1."""
    return PLAIN if metric == "d-prime" else SHARE
