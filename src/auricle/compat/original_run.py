"""Runs that a line of an original began: a continued run goes on writing the original's files, of which many have a line per
epoch of the log.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from auricle.core.io import write_text

if TYPE_CHECKING:
    from auricle.training.run import CallbackFactory


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


FILE = "original.json"
PROGRAMS = {"efficientat": "auricle.compat.efficientat.published_epochs", "m2d": "auricle.compat.m2d.evar_results"}


def note_original(folder: Path, program: str, **line: Any) -> None:
    """Write what a program's callbacks need.

    Args:
        folder: the run folder.
        program: one of ``PROGRAMS``; its module has ``continued(line)``, which returns the callback factories.
        line: JSON values.
    """
    write_text(folder / FILE, json.dumps({"program": program, "line": line}, indent=1))


def original_callbacks(folder: Path) -> tuple[CallbackFactory, ...]:
    """Return the factories of the callbacks with which a run began; none where no original's line began it."""
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        module, line = PROGRAMS[content["program"]], content["line"]
    except (OSError, ValueError, LookupError, TypeError):
        return ()
    return importlib.import_module(module).continued(line)
