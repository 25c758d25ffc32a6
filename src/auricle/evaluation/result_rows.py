"""Rows of the results store: as objects, as the file keeps them, made of an evaluation, and as tables in text, CSV,
Markdown and JSON. No PyTorch here.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np

from auricle.core.console import printable
from auricle.core.io import dumps
from auricle.evaluation.evaluation import Evaluation, Score
from auricle.evaluation.identity import UNKNOWN, TaskIdentity, split_text
from auricle.evaluation.scoring import FoldScore
from auricle.metrics.table import metric_name

CANDIDATE = "candidate"


@dataclass(frozen=True)
class Result:
    """One row of the store: a score of one model on one task by one protocol.

    Attributes:
        model: Name of the model, with what is not the default of how clips became vectors.
        checksum: Fingerprint of the encoder; "" for chance.
        task: Name of the task.
        protocol: Name of the protocol, or "4-shot" for a point of the few-shot curve.
        metric: Name of the metric.
        score: Mean over splits and seeds.
        std: Standard deviation (n-1) over splits and seeds; None for a single score.
        scores: Every score, {"fold 1 / 42": 0.95}, by split and seed.
        classes: How many classes were tested.
        clips: How many clips were tested.
        seconds: Time that the evaluation took.
        role: "model", "baseline", or "candidate": a head that ``finetune`` tried and did not keep.
        environment: Versions and machine.
        command: The command line.
        test_ratio: Test clips per clip of the training part, the mean over splits; None in rows of earlier versions. A
            few-shot score has that of the whole part that its clips are drawn from: the scores of two splits depend on each
            other as far as they test the same clips, and few draws share a training clip.
        fingerprint: Of the task: of its clips, labels, split and seconds.
        identity: What the fingerprint is made of; in rows of earlier versions, what is known of it.
        place: Absolute path of the run folder or weight file; "" for others, and where an earlier version wrote the row.
        version: Version of the protocol; "" in rows of earlier versions.
        work: Key of a suite's work: hash of task, model, protocol, version and settings; "" for other measurements.
        interval: 95 % bootstrap interval over the tested clips; None where it was not measured.
        notes: What weakens the score, and how many clips could not be read.
        id: Given by the store.
        time: When it was appended, given by the store.
    """

    model: str
    checksum: str
    task: str
    protocol: str
    metric: str
    score: float
    std: float | None
    scores: dict[str, float]
    classes: int = 0
    clips: int = 0
    seconds: float = 0.0
    role: str = "model"
    environment: dict[str, Any] = field(default_factory=dict)
    command: str = ""
    test_ratio: float | None = None
    fingerprint: str = ""
    identity: TaskIdentity = UNKNOWN
    place: str = ""
    version: str = ""
    work: str = ""
    interval: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    id: int | None = None
    time: str = ""

    def __post_init__(self) -> None:
        if not self.fingerprint:
            known = self.identity
            if known == UNKNOWN:  # a row of an earlier version
                names = [key.rpartition(" / ")[0] or key for key in self.scores]
                known = TaskIdentity(self.clips, self.classes, split_text(names))
            object.__setattr__(self, "identity", known)
            object.__setattr__(self, "fingerprint", known.fingerprint)


FIELDS = tuple(f.name for f in fields(Result))
NESTED = ("scores", "environment", "identity", "interval", "notes")  # JSON text in the file


def encoded(row: Result) -> dict[str, Any]:
    """Return a row as the file keeps it: nested values as JSON text."""
    values = asdict(row) | {"identity": row.identity.to_json()}
    return values | {name: json.dumps(values[name], sort_keys=True) for name in NESTED}


def decoded(row: dict[str, Any]) -> Result:
    """A row of the file; the first edition's metric names are read in this edition's spelling.

    Raises ValueError or TypeError for a damaged row.
    """
    scores, environment = json.loads(row["scores"]), json.loads(row["environment"])
    if not isinstance(scores, dict) or not all(isinstance(value, (int, float)) for value in scores.values()):
        raise ValueError("its scores are no numbers")
    wrong = [name for name in ("model", "task", "protocol", "metric", "role") if not isinstance(row[name], str)]
    wrong += [name for name, value in row.items() if isinstance(value, bytes)]
    if wrong or not isinstance(row["score"], (int, float)):
        raise ValueError(f"its {wrong[0] if wrong else 'score'} cannot be read")
    identity = TaskIdentity.from_json(json.loads(row["identity"] or "{}"))
    values = {name: row[name] or 0 for name in ("classes", "clips", "seconds")}
    values |= {name: row[name] or "" for name in ("place", "version", "work")}
    values |= {"scores": scores, "environment": environment, "identity": identity}
    values |= {"interval": _pair(json.loads(row["interval"] or "null")), "notes": (*json.loads(row["notes"] or "[]"),)}
    return Result(**row | values | {"metric": metric_name(row["metric"]), "fingerprint": row["fingerprint"] or ""})


def _pair(values: Any) -> tuple[float, float] | None:
    return None if values is None else (float(values[0]), float(values[1]))


def rows_of(evaluation: Evaluation) -> Iterator[Result]:
    """Yield the rows of all that an evaluation measured: the model's, those of the baselines, and few-shot curves."""
    for role, score in (("model", evaluation.score), *(("baseline", row) for row in evaluation.baselines)):
        yield from _rows(evaluation, score, role)


