"""The result of one evaluation as plain values: what tables and reports read, saved as JSON and loaded again.

The scores of all classes for every clip are an array: they are saved beside the JSON (``NAME.scores.npy``, float32), which
holds the highest few of each clip.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.errors import AuricleError, content_fault
from auricle.core.io import dumps, replacing, write_text
from auricle.evaluation.identity import TaskIdentity, rows_hash, split_text
from auricle.evaluation.scoring import FewShotPoint, FoldScore
from auricle.metrics.classification import average_precision_per_class, confusion, recall_per_class
from auricle.metrics.table import metric_name

TOP = 5  # classes whose scores stand in the JSON, for every clip
DENSE_CLASSES = 100  # of more classes the JSON holds no table of confusions: the predictions tell it
WRITTEN_PRECISION = {"bfloat16": "bf16"}  # of the first edition


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
        place: Absolute path of the run folder or weight file; "" for others. Two runs may have one relative name.
    """

    model: str
    score: float
    std: float | None
    scores: tuple[FoldScore, ...]
    checksum: str = ""
    few_shot: tuple[FewShotPoint, ...] = ()
    place: str = ""


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
    """One tested clip: its labels, the predicted class, the split that tested it, and the highest scores by class."""

    id: str
    fold: str
    true: tuple[str, ...]
    predicted: str
    top: dict[str, float]

    @property
    def right(self) -> bool:
        return self.predicted in self.true

    @property
    def scores(self) -> tuple[float, ...]:
        """The highest scores, in descending order."""
        return tuple(self.top.values())


def make_predictions(
    clips: list[tuple[str, str, tuple[str, ...]]], scores: np.ndarray, classes: tuple[str, ...]
) -> tuple[Prediction, ...]:
    """Make the predictions of tested clips.

    Args:
        clips: (id, name of the split, labels) of each.
        scores: (n, C) of all classes.
        classes: Their names.
    """
    predictions = []
    for (id, fold, true), row in zip(clips, scores, strict=True):
        best = np.argsort(-row, kind="stable")[:TOP]
        predictions.append(
            Prediction(id, fold, true, classes[best[0]], {classes[c]: round(float(row[c]), 6) for c in best})
        )
    return tuple(predictions)


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
        interval: 95 % bootstrap interval over test clips: of the accuracy, or with one test part of mAP and areas; else None.
        failed: Clips that could not be read, with the reason.
        notes: What weakens the score.
        settings: Task, encoding and seeds, as plain values.
        embeddings: Name of the cache entries that hold the features.
        seconds: Time that the evaluation took.
        environment: Versions and machine.
        command: The command line.
        identity: Which task it is; None in evaluations of earlier versions: then ``task_identity`` holds what is known.
        class_scores: What ``per_class`` returns.
        all_scores: (n, C) float32, the scores of all classes for the predictions; None where the array is not there.
        version: Version of the protocol; "" where an earlier version of auricle measured.
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
    identity: TaskIdentity | None = None
    class_scores: dict[str, float | None] = field(default_factory=dict)
    all_scores: np.ndarray | None = field(default=None, compare=False, repr=False)
    version: str = ""

    @property
    def task_identity(self) -> TaskIdentity:
        """Which task was measured, as far as it is known."""
        if self.identity is not None:
            return self.identity
        task = self.settings.get("task") or {}
        seconds = "" if "seconds" not in task else f"{task['seconds']:g} s" if task["seconds"] else "whole clips"
        rows = rows_hash([(p.id, p.true, p.fold) for p in self.predictions]) if self.predictions else ""
        names = split_text([score.fold for score in self.score.scores])
        return TaskIdentity(self.coverage.tested, self.classes_scored, names, seconds, rows)

    @property
    def variant(self) -> str:
        """What was measured of the encoder where it is not its own output: "layers 5 11, mean_std"; else ""."""
        return variant_of(self.settings.get("encode") or {}, self.settings.get("statistics") or "own")

    @property
    def confusion(self) -> np.ndarray:
        """Counts (C, C) of a multiclass task: row = true class, column = predicted class."""
        true, predicted = self._indices()
        return confusion(predicted, true, len(self.classes))

    def per_class(self) -> dict[str, float | None]:
        """Return the recall of each class, or its average precision where clips have several labels; None if untested."""
        if self.class_scores or self.multilabel:
            return self.class_scores
        true, predicted = self._indices()
        return _by_class(self.classes, recall_per_class(predicted, true, len(self.classes)))

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
        values = asdict(replace(self, all_scores=None))
        del values["all_scores"], values["class_scores"]
        values["identity"] = self.identity and self.identity.to_json() | {"fingerprint": self.identity.fingerprint}
        values["per_class"] = self.per_class()
        if not self.multilabel and len(self.classes) <= DENSE_CLASSES:
            values["confusion"] = self.confusion.tolist()
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Evaluation:
        """Build an evaluation from ``to_json`` values, also from those of the first edition."""
        plain = {k: v for k, v in values.items() if k not in ("per_class", "confusion", "scores_file")}
        classes, identity = tuple(values["classes"]), values.get("identity")
        return cls(
            **plain
            | {
                "metric": metric_name(values["metric"]),
                "score": _score(values["score"]),
                "baselines": tuple(map(_score, values["baselines"])),
                "classes": classes,
                "coverage": Coverage(**values["coverage"]),
                "predictions": tuple(_prediction(p, classes) for p in values["predictions"]),
                "interval": tuple(values["interval"]) if values["interval"] else None,
                "notes": tuple(values["notes"]),
                "identity": TaskIdentity.from_json(identity) if identity else None,
                "class_scores": values.get("per_class") or {},
            }
        )

    def save(self, path: Path | str) -> None:
        """Write the evaluation as JSON, and the scores of all classes beside it (``array_file``)."""
        path = Path(path)
        values, array = self.to_json(), array_file(path)
        if self.all_scores is None:
            array.unlink(missing_ok=True)  # of an earlier evaluation
        else:
            with replacing(array) as temporary, open(temporary, "wb") as file:
                np.save(file, np.asarray(self.all_scores, np.float32), allow_pickle=False)
            values["scores_file"] = array.name
        write_text(path, dumps(values, indent=1))

    @classmethod
    def load(cls, path: Path | str) -> Evaluation:
        """Read a saved evaluation; its array, where it still stands beside the file, is mapped and not read.

        Raises:
            AuricleError: The file is not there, or is no evaluation.
        """
        path = Path(path)
        try:
            evaluation = cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except Exception as error:  # any value may have any type, and any depth
            raise AuricleError(f"{path} is no evaluation that can be read ({content_fault(error)})") from error
        try:
            scores = np.load(array_file(path), mmap_mode="r", allow_pickle=False)
        except Exception:  # NumPy's reader of headers raises many kinds
            return evaluation
        fits = scores.shape == (len(evaluation.predictions), len(evaluation.classes))
        return replace(evaluation, all_scores=scores) if fits else evaluation

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


