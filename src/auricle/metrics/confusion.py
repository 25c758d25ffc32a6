"""Who is taken for whom."""

from __future__ import annotations

import numpy as np


def confusion(predicted: np.ndarray, true: np.ndarray, classes: int) -> np.ndarray:
    """(C, C) counts: row = true class, column = predicted class."""
    pairs = np.asarray(true) * classes + np.asarray(predicted)
    return np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
