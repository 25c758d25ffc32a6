"""The metrics a task may name. Each takes scores (n, C), higher is likelier, and targets (n, C) of 0 and 1."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from auricle.errors import AuricleError, nearest
from auricle.metrics.accuracy import accuracy, balanced_accuracy
from auricle.metrics.average_precision import mean_average_precision
from auricle.metrics.d_prime import mean_d_prime
from auricle.metrics.roc_auc import mean_roc_auc
from auricle.metrics.scores import checked


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
