"""Metrics of classification: accuracy, average precision, area under the ROC curve, d', confusion counts.

``auricle.metrics.table`` gives them names.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from auricle.core.errors import AuricleError


def checked(scores: np.ndarray) -> np.ndarray:
    """Return scores of any shape as an array.

    Raises:
        AuricleError: Some score is NaN, which has no rank.
    """
    scores = np.asarray(scores)
    if scores.dtype.kind == "f" and np.isnan(scores).any():
        raise AuricleError(
            f"{int(np.isnan(scores).sum())} of {scores.size} scores are NaN: nothing can be ranked by them"
        )
    return scores


def truth_of(targets: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return targets as metrics take them: NaN where ``known`` is 0, which says that a class was not annotated."""
    return np.where(known > 0, targets, np.nan)


def annotated(scores: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the scores and targets (n,) of the rows whose target is not NaN, the targets as float64."""
    targets = np.asarray(targets, dtype=np.float64)
    known = ~np.isnan(targets)
    return (scores, targets) if known.all() else (scores[known], targets[known])


# Accuracy over clips and over classes.


def accuracy(predicted: np.ndarray, true: np.ndarray) -> float:
    """Return the share of equal entries of two (n,) arrays of class indices; NaN for empty arrays."""
    predicted, true = np.asarray(predicted), np.asarray(true)
    return float(np.mean(predicted == true)) if len(true) else float("nan")


def recall_per_class(predicted: np.ndarray, true: np.ndarray, classes: int) -> np.ndarray:
    """Return the recall of each class, (C,); NaN for a class with no clip in ``true`` (n,)."""
    counts = np.bincount(true, minlength=classes)
    hits = np.bincount(np.asarray(true)[np.asarray(predicted) == true], minlength=classes)
    return np.divide(hits, counts, out=np.full(classes, np.nan), where=counts > 0)


def balanced_accuracy(predicted: np.ndarray, true: np.ndarray, classes: int) -> float:
    """Return the mean recall over the classes that occur in ``true`` (n,), also called unweighted average recall."""
    recalls = recall_per_class(predicted, true, classes)
    scored = recalls[np.isfinite(recalls)]
    return float(scored.mean()) if len(scored) else float("nan")


# Average precision: the area under the precision-recall steps, as scikit-learn defines it (no interpolation).


def average_precision(scores: np.ndarray, targets: np.ndarray) -> float:
    """Return the average precision of one class; NaN without a positive. Equal scores share one threshold.

    Args:
        scores: (n,), higher is likelier.
        targets: (n,) of 0 and 1; NaN where the class was not annotated: such rows do not count.

    Raises:
        AuricleError: Some score is NaN.
    """
    scores, targets = annotated(checked(scores), targets)
    if targets.sum() == 0:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.diff(scores[order]) != 0, True)  # the last clip of every group of equal scores
    positives = np.cumsum(targets[order])[last]
    precision = positives / (np.flatnonzero(last) + 1)
    return float(np.sum(np.diff(positives, prepend=0.0) * precision) / targets.sum())


def average_precision_per_class(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the average precision of each class, (C,), of scores and targets (n, C); NaN for a class without a positive."""
    return np.array([average_precision(scores[:, c], targets[:, c]) for c in range(targets.shape[1])])


def mean_average_precision(scores: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean average precision over the classes that have a positive; NaN when none has."""
    values = average_precision_per_class(scores, targets)
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")


# Area under the ROC curve, by ranks: the chance that a positive scores above a negative (ties count half).


def roc_auc(scores: np.ndarray, targets: np.ndarray) -> float:
    """Return the area under the ROC curve of one class; NaN unless both targets occur.

    Args:
        scores: (n,), higher is likelier.
        targets: (n,) of 0 and 1; NaN where the class was not annotated: such rows do not count.

    Raises:
        AuricleError: Some score is NaN.
    """
    scores, truth = annotated(checked(scores), targets)
    targets = truth.astype(bool)
    positives, negatives = int(targets.sum()), int((~targets).sum())
    if not positives or not negatives:
        return float("nan")
    _, group, sizes = np.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(sizes) - (sizes - 1) / 2
    rank_sum = mean_rank[group][targets].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def roc_auc_per_class(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the area of each class, (C,), of scores and targets (n, C); NaN where a class lacks positives or negatives."""
    return np.array([roc_auc(scores[:, c], targets[:, c]) for c in range(targets.shape[1])])


def mean_roc_auc(scores: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean area over the classes that have positives and negatives; NaN when none has."""
    values = roc_auc_per_class(scores, targets)
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else float("nan")


# d': the distance of two unit Gaussians that gives an area under the ROC curve. AudioSet papers report it beside mAP.


def d_prime(auc: float) -> float:
    """Return sqrt(2) times the normal quantile of an area; infinite at 0 and 1, NaN for NaN."""
    if not 0 < auc < 1:
        return float("nan") if np.isnan(auc) else float(np.copysign(np.inf, auc - 0.5))
    return float(np.sqrt(2) * NormalDist().inv_cdf(auc))


def mean_d_prime(scores: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean d' of the classes that have positives and negatives.

    Source: [evaluation 7.4](docs/specification/evaluation.md#s7-4).

    Infinite where one of them is; NaN when none can be scored, or one is +infinite and another -infinite. AudioSet's
    papers also give ``d_prime(mean_roc_auc(...))``.
    """
    values = np.array([d_prime(area) for area in roc_auc_per_class(scores, targets) if np.isfinite(area)])
    with np.errstate(invalid="ignore"):
        return float(values.mean()) if len(values) else float("nan")


def confusion(predicted: np.ndarray, true: np.ndarray, classes: int) -> np.ndarray:
    """Return counts (C, C) of class indices (n,): row = true class, column = predicted class."""
    pairs = np.asarray(true) * classes + np.asarray(predicted)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
