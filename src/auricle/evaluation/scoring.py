"""Scores of one set of features on one task: every split and seed of a protocol, and the few-shot curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from auricle.core.devices import recheck
from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomKey
from auricle.data.manifest.manifest import Manifest
from auricle.evaluation.probes.base import Features
from auricle.evaluation.probes.fewshot import FewShot, single_label_only
from auricle.evaluation.protocols import Protocol
from auricle.evaluation.splits import Split, drawn_note, why_unusable
from auricle.evaluation.targets import ClassTargets, labelled
from auricle.evaluation.tasks import Task

SHOTS = (1, 2, 4, 8)
REPEATS = 5


@dataclass(frozen=True)
class FoldScore:
    """The score of one split with one seed.

    Attributes:
        fold: Name of the split.
        seed: Seed of the probe, 0 where it does not draw; for few-shot scores the number of the draw.
        score: Value of the task's metric.
        train: How many clips trained.
        valid: How many clips validated.
        test: How many clips were tested.
        classes_scored: How many classes have a clip in the test part.
    """

    fold: str
    seed: int
    score: float
    train: int
    valid: int
    test: int
    classes_scored: int


@dataclass(frozen=True)
class FewShotPoint:
    """Mean and standard deviation (n-1) over splits and draws of ``shots`` training clips per class."""

    shots: int
    score: float
    std: float | None
    scores: tuple[FoldScore, ...]


@dataclass(frozen=True)
class SplitScores:
    """What a protocol gave on every split.

    Attributes:
        scores: One per split and seed.
        rows: Rows tested, split after split.
        folds: The name of the split of each tested row.
        predictions: (len(rows), C) of the first seed.
    """

    scores: tuple[FoldScore, ...]
    rows: np.ndarray
    folds: tuple[str, ...]
    predictions: np.ndarray


def mean_and_std(scores: Sequence[FoldScore]) -> tuple[float, float | None]:
    """Return mean and standard deviation (n-1) over splits and seeds; None for a single score or an infinite one."""
    return mean_and_std_of([s.score for s in scores])


def mean_and_std_of(values: Sequence[float]) -> tuple[float, float | None]:
    """Return mean and standard deviation (n-1); None for a single value or an infinite one."""
    finite = bool(np.isfinite(values).all())  # d' is infinite where nothing was confused
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 and finite else None


@dataclass(frozen=True)
class TaskSplit:
    """What all scores of one evaluation share: the targets and the splits.

    Raises AuricleError for a split whose targets leave the metric without a value.
    """

    targets: ClassTargets
    splits: Sequence[Split]

    def __post_init__(self) -> None:
        for split in self.splits:
            if reason := _unscorable(self.targets, split):
                raise AuricleError(f"{reason}; choose another --metric or --split-by")

    @classmethod
    def of(cls, manifest: Manifest, task: Task) -> TaskSplit:
        """Read targets and splits of labelled clips. Raises AuricleError for a task that is not about classes."""
        targets = task.targets(manifest)
        if not isinstance(targets, ClassTargets):
            raise AuricleError(
                f"there is no probe for tasks of kind '{targets.kind}' yet; multiclass and multilabel have"
            )
        return cls(targets, task.splits(manifest, targets))

    def take(self, rows: np.ndarray) -> tuple[TaskSplit, list[str]]:
        """Return the same splits of some rows only, in ascending order, and why splits were left out.

        Raises:
            AuricleError: No split is left.
        """
        place = np.full(len(self.targets), -1)
        place[rows] = np.arange(len(rows))
        targets = replace(self.targets, values=self.targets.values[rows])
        groups = tuple(self.splits[0].groups[row] for row in rows) if self.splits[0].groups else ()
        splits, notes = [], []
        for split in self.splits:
            train, valid, test = ((kept := place[part])[kept >= 0] for part in (split.train, split.valid, split.test))
            smaller = Split(split.name, train, valid, test, groups)
            reason = why_unusable(smaller, targets) or _unscorable(targets, smaller)
            notes += [f"{reason}: it was left out"] if reason else []
            splits += [] if reason else [smaller]
        if not splits:
            raise AuricleError(
                f"too few clips could be read to score any split: {notes[0].removesuffix(': it was left out')}"
            )
        return TaskSplit(targets, splits), notes

    @property
    def metric(self) -> str:
        """Name of the metric."""
        return self.targets.scored_by.name

    def score(self, predictions: Any, split: Split, seed: int) -> FoldScore:
        """Score predictions (n_test, C) for the test rows of a split."""
        value = self.targets.score(predictions, split.test)
        sizes = len(split.train), len(split.valid), len(split.test)
        return FoldScore(split.name, seed, value, *sizes, int(self.targets.values[split.test].any(0).sum()))


def _unscorable(targets: ClassTargets, split: Split) -> str:
    """Why the metric has no value for the test part of a split; "" where it has."""
    if not np.isnan(targets.score(np.zeros((len(split.test), len(targets.classes))), split.test)):
        return ""
    return (
        f"{split.name} cannot be scored by {targets.scored_by.name}: its {len(split.test)} clips do not hold some class "
        "and something else"
    )


@dataclass(frozen=True)
class TaskPlan:
    """All of a task that is known before the first clip is decoded: a refusal costs nothing.

    Attributes:
        task: The task.
        whole: All clips.
        candidates: The labelled clips, in the order of the targets' rows.
        split: Targets and splits of the candidates.
        few_shot: Whether the few-shot curve is measured.
        notes: How the folds were made, where the clips come with none.
    """

    task: Task
    whole: Manifest
    candidates: Manifest
    split: TaskSplit
    few_shot: bool
    notes: tuple[str, ...]

    @classmethod
    def of(cls, task: Task, manifest: Manifest | None = None, *, few_shot: bool = False) -> TaskPlan:
        """Read labels and splits.

        Args:
            task: The task.
            manifest: Clips to use in place of reading the task's source.
            few_shot: Whether the few-shot curve is wanted.

        Raises:
            AuricleError: Clips, labels, classes, folds or metric leave nothing that could be scored.
        """
        whole = manifest if manifest is not None else task.manifest()
        candidates = labelled(whole)
        split = TaskSplit.of(candidates, task)
        if few_shot:
            single_label_only(split.targets)
        note = drawn_note(candidates, task.split_by, split.splits)
        return cls(task, whole, candidates, split, few_shot, (note,) if note else ())


def score_features(task: TaskSplit, protocol: Protocol, features: Features, seeds: Sequence[int]) -> SplitScores:
    """Train and test the protocol's probe on every split.

    Args:
        task: Targets and splits.
        protocol: The probe.
        features: In the order of the targets' rows.
        seeds: One run per seed; a protocol that does not draw runs once, with seed 0.
    """
    used = seeds if protocol.seeded else (0,)
    scores, first_predictions = [], []
    for i, split in enumerate(task.splits):
        for seed in used:
            recheck()  # a probe may take minutes
            predictions = protocol.probe.fit_predict(features, task.targets, split, RandomKey(seed, position=i))
            scores.append(task.score(predictions, split, seed))
            if seed == used[0]:
                first_predictions.append(predictions)
    folds = tuple(split.name for split in task.splits for _ in split.test)
    rows = np.concatenate([split.test for split in task.splits])
    return SplitScores(tuple(scores), rows, folds, np.concatenate(first_predictions))


def few_shot_curve(
    task: TaskSplit, features: Features, *, shots: Sequence[int] = SHOTS, repeats: int = REPEATS, seed: int = 42
) -> tuple[FewShotPoint, ...]:
    """Score logistic regression on a few training clips per class, drawn ``repeats`` times for every split.

    Returns:
        One point per number of shots.

    Raises:
        AuricleError: Clips have several labels.
    """
    single_label_only(task.targets)
    points = []
    for count in shots:
        few, scores = FewShot(count), []
        for i, split in enumerate(task.splits):
            for draw in range(repeats):
                key = RandomKey(seed, epoch=draw, position=i)
                drawn = few.draw(task.targets, split, key)
                scores.append(task.score(few.probe.fit_predict(features, task.targets, drawn, key), drawn, draw))
        points.append(FewShotPoint(count, *mean_and_std(scores), tuple(scores)))
    return tuple(points)


def chance_scores(task: TaskSplit) -> tuple[FoldScore, ...]:
    """Score the class frequencies of the training part: the most frequent class, or the prevalence as mAP."""
    shares = [task.targets.values[split.train].mean(0, dtype=np.float64) for split in task.splits]
    return tuple(
        task.score(np.tile(share, (len(split.test), 1)), split, 0) for share, split in zip(shares, task.splits)
    )
