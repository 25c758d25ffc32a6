"""Metrics of speech: the error rate of sequences of tokens, and the equal error rate of pairs of recordings. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auricle.core.errors import AuricleError
from auricle.metrics.classification import checked


def edit_distance(found: Sequence[object], true: Sequence[object]) -> int:
    """Count the insertions, deletions and replacements that turn one sequence into another (Levenshtein)."""
    row = list(range(len(found) + 1))
    for i, wanted in enumerate(true, 1):
        before, row = row, [i]
        for j, token in enumerate(found, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (token != wanted)))
    return row[-1]


def token_error_rate(found: Sequence[Sequence[object]], true: Sequence[Sequence[object]]) -> float:
    """Return the edits of all sequences per token of the true ones.

    Raises:
        AuricleError: The true sequences hold no token.
    """
    tokens = sum(map(len, true))
    if not tokens:
        raise AuricleError("an error rate needs tokens, and the true sequences are empty")
    return sum(edit_distance(a, b) for a, b in zip(found, true, strict=True)) / tokens


def equal_error_rate(scores: np.ndarray, same: np.ndarray) -> float:
    """Return the rate at which as many different pairs are accepted as same pairs are refused.

    Between two thresholds the line through both is taken.

    Args:
        scores: (n,) or (n, 1), higher for pairs that are likelier the same.
        same: As many, 1 where the pair is the same.

    Raises:
        AuricleError: All pairs are the same, all are different, or a score is NaN.
    """
    scores, same = checked(np.ravel(scores)), np.ravel(same) > 0.5
    if same.all() or not same.any():
        raise AuricleError("an equal error rate needs pairs that are the same and pairs that are different")
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # equal scores are accepted together
    hits = np.cumsum(same[order])[last]
    refused = np.concatenate([[1.0], 1 - hits / same.sum()])
    accepted = np.concatenate([[0.0], (last + 1 - hits) / (~same).sum()])
    k = int(np.argmax(accepted >= refused))
    gap, next_gap = refused[k - 1] - accepted[k - 1], accepted[k] - refused[k]
    share = gap / (gap + next_gap) if gap + next_gap else 0.0
    return float(accepted[k - 1] + share * (accepted[k] - accepted[k - 1]))
