"""One set of features, scored: every fold and seed of a protocol, with what was predicted for every tested clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomKey
from auricle.evaluation.labels import Labels
from auricle.evaluation.probes.base import ProbeData
from auricle.evaluation.protocols import Protocol
from auricle.evaluation.splits import Fold
from auricle.metrics.classification import metric


@dataclass(frozen=True)
class FoldScore:
    """Score of one fold with one seed; how many clips trained, validated and tested it, and how many classes were
    tested."""

    fold: str
    seed: int
    score: float
    train: int
    valid: int
    test: int
    classes_scored: int


@dataclass(frozen=True)
class Scored:
    """scores of every fold and seed; rows, folds and values (n, C) of the clips tested, with the first seed."""

    scores: tuple[FoldScore, ...]
    rows: np.ndarray
    folds: tuple[str, ...]
    values: np.ndarray


def mean_and_deviation(scores: Sequence[FoldScore]) -> tuple[float, float | None]:
    """Plain mean and standard deviation (n-1) over folds and seeds; no deviation for a single score."""
    values = [s.score for s in scores]
    spread = len(values) > 1 and bool(np.isfinite(values).all())  # d-prime is infinite where nothing was confused
    return float(np.mean(values)), float(np.std(values, ddof=1)) if spread else None


@dataclass(frozen=True)
class TaskSplit:
    """What all scores of one evaluation share: labels (n rows), folds, groups, metric.

    Raises AuricleError for a fold whose labels leave the metric without a value.
    """

    labels: Labels
    folds: Sequence[Fold]
    groups: tuple[str, ...]
    metric: str

    def __post_init__(self) -> None:
        for fold in self.folds:
            if np.isnan(self.score(np.zeros((len(fold.test), len(self.labels.classes))), fold, 0).score):
                raise AuricleError(
                    f"{fold.name} cannot be scored by {self.metric}: its {len(fold.test)} clips do not hold some class and "
                    "something else; choose another --metric or --folding"
                )

    def problem(self, train: np.ndarray, test: np.ndarray, fold: Fold, key: RandomKey) -> ProbeData:
        """The arrays of one fold; ``train`` and ``test`` are the features of all clips as heard for each purpose."""
        targets, valid = self.labels.targets, len(fold.valid) > 0
        return ProbeData(
            train=train[fold.train],
            train_targets=targets[fold.train],
            test=test[fold.test],
            valid=train[fold.valid] if valid else None,
            valid_targets=targets[fold.valid] if valid else None,
            multilabel=self.labels.multilabel,
            metric=self.metric,
            groups=tuple(self.groups[i] for i in fold.train),
            key=key,
        )

    def score(self, values: np.ndarray, fold: Fold, seed: int) -> FoldScore:
        """What the scores (n_test, C) are worth by the metric."""
        targets = self.labels.targets[fold.test]
        value = metric(self.metric, multilabel=self.labels.multilabel)(values, targets)
        sizes = len(fold.train), len(fold.valid), len(fold.test)
        return FoldScore(fold.name, seed, value, *sizes, int(targets.any(0).sum()))


def score_features(
    setting: TaskSplit,
    protocol: Protocol,
    features: np.ndarray,
    seeds: Sequence[int],
    train_features: np.ndarray | None = None,
) -> Scored:
    """Every fold once per seed (once, where the protocol does not depend on it). features (n, D), in the labels'
    order."""
    train = features if train_features is None else train_features
    used = seeds if protocol.seeded else (0,)
    scores, values = [], []
    for i, fold in enumerate(setting.folds):
        for seed in used:
            found = protocol.probe(setting.problem(train, features, fold, RandomKey(seed, position=i)))
            scores.append(setting.score(found, fold, seed))
            if seed == used[0]:
                values.append(found)
    names = tuple(fold.name for fold in setting.folds for _ in fold.test)
    return Scored(tuple(scores), np.concatenate([fold.test for fold in setting.folds]), names, np.concatenate(values))
