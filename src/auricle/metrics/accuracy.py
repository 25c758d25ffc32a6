"""How often the first guess is right, over clips and over classes."""

from __future__ import annotations

import numpy as np


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
