"""How many more labels would help: scores of heads that learnt from 1, 2, 4, 8 … clips per class, and where that leads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from auricle.core.randomness import RandomKey
from auricle.detectors.features import LabelledFeatures
from auricle.detectors.frozen_heads import FrozenHead, fit_head, logits_of
from auricle.detectors.selection import can_be_validated, inner_folds, standard_error
from auricle.metrics.table import Metric
from auricle.models.label_space import LabelKind

MOST_PER_CLASS = 256  # larger numbers take long to fit and say little about more labels
LEAST_POINTS = 3  # of an extrapolation
LEAST_ERROR = 1e-3  # of a score that is 1: its logarithm is finite


@dataclass(frozen=True)
class CurvePoint:
    """The score of heads that learnt from ``clips`` of each class (fewer of classes that have fewer), over held-out folds."""

    clips: int
    score: float
    error: float


@dataclass(frozen=True)
class LearningCurve:
    """Points from few clips to all, and what more would give if the curve goes on.

    Attributes:
        metric: name of the score.
        points: measured.
        expected: extrapolated, for two and four times the largest measured number; () where too few points were measured.
    """

    metric: str
    points: tuple[CurvePoint, ...]
    expected: tuple[CurvePoint, ...]


def learning_curve(
    features: LabelledFeatures, choice: FrozenHead, kind: LabelKind, metric: Metric, *, seed: int = 0
) -> LearningCurve | None:
    """Measure a head's score by the number of clips it learns from.

    On every held-out fold a head is fitted on k clips per class of the other folds and scored on the held-out clips.

    Args:
        features: of the training clips.
        choice: the head.
        kind: of the labels.
        metric: the score; higher is better, at most 1.
        seed: of the folds, and of the order in which clips are taken.

    Returns:
        The curve; None where nothing can be held out, or the metric is no share of 1.
    """
    folds = inner_folds(features, seed)
    if metric.sign < 0 or metric.factor != 100.0 or not can_be_validated(features, folds):
        return None
    order = RandomKey(seed).of("learning curve").permutation(len(features))
    most = int((features.targets * features.known).sum(0).max() * (len(np.unique(folds)) - 1) / len(np.unique(folds)))
    points = []
    for clips in sizes(min(most, MOST_PER_CLASS)):
        scores = [_held_out(features, choice, kind, metric, folds == fold, order, clips) for fold in np.unique(folds)]
        finite = np.array([score for score in scores if np.isfinite(score)])
        if len(finite):
            points.append(CurvePoint(clips, float(finite.mean()), standard_error(finite)))
    return LearningCurve(metric.name, tuple(points), extrapolated(points)) if points else None


def sizes(most: int) -> list[int]:
    """Return 1, 2, 4, … below ``most``, and ``most``; what lies close below it is left out."""
    doubled = [2**k for k in range(max(1, most).bit_length()) if 2**k * 1.25 < most]
    return [*doubled, max(1, most)]


def extrapolated(points: Sequence[CurvePoint]) -> tuple[CurvePoint, ...]:
    """Continue a curve to two and four times its largest number of clips: errors fall as a power of the number.

    Straight line through the logarithms of errors (1 - score) and numbers of clips, of the last four points, by least
    squares; a curve that does not rise stays where it is. Learning curves are often such power laws (Hestness et al. 2017,
    Deep Learning Scaling is Predictable, Empirically), but nothing promises it. ``error`` is the scatter around the line.
    """
    if len(points) < LEAST_POINTS:
        return ()
    last = points[-4:]
    x = np.log([point.clips for point in last])
    y = np.log([max(1 - point.score, LEAST_ERROR) for point in last])
    slope, middle = np.polyfit(x, y, 1)
    slope = min(float(slope), 0.0)
    scatter = float(np.std(y - (slope * x + middle)))
    results = []
    for clips in (2 * last[-1].clips, 4 * last[-1].clips):
        error = float(np.exp(y[-1] + slope * (np.log(clips) - x[-1])))  # from the last point on
        results.append(CurvePoint(clips, 1 - error, error * scatter))
    return tuple(results)


def _held_out(
    features: LabelledFeatures,
    choice: FrozenHead,
    kind: LabelKind,
    metric: Metric,
    held: np.ndarray,
    order: np.ndarray,
    clips: int,
) -> float:
    """Score on the ``held`` rows (n,) of a head that learnt from ``clips`` of each class of the other rows."""
    rows = taken(features.targets * features.known, order[~held[order]], clips)
    training = features.take(rows)
    if not (training.targets * training.known).any(1).sum() or len(np.unique(training.targets, axis=0)) < 2:
        return float("nan")
    tested = features.take(np.flatnonzero(held))
    return float(metric(logits_of(fit_head(choice, training, kind), tested), tested.truth()))


def taken(labels: np.ndarray, order: np.ndarray, clips: int) -> np.ndarray:
    """Return the first rows of the order that hold ``clips`` of each class, and as many rows without a class.

    Args:
        labels: (n, C) of 0 and 1.
        order: of the rows that may be taken.
    """
    with_none = np.concatenate([labels, (labels.sum(1, keepdims=True) == 0)], axis=1) > 0
    chosen = [column[:clips] for c in range(with_none.shape[1]) if len(column := order[with_none[order, c]])]
    return np.unique(np.concatenate(chosen)) if chosen else order[:0]
