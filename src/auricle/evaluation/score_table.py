"""Rows of the results store side by side: a line per task, protocol and metric, a column per model. No PyTorch here."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from auricle.core.console import printable
from auricle.core.io import dumps
from auricle.evaluation.result_rows import Result, markdown_cell, model_names, names_apart, task_names

HEAD = ("task", "protocol", "metric")


@dataclass(frozen=True)
class ScoreTable:
    """Scores of several models on several tasks.

    Attributes:
        models: Names of the models, in the order in which they were first measured; a place is added where several share a name.
        lines: Task, protocol and metric of each line, in the order in which they were first measured.
        scores: The latest row of each line and model; where a model was not measured there is none.
    """

    models: tuple[str, ...]
    lines: tuple[tuple[str, str, str], ...]
    scores: dict[tuple[int, str], Result]

    @classmethod
    def of(cls, results: Sequence[Result]) -> ScoreTable:
        """Make the table of rows. Tasks that differ in clips, labels or split, and versions of a protocol, have lines of their own.

        Args:
            results: The rows, oldest first.
        """
        models, tasks = [printable(name) for name in model_names(results)], task_names(results)
        marks = [f" [{r.version}]" if r.version else "" for r in results]
        protocols = names_apart([(f"{r.task} {r.protocol}", r.version) for r in results], marks)
        places: dict[tuple[str, str, str], int] = {}
        scores = dict[tuple[int, str], Result]()
        for row, model, task, protocol in zip(results, models, tasks, protocols, strict=True):
            name = (printable(task), printable(protocol.removeprefix(f"{row.task} ")), printable(row.metric))
            scores[places.setdefault(name, len(places)), model] = row  # a later row takes the place of an earlier one
        return cls(tuple(dict.fromkeys(models)), tuple(places), scores)

    def cells(self) -> list[list[str]]:
        """Return the head and one list of texts per line: task, protocol, metric, and each model's score ± deviation."""
        found = [[*HEAD, *self.models]]
        for number, line in enumerate(self.lines):
            found.append([*line, *(_score(self.scores.get((number, model))) for model in self.models)])
        return found

    def to_json(self) -> list[dict[str, Any]]:
        """Return plain values: one object per line."""
        return [
            dict(zip(HEAD, line, strict=True))
            | {
                "scores": {
                    model: {
                        "score": row.score,
                        "std": row.std,
                        "interval": row.interval,
                        "clips": row.clips,
                        "id": row.id,
                    }
                    for model in self.models
                    if (row := self.scores.get((number, model))) is not None
                }
            }
            for number, line in enumerate(self.lines)
        ]


def _score(row: Result | None) -> str:
    if row is None:
        return ""
    return f"{row.score:.4f}" + ("" if row.std is None else f" ± {row.std:.4f}")


def as_text(results: Sequence[Result]) -> str:
    """Write the table, padded with blanks."""
    cells = ScoreTable.of(results).cells()
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells)


def as_markdown(results: Sequence[Result]) -> str:
    """Write a Markdown table."""
    head, *cells = [[markdown_cell(cell) for cell in row] for row in ScoreTable.of(results).cells()]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *cells])


def as_csv(results: Sequence[Result]) -> str:
    """Write the table as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(ScoreTable.of(results).cells())
    return text.getvalue()


def as_json(results: Sequence[Result]) -> str:
    """Write the table as a JSON list, one object per line."""
    return dumps(ScoreTable.of(results).to_json(), indent=1)


TABLE_FORMATS = {"text": as_text, "csv": as_csv, "markdown": as_markdown, "json": as_json}
