"""What every metric asks of the scores it is given."""

from __future__ import annotations

import numpy as np

from auricle.errors import AuricleError


def checked(scores: np.ndarray) -> np.ndarray:
    """Scores of any shape as an array. Raises AuricleError for NaN, which has no rank."""
    scores = np.asarray(scores)
    if scores.dtype.kind == "f" and np.isnan(scores).any():
        raise AuricleError(
            f"{int(np.isnan(scores).sum())} of {scores.size} scores are NaN: nothing can be ranked by them"
        )
    return scores
