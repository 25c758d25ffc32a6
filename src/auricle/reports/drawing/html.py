"""Elements of HTML (sections, tables, play buttons) and numbers as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from auricle.core.page_parts import theme
from auricle.metrics.table import METRICS


def text(value: object) -> str:
    """Escape any value for an element or an attribute."""
    return escape(str(value), quote=True)


def script_safe(data: str) -> str:
    """Escape JSON so that it cannot end the script element around it."""
    return data.replace("<", "\\u003c")


def style(*names: str) -> str:
    """Return the shared style sheet, followed by files of this floor: "report.css"."""
    return theme() + "".join(files("auricle.reports").joinpath(name).read_text("utf-8") for name in names)


def section(id: str, title: str, body: str, lead: str = "") -> str:
    """Return a titled section of the page; "" for an empty body."""
    if not body:
        return ""
    intro = f'<p class="lead">{lead}</p>' if lead else ""
    return f'<section id="{id}"><h2>{text(title)}</h2>{intro}{body}</section>'


def subsection(title: str, body: str, lead: str = "") -> str:
    """Return a titled part of a section; "" for an empty body."""
    intro = f'<p class="lead">{lead}</p>' if lead else ""
    return f"<h3>{text(title)}</h3>{intro}{body}" if body else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, kind: str = "", numeric: Iterable[int] = ()) -> str:
    """Return a table of cells that are HTML already; ``numeric`` columns are set flush right, wide tables scroll."""
    right = set(numeric)
    cells = [_row(head, "th", right), *(_row(row, "td", right) for row in rows)]
    body = f"<thead>{cells[0]}</thead><tbody>{''.join(cells[1:])}</tbody>"
    return f'<div class="scroll"><table class="{kind}">{body}</table></div>'


def _row(cells: Sequence[str], tag: str, right: set[int]) -> str:
    return (
        "<tr>" + "".join(f"<{tag}{' class=n' if i in right else ''}>{c}</{tag}>" for i, c in enumerate(cells)) + "</tr>"
    )


def details(summary: str, body: str) -> str:
    """Return a folded element that opens on a click."""
    return f"<details><summary>{text(summary)}</summary>{body}</details>"


def percent(value: float | None, digits: int = 1) -> str:
    """Write a share of 1 as per cent, without the sign; a dash for None."""
    return "–" if value is None else f"{100 * value:.{digits}f}"


def count(value: float) -> str:
    """Write a whole number with thin no-break spaces: 12 345."""
    return f"{round(value):,}".replace(",", "\u202f")


def compact(value: float) -> str:
    """Write a number briefly, for axes and read-outs: 5e-4, 12.5k."""
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
    """Return a button that plays a sound of the page's store; "" for None."""
    return (
        "" if sound is None else f'<button class="play" data-sound="{text(sound)}" aria-label="{text(label)}"></button>'
    )


SPACE = "\u00a0"


@dataclass(frozen=True)
class Measure:
    """How values of a metric are written.

    Attributes:
        factor: The number shown is ``factor`` times the value.
        unit: Unit of the number shown; "" for none.
        difference_unit: Unit of a difference.
        digits: Decimals.
    """

    factor: float
    unit: str
    difference_unit: str
    digits: int

    def value(self, score: float) -> str:
        """Write a value with its unit: "77.5 %"."""
        return f"{self.number(score)}{SPACE}{self.unit}" if self.unit else self.number(score)

    def number(self, score: float) -> str:
        """Write a value without its unit: "77.5"."""
        return f"{self.factor * score:.{self.digits}f}"

    def spread(self, std: float | None) -> str:
        """Write a standard deviation: " ± 5.4", or "" for None."""
        return "" if std is None else f"{SPACE}±{SPACE}{self.number(std)}"

    def signed(self, difference: float) -> str:
        """Write a difference with its sign, a true minus."""
        return f"{self.factor * difference:+.{self.digits}f}".replace("-", "−")

    def difference(self, mean: float, std: float | None) -> str:
        """Write a difference with its spread: "+1.8 ± 5.8 points"."""
        unit = f" {self.difference_unit}" if self.difference_unit else ""
        return f"{self.signed(mean)}{self.spread(std)}{unit}"


def measure_of(metric: str) -> Measure:
    """Return how the table of metrics writes a metric; plain numbers for one that it does not have."""
    m = METRICS.get(metric)
    return Measure(m.factor, m.unit, m.difference_unit, m.digits) if m else Measure(1.0, "", "", 2)
