"""The result of one evaluation as plain values: what tables and reports read, saved as JSON and loaded again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.io import dumps, write_text
from auricle.evaluation.scoring import FewShotPoint, FoldScore
from auricle.metrics.classification import average_precision_per_class, confusion, recall_per_class
from auricle.metrics.table import metric_name


@dataclass(frozen=True)
class Score:
    """The scores of one model on one task.

    Attributes:
        model: Name of the model.
        score: Mean over splits and seeds.
        std: Standard deviation (n-1) over splits and seeds; None for a single score.
        scores: Every score behind the mean.
        checksum: Fingerprint of the encoder; "" for chance.
        few_shot: The curve over training clips per class; empty if it was not measured.
    """

    model: str
    score: float
    std: float | None
    scores: tuple[FoldScore, ...]
    checksum: str = ""
    few_shot: tuple[FewShotPoint, ...] = ()


@dataclass(frozen=True)
class Coverage:
    """How many of the manifest's clips a score is about.

    Attributes:
        clips: All clips.
        unlabelled: Clips without a label.
        failed: Clips that could not be read.
        left_out: Clips that are in no part of any split.
        tested: Clips that some split tested.
    """

    clips: int
    unlabelled: int
    failed: int
    left_out: int
    tested: int

    def __str__(self) -> str:
        rest = {"without a label": self.unlabelled, "unreadable": self.failed, "in no part": self.left_out}
        parts = [f"{n} {what}" for what, n in rest.items() if n]
        return f"{self.tested} of {self.clips} clips tested" + (f" ({', '.join(parts)})" if parts else "")


@dataclass(frozen=True)
class Prediction:
    """One tested clip: its labels, the predicted class, the split that tested it, and the scores of all classes."""

    id: str
    fold: str
    true: tuple[str, ...]
    predicted: str
    scores: tuple[float, ...]

    @property
    def right(self) -> bool:
        return self.predicted in self.true


@dataclass(frozen=True)
class Evaluation:
    """One model on one task by one protocol.

    Attributes:
        task: Name of the task.
        protocol: Name of the protocol.
        metric: Name of the metric.
        score: Scores of the model.
        baselines: Scores of the untrained encoder, log-mel statistics and chance.
        classes: Class names in the order of the predictions' scores.
        classes_scored: How many classes some split tested.
        multilabel: False if every clip has exactly one label.
        coverage: How many clips were tested.
        predictions: Of the first seed; every tested clip once per split that tests it.
        interval: 95 % bootstrap interval of the accuracy over test clips; None for other metrics.
        failed: Clips that could not be read, with the reason.
        notes: What weakens the score.
        settings: Task, encoding and seeds, as plain values.
        embeddings: Name of the cache entries that hold the features.
        seconds: Time that the evaluation took.
        environment: Versions and machine.
        command: The command line.
    """

    task: str
    protocol: str
    metric: str
    score: Score
    baselines: tuple[Score, ...]
    classes: tuple[str, ...]
    classes_scored: int
    multilabel: bool
    coverage: Coverage
    predictions: tuple[Prediction, ...]
    interval: tuple[float, float] | None = None
    failed: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    embeddings: str = ""
    seconds: float = 0.0
    environment: dict[str, Any] = field(default_factory=dict)
    command: str = ""

    @property
    def confusion(self) -> np.ndarray:
        """Counts (C, C) of a multiclass task: row = true class, column = predicted class."""
        true, predicted = self._indices()
        return confusion(predicted, true, len(self.classes))

    def per_class(self) -> dict[str, float | None]:
        """Return the recall of each class, or its average precision where clips have several labels; None if untested."""
        if self.multilabel:
            scores = np.array([p.scores for p in self.predictions])
            targets = np.array([[name in p.true for name in self.classes] for p in self.predictions])
            values = average_precision_per_class(scores, targets)
        else:
            true, predicted = self._indices()
            values = recall_per_class(predicted, true, len(self.classes))
        return {name: float(v) if np.isfinite(v) else None for name, v in zip(self.classes, values)}

    def mistakes(self, most: int = 60) -> list[Prediction]:
        """Return wrong predictions, the most confident first."""
        wrong = [p for p in self.predictions if not p.right]
        return sorted(wrong, key=lambda p: -max(p.scores))[:most]

    def _indices(self) -> tuple[np.ndarray, np.ndarray]:
        column = {name: i for i, name in enumerate(self.classes)}
        pairs = [(column[p.true[0]], column[p.predicted]) for p in self.predictions]
        true, predicted = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        return true, predicted

    def to_json(self) -> dict[str, Any]:
        """Return plain values, with confusion counts and scores per class for readers in other languages."""
        computed: dict[str, Any] = {"per_class": self.per_class()}
        if not self.multilabel:
            computed["confusion"] = self.confusion.tolist()
        return asdict(self) | computed

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Evaluation:
        """Build an evaluation from ``to_json`` values, also from those of the first edition."""
        plain = {k: v for k, v in values.items() if k not in ("per_class", "confusion")}
        return cls(
            **plain
            | {
                "metric": metric_name(values["metric"]),
                "score": _score(values["score"]),
                "baselines": tuple(map(_score, values["baselines"])),
                "classes": tuple(values["classes"]),
                "coverage": Coverage(**values["coverage"]),
                "predictions": tuple(_prediction(p) for p in values["predictions"]),
                "interval": tuple(values["interval"]) if values["interval"] else None,
                "notes": tuple(values["notes"]),
            }
        )

    def save(self, path: Path) -> None:
        write_text(path, dumps(self.to_json(), indent=1))

    @classmethod
    def load(cls, path: Path) -> Evaluation:
        return cls.from_json(json.loads(path.read_text(encoding="utf-8")))

    def __str__(self) -> str:
        rows = [self.score, *self.baselines]
        width = max(len(row.model) for row in rows)
        lines = [f"{self.task} · {self.protocol} · {self.metric}", *(_row(row, width) for row in rows)]
        for point in self.score.few_shot:
            baselines = [
                f"{b.model} {p.score:.4f}" for b in self.baselines for p in b.few_shot if p.shots == point.shots
            ]
            beside = f"  ({', '.join(baselines)})" if baselines else ""
            lines.append(f"  {point.shots} per class  {_plus_minus(point.score, point.std)}{beside}")
        if self.interval:
            lines.append(f"95 % of bootstrap draws over test clips: {self.interval[0]:.4f} to {self.interval[1]:.4f}")
        lines.append(
            f"{self.classes_scored} of {len(self.classes)} classes scored; {self.coverage}; {self.seconds:.1f} s"
        )
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def _row(row: Score, width: int) -> str:
    folds = list(dict.fromkeys(s.fold for s in row.scores))
    each = [np.mean([s.score for s in row.scores if s.fold == fold]) for fold in folds]
    detail = "  (" + " ".join(f"{value:.4f}" for value in each) + ")" if 1 < len(each) <= 12 else ""
    return f"  {row.model:<{width}}  {_plus_minus(row.score, row.std)}{detail}"


def _plus_minus(score: float, std: float | None) -> str:
    return f"{score:.4f}" + (f" ± {std:.4f}" if std is not None else "")


def _score(values: dict[str, Any]) -> Score:
    points = tuple(FewShotPoint(**_renamed(p) | {"scores": _fold_scores(p["scores"])}) for p in values["few_shot"])
    return Score(**_renamed(values) | {"scores": _fold_scores(values["scores"]), "few_shot": points})


def _renamed(values: dict[str, Any]) -> dict[str, Any]:
    """The first edition wrote ``deviation`` for ``std``."""
    return {"std" if name == "deviation" else name: value for name, value in values.items()}


def _fold_scores(values: list[dict[str, Any]]) -> tuple[FoldScore, ...]:
    return tuple(FoldScore(**v) for v in values)


def _prediction(values: dict[str, Any]) -> Prediction:
    return Prediction(**values | {"true": tuple(values["true"]), "scores": tuple(values["scores"])})
