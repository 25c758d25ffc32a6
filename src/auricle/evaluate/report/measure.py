"""How a metric is written: shares as per cent and their differences in points, d' as it is."""

from __future__ import annotations

from dataclasses import dataclass

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
