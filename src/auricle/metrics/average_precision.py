"""Average precision: the area under the precision-recall steps, as scikit-learn defines it (no interpolation)."""

from __future__ import annotations

import numpy as np

from auricle.metrics.scores import checked


def average_precision(scores: np.ndarray, targets: np.ndarray) -> float:
    """One class: scores (n,), targets (n,) of 0 and 1. Equal scores share one threshold. NaN without a positive.

    Raises AuricleError for scores that are NaN.
    """
    scores, targets = checked(scores), np.asarray(targets, dtype=np.float64)
    if targets.sum() == 0:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)  # the last clip of every group of equal scores
    found = np.cumsum(targets[order])[last]
    precision = found / (np.flatnonzero(last) + 1)
    return float(np.sum(np.diff(found, prepend=0.0) * precision) / targets.sum())


def average_precision_per_class(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """scores (n, C), targets (n, C) -> (C,); NaN for a class without a positive."""
    return np.array([average_precision(scores[:, c], targets[:, c]) for c in range(targets.shape[1])])


def mean_average_precision(scores: np.ndarray, targets: np.ndarray) -> float:
    """Macro mAP over the classes that have a positive; NaN when none has."""
    values = average_precision_per_class(scores, targets)
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")
