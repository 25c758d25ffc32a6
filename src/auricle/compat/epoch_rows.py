"""Collect the rows of the log that belong to the current epoch, for callbacks that write a line per epoch as an original does."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any


class EpochRows:
    """The rows since the last complete epoch. A run that continues within an epoch also has its earlier rows of that epoch.

    Args:
        log: ``metrics.jsonl`` of the run.
    """

    def __init__(self, log: Path):
        self.log, self.rows = log, list[dict[str, Any]]()
        self.started = False

    def add(self, row: dict[str, Any]) -> None:
        """Add the newest row, which the log holds already."""
        if not self.started:
            self.started = True
            self.rows = self._earlier()
        self.rows.append(row)

    def take(self) -> list[dict[str, Any]]:
        """Return the rows and begin the next epoch."""
        rows, self.rows = self.rows, []
        return rows

    def _earlier(self) -> list[dict[str, Any]]:
        """Return the rows of the log after the last complete epoch, without the newest row."""
        from auricle.training.log import read_log

        rows = read_log(self.log)[:-1]
        ends = [index for index, row in enumerate(rows) if row["kind"] == "epoch"]
        return rows[ends[-1] + 1 :] if ends else rows


def mean_of(rows: list[dict[str, Any]], name: str) -> float:
    """Return the mean of a value over the weight updates of an epoch; NaN where it was not logged."""
    values = [row[name] for row in rows if row["kind"] == "step" and name in row]
    return fmean(values) if values else float("nan")
