"""Parts of the data by the names of their splits, and stratified folds that keep groups together. No PyTorch here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auricle.core.randomness import RandomKey
from auricle.data.manifest.manifest import TRAINING_SPLITS

__all__ = ["TEST_SPLITS", "TRAINING_SPLITS", "VALIDATION_SPLITS", "draw_folds"]

VALIDATION_SPLITS = ("valid", "val", "validation", "dev", "development")
TEST_SPLITS = ("test", "testing", "eval", "evaluation")


def draw_folds(values: np.ndarray, groups: Sequence[str], folds: int, seed: int) -> list[str]:
    """Draw a fold for every row: groups stay whole, and every class is spread as evenly as the groups allow.

    Groups are taken largest first (equal ones in a keyed order); each goes to the fold that has the least of its classes.

    Args:
        values: (n, C) of 0 and 1, the classes of each row.
        groups: The group of each row.
        folds: How many folds.
        seed: Key of the order of equal groups.

    Returns:
        A name "1" … per row.
    """
    names, inverse = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.zeros((len(names), values.shape[1]))
    np.add.at(counts, inverse, values)
    order = RandomKey(seed).of("folds").permutation(len(names))
    order = order[np.argsort(-counts.sum(1)[order], kind="stable")]
    totals, class_sizes = np.zeros((folds, values.shape[1])), counts.sum(0).clip(min=1)
    chosen = np.zeros(len(names), np.int64)
    for group in order:
        fullness = ((totals / class_sizes) * (counts[group] > 0)).sum(1)  # of each fold, in this group's classes
        chosen[group] = np.lexsort((totals.sum(1), fullness))[0]
        totals[chosen[group]] += counts[group]
    return [str(fold + 1) for fold in chosen[inverse]]