def _rows(evaluation: Evaluation, score: Score, role: str) -> list[Result]:
    identity = evaluation.task_identity

    def row(protocol: str, value: float, std: float | None, scores: Sequence[FoldScore], ratio: float | None) -> Result:
        return Result(
            model=score.model,
            checksum=score.checksum,
            task=evaluation.task,
            protocol=protocol,
            metric=evaluation.metric,
            score=value,
            std=std,
            scores=score_table(scores),
            classes=evaluation.classes_scored,
            clips=evaluation.coverage.tested,
            seconds=evaluation.seconds,
            role=role,
            environment=evaluation.environment,
            command=evaluation.command,
            test_ratio=ratio,
            identity=identity,
            place=score.place,
            version=evaluation.version,
        )

    ratio = mean_test_ratio(score.scores)
    curve = [row(f"{p.shots}-shot", p.score, p.std, p.scores, ratio) for p in score.few_shot]
    main = row(evaluation.protocol, score.score, score.std, score.scores, ratio)
    if role == "model":
        main = replace(main, interval=evaluation.interval, notes=_notes(evaluation))
    return [main, *curve]


def _notes(evaluation: Evaluation) -> tuple[str, ...]:
    """The notes of an evaluation, and how many clips could not be read."""
    count = len(evaluation.failed)
    return ((f"{count} clips could not be read",) if count else ()) + evaluation.notes


def score_table(scores: Sequence[FoldScore]) -> dict[str, float]:
    """Return {"fold 1 / 42": 0.95}, by split and seed."""
    return {f"{s.fold} / {s.seed}": s.score for s in scores}


def mean_test_ratio(scores: Sequence[FoldScore]) -> float:
    """Return the mean over splits of test clips per training clip."""
    return float(np.mean([s.test / max(1, s.train) for s in scores]))


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
    rows = [list(SHOWN), ["---"] * len(SHOWN), *([markdown_cell(cell) for cell in row] for row in _cells(results))]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def markdown_cell(cell: str) -> str:
    """Return a text with the characters escaped that have a meaning in a table of Markdown."""
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
    models, tasks = model_names(results), task_names(results)
    rows = []
    for result, model, task in zip(results, models, tasks, strict=True):
        values: list[Any] = [getattr(result, name) for name in SHOWN]
        values[SHOWN.index("model")], values[SHOWN.index("task")] = model, task
        rows.append(["" if v is None else f"{v:.4f}" if isinstance(v, float) else printable(str(v)) for v in values])
    return rows


def model_names(results: Sequence[Result]) -> list[str]:
    """Return the name of each row's model, with its place where several share the name."""
    marks = [f" in {r.place}" if r.place else "" for r in results]
    return names_apart([(r.model, r.place or r.model) for r in results], marks)


def task_names(results: Sequence[Result]) -> list[str]:
    """Return the name of each row's task, with the first digits of its fingerprint where several share the name."""
    return names_apart([(r.task, r.fingerprint) for r in results], [f" [{r.fingerprint[:6]}]" for r in results])


def names_apart(pairs: Sequence[tuple[str, str]], marks: Sequence[str]) -> list[str]:
    """Return names, with the mark of each added where one name stands for several things.

    Args:
        pairs: The name and the meaning of each.
        marks: What is added to each.
    """
    meanings: dict[str, set[str]] = {}
    for name, meaning in pairs:
        meanings.setdefault(name, set()).add(meaning)
    return [name + (mark if len(meanings[name]) > 1 else "") for (name, _), mark in zip(pairs, marks, strict=True)]


FORMATS = {"text": as_text, "csv": as_csv, "markdown": as_markdown, "json": as_json}
