"""The result of one evaluation: everything a table, a report or a sceptic needs, as plain values that go to JSON and
back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.io import dumps, write_text
from auricle.evaluation.labels import Coverage
from auricle.evaluation.probes.fewshot import FewShotPoint
from auricle.evaluation.scoring import FoldScore
from auricle.metrics.classification import average_precision_per_class, confusion, recall_per_class


@dataclass(frozen=True)
class Score:
    """A model's mean over folds and seeds, its deviation (n-1; None with a single score) and every score behind it."""

    model: str
    score: float
    deviation: float | None
    scores: tuple[FoldScore, ...]
    checksum: str = ""
    few_shot: tuple[FewShotPoint, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """One tested clip: what it is, what was predicted, with which fold held out, and the scores in the order of the
    classes."""

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
    """score of the model itself, baselines beside it, predictions with the first seed (each tested clip once per fold).

    interval is the 95 % bootstrap interval of the accuracy over test clips (None for other metrics); classes_scored
    counts the classes that some fold tested; embeddings names the cache entries that hold the features.
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
    def few_shot(self) -> tuple[FewShotPoint, ...]:
        return self.score.few_shot

    @property
    def confusion(self) -> np.ndarray:
        """(C, C) counts of a single-label task: row = true class, column = predicted."""
        true, predicted = self._indices()
        return confusion(predicted, true, len(self.classes))

    def per_class(self) -> dict[str, float | None]:
        """Recall of each class, or its average precision where clips have several labels; None where none was
        tested."""
        if self.multilabel:
            scores = np.array([p.scores for p in self.predictions])
            targets = np.array([[name in p.true for name in self.classes] for p in self.predictions])
            values = average_precision_per_class(scores, targets)
        else:
            true, predicted = self._indices()
            values = recall_per_class(predicted, true, len(self.classes))
        return {name: float(v) if np.isfinite(v) else None for name, v in zip(self.classes, values)}

    def mistakes(self, most: int = 60) -> list[Prediction]:
        """Wrong predictions, the most confident first."""
        wrong = [p for p in self.predictions if not p.right]
        return sorted(wrong, key=lambda p: -max(p.scores))[:most]

    def _indices(self) -> tuple[np.ndarray, np.ndarray]:
        column = {name: i for i, name in enumerate(self.classes)}
        pairs = [(column[p.true[0]], column[p.predicted]) for p in self.predictions]
        true, predicted = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        return true, predicted

    def to_json(self) -> dict[str, Any]:
        """Plain values; with what is computed from them (confusion, per class) for readers in other languages."""
        computed: dict[str, Any] = {"per_class": self.per_class()}
        if not self.multilabel:
            computed["confusion"] = self.confusion.tolist()
        return asdict(self) | computed

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Evaluation:
        """The inverse of ``to_json``."""
        plain = {k: v for k, v in values.items() if k not in ("per_class", "confusion")}
        return cls(
            **plain
            | {
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
        for point in self.few_shot:
            rivals = [f"{b.model} {p.score:.4f}" for b in self.baselines for p in b.few_shot if p.shots == point.shots]
            beside = f"  ({', '.join(rivals)})" if rivals else ""
            lines.append(f"  {point.shots} per class  {_plus_minus(point.score, point.deviation)}{beside}")
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
    return f"  {row.model:<{width}}  {_plus_minus(row.score, row.deviation)}{detail}"


def _plus_minus(score: float, deviation: float | None) -> str:
    return f"{score:.4f}" + (f" ± {deviation:.4f}" if deviation is not None else "")


def _score(values: dict[str, Any]) -> Score:
    points = tuple(FewShotPoint(**p | {"scores": _fold_scores(p["scores"])}) for p in values["few_shot"])
    return Score(**values | {"scores": _fold_scores(values["scores"]), "few_shot": points})


def _fold_scores(values: list[dict[str, Any]]) -> tuple[FoldScore, ...]:
    return tuple(FoldScore(**v) for v in values)


def _prediction(values: dict[str, Any]) -> Prediction:
    return Prediction(**values | {"true": tuple(values["true"]), "scores": tuple(values["scores"])})
