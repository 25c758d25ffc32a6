"""Area under the ROC curve, by ranks: the chance that a positive scores above a negative (ties count half)."""

from __future__ import annotations

import numpy as np

from auricle.metrics.scores import checked


def roc_auc(scores: np.ndarray, targets: np.ndarray) -> float:
    """One class: scores (n,), targets (n,) of 0 and 1. NaN unless both occur.

    Raises AuricleError for scores that are NaN.
    """
    targets = np.asarray(targets).astype(bool)
    positives, negatives = int(targets.sum()), int((~targets).sum())
    if not positives or not negatives:
        return float("nan")
    _, group, sizes = np.unique(checked(scores), return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(sizes) - (sizes - 1) / 2
    rank_sum = mean_rank[group][targets].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def roc_auc_per_class(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """scores (n, C), targets (n, C) -> (C,); NaN where a class lacks positives or negatives."""
    return np.array([roc_auc(scores[:, c], targets[:, c]) for c in range(targets.shape[1])])


def mean_roc_auc(scores: np.ndarray, targets: np.ndarray) -> float:
    """Macro mean over the classes that can be scored; NaN when none can."""
    values = roc_auc_per_class(scores, targets)
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")
