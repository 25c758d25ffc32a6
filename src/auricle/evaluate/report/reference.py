"""Curves that a run is held against: an original program's log, and those shipped for our small preset."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from auricle.errors import AuricleError
from auricle.evaluate.report.view import RunView

THEIRS = {"train_loss": "loss", "train_lr": "lr", "train_ema_decay": "ema_decay", "train_rank": "rank"}
SHIPPED = "small_scale.json"


@dataclass(frozen=True)
class Reference:
    """An original program's ``log.txt``: a row per epoch by our names, drawn at the middle of what it averages."""

    name: str
    rows: tuple[dict[str, Any], ...]

    @classmethod
    def read(cls, path: Path) -> Reference:
        """Specification m2d 5.4: JSON lines. Raises AuricleError for another file."""
        try:
            rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            found = tuple(_renamed(row) for row in rows)
        except OSError as error:
            raise AuricleError(f"the reference {path} cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise AuricleError(
                f"{path} is not an original's log.txt ({error}); "
                "expected one JSON object a line with epoch and train_loss"
            ) from None
        if not found:
            raise AuricleError(f"the reference {path} is empty; expected one JSON object a line")
        return cls(f"{path.resolve().parent.name}/{path.name}", found)


def _renamed(row: dict[str, Any]) -> dict[str, Any]:
    """-1 stands for "not measured" in the analysis columns."""
    named = {ours: row[theirs] for theirs, ours in THEIRS.items() if theirs in row and row[theirs] != -1}
    return {"epoch": float(row["epoch"]) + 0.5, **named}


def shipped(runs: Sequence[RunView]) -> list[Reference]:
    """The curves that come with the package, for a first run of the very settings they were made with: else none.

    They are the means over seeds of ``benchmarks/small_scale``, logged by weight update; here they stand at the epoch in
    which this run made as many, and end where it ends.
    """
    known = json.loads(files(__package__).joinpath(SHIPPED).read_text("utf-8"))
    if not _within(known["settings"], runs[0].config):
        return []
    steps = [row for row in runs[0].rows("step") if row.get("step")]
    if not steps:
        return []
    last = steps[-1]["step"]
    epochs = steps[-1]["epoch"] / last
    return [
        Reference(
            curve["name"],
            tuple({"epoch": row["step"] * epochs, **row["values"]} for row in curve["rows"] if row["step"] <= last),
        )
        for curve in known["curves"]
    ]


def _within(wanted: dict[str, Any], config: dict[str, Any]) -> bool:
    """Does a run's config say all that is wanted?"""
    return all(
        _within(value, config.get(name) or {}) if isinstance(value, dict) else config.get(name) == value
        for name, value in wanted.items()
    )
