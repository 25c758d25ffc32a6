"""Few-shot curves: the C = 1 logistic probe with 1, 2, 4 and 8 training clips per class, drawn again and again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomKey
from auricle.evaluation.labels import Labels
from auricle.evaluation.probes.logistic import logistic
from auricle.evaluation.scoring import FoldScore, TaskSplit, mean_and_deviation
from auricle.evaluation.splits import Fold

SHOTS = (1, 2, 4, 8)
REPEATS = 5


@dataclass(frozen=True)
class FewShotPoint:
    """Mean and deviation (n-1) over folds and draws with ``shots`` training clips per class; ``seed`` counts the
    draws."""

    shots: int
    score: float
    deviation: float | None
    scores: tuple[FoldScore, ...]


def few_shot_curve(
    setting: TaskSplit, features: np.ndarray, *, shots: Sequence[int] = SHOTS, repeats: int = REPEATS, seed: int = 42
) -> tuple[FewShotPoint, ...]:
    """One point per number of shots; every fold is tested ``repeats`` times. A larger draw contains the smaller ones.

    A class with fewer training clips than asked for gives all it has. Raises AuricleError for several labels per clip.
    """
    check_few_shot(setting)
    return tuple(_point(setting, features, n, repeats, seed) for n in shots)


def check_few_shot(setting: TaskSplit) -> None:
    """Raises AuricleError for several labels per clip."""
    if setting.labels.multilabel:
        raise AuricleError("a few-shot curve needs exactly one label per clip; this task has clips with several")


def _point(setting: TaskSplit, features: np.ndarray, shots: int, repeats: int, seed: int) -> FewShotPoint:
    scores = tuple(
        _one(setting, features, shots, i, RandomKey(seed, epoch=draw, position=i))
        for i in range(len(setting.folds))
        for draw in range(repeats)
    )
    return FewShotPoint(shots, *mean_and_deviation(scores), scores)


def _one(setting: TaskSplit, features: np.ndarray, shots: int, i: int, key: RandomKey) -> FoldScore:
    whole = setting.folds[i]
    rows = draw_shots(setting.labels, whole.train, shots, key)
    fold = Fold(whole.name, rows, np.zeros(0, np.int64), whole.test)
    return setting.score(logistic(setting.problem(features, features, fold, key)), fold, key.epoch)


def draw_shots(labels: Labels, rows: np.ndarray, shots: int, key: RandomKey) -> np.ndarray:
    """Up to ``shots`` of ``rows`` per class, in order; the first of a permutation keyed by the class."""
    index = labels.index[rows]
    picked = []
    for c in np.unique(index):
        members = rows[index == c]
        picked.append(members[key.of(f"few-shot/{labels.classes[c]}").permutation(len(members))[:shots]])
    return np.sort(np.concatenate(picked))
