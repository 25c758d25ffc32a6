"""The metrics a task may name. Each takes scores (n, C), higher is likelier, and targets (n, C) of 0 and 1."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

import numpy as np

from auricle.core.errors import AuricleError, nearest

# What every metric asks of the scores it is given.


def checked(scores: np.ndarray) -> np.ndarray:
    """Scores of any shape as an array. Raises AuricleError for NaN, which has no rank."""
    scores = np.asarray(scores)
    if scores.dtype.kind == "f" and np.isnan(scores).any():
        raise AuricleError(
            f"{int(np.isnan(scores).sum())} of {scores.size} scores are NaN: nothing can be ranked by them"
        )
    return scores


# How often the first guess is right, over clips and over classes.


def accuracy(predicted: np.ndarray, true: np.ndarray) -> float:
    """Share of equal entries of two (n,) arrays of class indices; NaN when there are none."""
    predicted, true = np.asarray(predicted), np.asarray(true)
    return float(np.mean(predicted == true)) if len(true) else float("nan")


def recall_per_class(predicted: np.ndarray, true: np.ndarray, classes: int) -> np.ndarray:
    """(C,) share of each class's clips that were recognised; NaN for a class with no clip in ``true``."""
    counts = np.bincount(true, minlength=classes)
    hits = np.bincount(np.asarray(true)[np.asarray(predicted) == true], minlength=classes)
    return np.divide(hits, counts, out=np.full(classes, np.nan), where=counts > 0)


def balanced_accuracy(predicted: np.ndarray, true: np.ndarray, classes: int) -> float:
    """Mean recall over the classes that occur in ``true`` (the unweighted average recall of the medical tasks)."""
    recalls = recall_per_class(predicted, true, classes)
    scored = recalls[np.isfinite(recalls)]
    return float(scored.mean()) if len(scored) else float("nan")


# Average precision: the area under the precision-recall steps, as scikit-learn defines it (no interpolation).


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


# Area under the ROC curve, by ranks: the chance that a positive scores above a negative (ties count half).


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


# d': how far apart two unit Gaussians must stand to give an area under the ROC curve (AudioSet's companion of mAP).


def d_prime(auc: float) -> float:
    """sqrt(2) times the normal quantile of ``auc``; infinite at 0 and 1, NaN for NaN."""
    if not 0 < auc < 1:
        return float("nan") if np.isnan(auc) else float(np.copysign(np.inf, auc - 0.5))
    return float(np.sqrt(2) * NormalDist().inv_cdf(auc))


def mean_d_prime(scores: np.ndarray, targets: np.ndarray) -> float:
    """Mean of the d' of the classes that can be scored (specification evaluation 7.4): scores (n, C), targets (n, C).

    Infinite where one of them is; NaN when none can be scored, or one is +infinite and another -infinite. AudioSet's
    papers also give ``d_prime(mean_roc_auc(...))``.
    """
    values = np.array([d_prime(area) for area in roc_auc_per_class(scores, targets) if np.isfinite(area)])
    with np.errstate(invalid="ignore"):
        return float(values.mean()) if len(values) else float("nan")


# Who is taken for whom.


def confusion(predicted: np.ndarray, true: np.ndarray, classes: int) -> np.ndarray:
    """(C, C) counts: row = true class, column = predicted class."""
    pairs = np.asarray(true) * classes + np.asarray(predicted)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)


def _accuracy(scores: np.ndarray, targets: np.ndarray) -> float:
    return accuracy(checked(scores).argmax(1), targets.argmax(1))


def _balanced(scores: np.ndarray, targets: np.ndarray) -> float:
    return balanced_accuracy(checked(scores).argmax(1), targets.argmax(1), targets.shape[1])


METRICS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": _accuracy,
    "balanced-accuracy": _balanced,
    "mAP": mean_average_precision,
    "roc-auc": mean_roc_auc,
    "d-prime": mean_d_prime,
}
SINGLE_LABEL = ("accuracy", "balanced-accuracy")


def metric(name: str, *, multilabel: bool = False) -> Callable[[np.ndarray, np.ndarray], float]:
    """The function of a name. Raises AuricleError for an unknown name, or one that needs exactly one label per clip."""
    if name not in METRICS:
        raise AuricleError(f"unknown metric '{name}'{nearest(name, tuple(METRICS))}")
    if multilabel and name in SINGLE_LABEL:
        raise AuricleError(f"'{name}' needs exactly one label per clip and this task has several; use mAP or roc-auc")
    return METRICS[name]