def class_values(
    scores: np.ndarray, targets: np.ndarray, classes: tuple[str, ...], multilabel: bool
) -> dict[str, float | None]:
    """Return the recall of each class, or its average precision where clips have several labels; None if untested.

    Args:
        scores: (n, C) of the tested clips.
        targets: (n, C) of 0 and 1.
        classes: Names of the C classes.
        multilabel: False if every clip has exactly one label.
    """
    if multilabel:
        return _by_class(classes, average_precision_per_class(scores, targets))
    return _by_class(classes, recall_per_class(scores.argmax(1), targets.argmax(1), len(classes)))


def _by_class(classes: tuple[str, ...], values: np.ndarray) -> dict[str, float | None]:
    return {name: float(v) if np.isfinite(v) else None for name, v in zip(classes, values, strict=True)}


def variant_of(encode: Mapping[str, Any], statistics: str = "own") -> str:
    """Return what is not the default of how clips became vectors, in words: "layers 5 11, mean_std, bf16"; "" for none.

    Args:
        encode: Fields of ``EncodeSettings``.
        statistics: What normalised the encoder's input.
    """
    layers, precision = encode.get("layers") or (), encode.get("precision") or "float32"
    parts = [f"layers {' '.join(map(str, layers))}"] if layers else []
    parts += [encode["pooling"]] if encode.get("pooling", "clip") != "clip" else []
    parts += [WRITTEN_PRECISION.get(precision, precision)] if precision not in ("auto", "float32") else []
    parts += [f"{encode['padding']} padding"] if encode.get("padding", "exact") != "exact" else []
    parts += [f"{statistics} statistics"] if statistics != "own" else []
    return ", ".join(parts)


def model_title(model: str, encode: Mapping[str, Any], statistics: str = "own") -> str:
    """Return the name of a model with what is not the default of how clips became vectors; see ``variant_of``."""
    variant = variant_of(encode, statistics)
    return f"{model} ({variant})" if variant else model


def array_file(path: Path | str) -> Path:
    """Return where the scores of all classes stand: "r.scores.npy" beside "r.json"."""
    path = Path(path)
    return path.with_name(f"{path.stem}.scores.npy")


def _score(values: dict[str, Any]) -> Score:
    points = tuple(FewShotPoint(**_renamed(p) | {"scores": _fold_scores(p["scores"])}) for p in values["few_shot"])
    return Score(**_renamed(values) | {"scores": _fold_scores(values["scores"]), "few_shot": points})


def _renamed(values: dict[str, Any]) -> dict[str, Any]:
    """The first edition wrote ``deviation`` for ``std``."""
    return {"std" if name == "deviation" else name: value for name, value in values.items()}


def _fold_scores(values: list[dict[str, Any]]) -> tuple[FoldScore, ...]:
    return tuple(FoldScore(**v) for v in values)


def _prediction(values: dict[str, Any], classes: tuple[str, ...]) -> Prediction:
    if "top" in values:
        return Prediction(**values | {"true": tuple(values["true"])})
    plain = values["id"], values["fold"], tuple(values["true"])  # an earlier version wrote the scores of all classes
    return replace(
        make_predictions([plain], np.array([values["scores"]], float), classes)[0], predicted=values["predicted"]
    )
