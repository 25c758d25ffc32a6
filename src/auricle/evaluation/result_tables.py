"""Tables of results as text, CSV, Markdown and JSON. No PyTorch here."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from auricle.core.io import dumps
from auricle.core.text import printable
from auricle.evaluation.result_rows import FIELDS, Result, encoded

SHOWN = ("id", "time", "model", "task", "protocol", "metric", "score", "std", "classes", "clips")


def as_csv(results: Sequence[Result]) -> str:
    """Write every column; scores by split, environment and identity are JSON text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(encoded(result) for result in results)
    return text.getvalue()


def as_markdown(results: Sequence[Result]) -> str:
    """Write a Markdown table of the main columns; characters with a meaning in one are escaped."""
    rows = [list(SHOWN), ["---"] * len(SHOWN), *([_markdown(cell) for cell in row] for row in _cells(results))]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _markdown(cell: str) -> str:
    return re.sub(r"([\\`*<>|])", r"\\\1", cell)


def as_text(results: Sequence[Result]) -> str:
    """Write the main columns, padded with blanks."""
    rows = [list(SHOWN), *_cells(results)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(SHOWN))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def as_json(results: Sequence[Result]) -> str:
    """Write every column as a JSON list."""
    return dumps([asdict(result) | {"identity": result.identity.to_json()} for result in results], indent=1)


def _cells(results: Sequence[Result]) -> list[list[str]]:
    """The main columns on one line each. Models and tasks that share a name get their place and fingerprint added."""
    models = _apart(
        [(r.model, r.place or r.model) for r in results], [f" in {r.place}" if r.place else "" for r in results]
    )
    tasks = _apart([(r.task, r.fingerprint) for r in results], [f" [{r.fingerprint[:6]}]" for r in results])
    rows = []
    for result, model, task in zip(results, models, tasks, strict=True):
        values: list[Any] = [getattr(result, name) for name in SHOWN]
        values[SHOWN.index("model")], values[SHOWN.index("task")] = model, task
        rows.append(["" if v is None else f"{v:.4f}" if isinstance(v, float) else printable(str(v)) for v in values])
    return rows


def _apart(pairs: Sequence[tuple[str, str]], marks: Sequence[str]) -> list[str]:
    """Names, with the mark of each added where one name stands for several things."""
    meanings: dict[str, set[str]] = {}
    for name, meaning in pairs:
        meanings.setdefault(name, set()).add(meaning)
    return [name + (mark if len(meanings[name]) > 1 else "") for (name, _), mark in zip(pairs, marks, strict=True)]


FORMATS = {"text": as_text, "csv": as_csv, "markdown": as_markdown, "json": as_json}
