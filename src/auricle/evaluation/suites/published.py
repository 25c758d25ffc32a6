"""Published scores as data: CSV tables in ``published/``, or a user's own, with the columns of ``COLUMNS``.

Scores are fractions of 1 where the metric is one. ``plus_minus`` is the 95 % confidence interval as printed, where one is.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from auricle.core.errors import AuricleError, nearest

COLUMNS = ("model", "task", "protocol", "metric", "score", "plus_minus", "source")


@dataclass(frozen=True)
class PublishedScore:
    """A score that somebody published.

    Attributes:
        model: Name of the model, as printed.
        task: Name of the suite's task.
        protocol: Name of the protocol, without its settings.
        metric: Name of the metric.
        score: The score.
        plus_minus: Half of the printed 95 % confidence interval; None where none is printed.
        source: Where it is printed.
    """

    model: str
    task: str
    protocol: str
    metric: str
    score: float
    plus_minus: float | None
    source: str

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def read_published_scores(tables: Sequence[str], beside: Path | None = None) -> list[PublishedScore]:
    """Read tables of published scores.

    Args:
        tables: Names of shipped tables ("evar-linear"), or CSV files.
        beside: A suite's file, which relative paths start from.

    Raises:
        AuricleError: A table is not there, or a row cannot be read.
    """
    return [score for name in tables for score in _read(_file_of(name, beside))]


def shipped_tables() -> tuple[str, ...]:
    """Return the names of the shipped tables."""
    folder = resources.files("auricle.evaluation.suites").joinpath("published")
    return tuple(sorted(Path(str(file)).stem for file in folder.iterdir() if str(file).endswith(".csv")))


def _file_of(name: str, beside: Path | None) -> Path:
    path = (beside.parent if beside else Path()) / Path(name).expanduser()
    if path.is_file():
        return path
    if name in shipped_tables():
        return Path(str(resources.files("auricle.evaluation.suites").joinpath("published", f"{name}.csv")))
    raise AuricleError(f"there is no table of published scores {path}{nearest(name, shipped_tables())}")


def _read(path: Path) -> list[PublishedScore]:
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        lacking = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
        if lacking:
            raise AuricleError(f"{path} has no column {', '.join(lacking)}; expected {', '.join(COLUMNS)}")
        return [_score(row, path, number) for number, row in enumerate(reader, start=2)]


def _score(row: dict[str, str], path: Path, number: int) -> PublishedScore:
    try:
        spread = float(row["plus_minus"]) if row["plus_minus"] else None
        score = float(row["score"])
    except (TypeError, ValueError):
        raise AuricleError(f"{path}, line {number}: score or plus_minus is no number") from None
    return PublishedScore(row["model"], row["task"], row["protocol"], row["metric"], score, spread, row["source"])
