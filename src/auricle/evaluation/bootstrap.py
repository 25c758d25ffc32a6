"""Intervals and paired differences over tested clips: the clips are drawn again and again from themselves.

For one test part, where there are no folds to compare over. Draws are keyed, so that the same scores give the same interval.
The metrics of classes are computed for many draws at once: each class is sorted once, and a draw is how often each clip counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from auricle.core.randomness import RandomKey
from auricle.metrics.classification import d_prime

DRAWS = 1000
LEAST_DRAWS = 200  # of large sets, where a thousand would take minutes
MOST_WORK = 4e9  # clips times classes times draws
AT_ONCE = 50  # draws, so that memory is bounded
POINTS = (0.025, 0.975)
METRICS = ("accuracy", "mAP", "roc_auc", "d_prime", "d_prime_of_auc")


@dataclass(frozen=True)
class BootstrapDifference:
    """Difference of two models on the same clips.

    Attributes:
        mean: Score minus reference on the clips themselves.
        std: Standard deviation over the draws.
        interval: 2.5 and 97.5 % points over the draws.
        p_value: Two-sided: twice the share of draws on the other side of 0, at least 1 / draws.
    """

    mean: float
    std: float
    interval: tuple[float, float]
    p_value: float


def bootstrap_interval(metric: str, scores: np.ndarray, targets: np.ndarray) -> tuple[float, float] | None:
    """Return the 95 % interval of a metric over draws of the clips; None for a metric that is not in ``METRICS``.

    Args:
        metric: Name of the metric.
        scores: (n, C), higher is likelier.
        targets: (n, C) of 0 and 1.
    """
    if metric not in METRICS or not len(scores):
        return None
    values = np.concatenate([_values(metric, scores, targets, weights) for weights in _draws(*scores.shape)])
    finite = values[np.isfinite(values)]
    if not len(finite):
        return None
    low, high = np.quantile(finite, POINTS)
    return float(low), float(high)


def bootstrap_difference(
    metric: str, scores: np.ndarray, reference: np.ndarray, targets: np.ndarray
) -> BootstrapDifference | None:
    """Compare two models by draws of the same clips; None for a metric that is not in ``METRICS``.

    Args:
        metric: Name of the metric.
        scores: (n, C) of one model.
        reference: (n, C) of the model that is compared with.
        targets: (n, C) of 0 and 1.
    """
    if metric not in METRICS or not len(scores):
        return None
    once = np.ones((1, len(scores)), np.float32)
    mean = float(_values(metric, scores, targets, once)[0] - _values(metric, reference, targets, once)[0])
    parts = [
        _values(metric, scores, targets, weights) - _values(metric, reference, targets, weights)
        for weights in _draws(*scores.shape)
    ]
    values = np.concatenate(parts)
    values = values[np.isfinite(values)]
    if len(values) < 2 or not np.isfinite(mean):
        return None
    low, high = np.quantile(values, POINTS)
    other_side = min(float(np.mean(values <= 0)), float(np.mean(values >= 0)))
    p_value = 1.0 if not values.any() else min(1.0, max(2 * other_side, 1 / len(values)))
    return BootstrapDifference(mean, float(np.std(values, ddof=1)), (float(low), float(high)), p_value)


def _draws(clips: int, classes: int) -> Iterator[np.ndarray]:
    """How often each clip counts, (draws, n) float32, some draws at a time; the same for every model of a task."""
    count = int(min(DRAWS, max(LEAST_DRAWS, MOST_WORK / max(1, clips * classes))))
    source = RandomKey(0).of("bootstrap")
    for start in range(0, count, AT_ONCE):
        drawn = source.integers(0, clips, size=(min(AT_ONCE, count - start), clips))
        yield np.stack([np.bincount(row, minlength=clips) for row in drawn]).astype(np.float32)


def _values(metric: str, scores: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The metric for each draw, (draws,)."""
    if metric == "accuracy":
        right = (scores.argmax(1) == targets.argmax(1)).astype(np.float32)
        return weights @ right / weights.sum(1)
    per_class = _precisions if metric == "mAP" else _areas
    scored = [c for c in range(targets.shape[1]) if 0 < targets[:, c].sum() < (len(targets) + (metric == "mAP"))]
    if not scored:
        return np.full(len(weights), np.nan)
    columns = np.stack([per_class(scores[:, c], targets[:, c], weights) for c in scored])
    if metric == "d_prime":
        columns = np.vectorize(d_prime, otypes=[float])(columns)
    return _mean(columns) if metric != "d_prime_of_auc" else np.array([d_prime(area) for area in _mean(columns)])


def _mean(columns: np.ndarray) -> np.ndarray:
    """The mean over the classes that a draw can score, (draws,)."""
    known = ~np.isnan(columns)
    count = known.sum(0)
    with np.errstate(invalid="ignore"):
        total = np.where(known, columns, 0.0).sum(0)
        return np.divide(total, count, out=np.full(columns.shape[1], np.nan), where=count > 0)


def _precisions(scores: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Average precision of one class for each draw; NaN for a draw without a positive."""
    order = np.argsort(-scores, kind="stable")
    places, _, last = _positives_in(scores[order], targets[order])
    clips = np.cumsum(weights[:, order[: last.max() + 1]], axis=1)[
        :, last
    ]  # whole numbers below 2^24: exact in float32
    own = weights[:, order[places]].astype(np.float64)
    found = np.cumsum(own, axis=1)[:, np.searchsorted(last, last, side="right") - 1]  # equal scores share one threshold
    precision = np.divide(found, clips, out=np.zeros_like(found), where=clips > 0)
    total = own.sum(1)
    return np.divide((own * precision).sum(1), total, out=np.full(len(total), np.nan), where=total > 0)


def _areas(scores: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of one class for each draw; NaN for a draw that lacks positives or negatives."""
    order = np.argsort(scores, kind="stable")
    places, first, last = _positives_in(scores[order], targets[order])
    clips = np.pad(np.cumsum(weights[:, order], axis=1), [(0, 0), (1, 0)])
    own = weights[:, order[places]].astype(np.float64)
    found = np.pad(np.cumsum(own, axis=1), [(0, 0), (1, 0)])
    below = np.searchsorted(first, first, side="left"), np.searchsorted(first, first, side="right")
    lower, upper = (
        clips[:, edge] - found[:, own_edge] for edge, own_edge in zip((first, last + 1), below, strict=True)
    )
    positives = own.sum(1)
    both = positives * (clips[:, -1] - positives)
    return np.divide((own * (lower + upper) / 2).sum(1), both, out=np.full(len(both), np.nan), where=both > 0)


def _positives_in(scores: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places of the positives in sorted scores (n,), and the first and last place of the equal scores around each."""
    changes = np.flatnonzero(np.diff(scores) != 0)
    starts, ends = np.append(0, changes + 1), np.append(changes, len(scores) - 1)
    places = np.flatnonzero(targets > 0)
    group = np.searchsorted(ends, places)
    return places, starts[group], ends[group]
