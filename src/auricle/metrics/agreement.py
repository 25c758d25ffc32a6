"""How far two people agree who answered the same questions."""

from __future__ import annotations

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from auricle.metrics.calibration import LEVEL


class Kappa(NamedTuple):
    """Cohen's kappa with its interval; NaN where it does not exist (no questions, or both gave one answer only)."""

    value: float
    low: float
    high: float


def cohen_kappa(counts: np.ndarray, level: float = LEVEL) -> Kappa:
    """Compute by how much two reviewers agree beyond chance: 1 always, 0 as by chance.

    Args:
        counts: (k, k): how often the first gave answer i and the second answer j.
        level: of the interval.

    Returns:
        Kappa: the interval is the large-sample one, cut to -1 and 1.

    Source: Cohen 1960, A Coefficient of Agreement for Nominal Scales; the standard error of Fleiss, Cohen and Everitt 1969,
    Large Sample Standard Errors of Kappa and Weighted Kappa, equation 13.

    Example:
        >>> cohen_kappa(np.array([[20, 5], [10, 15]])).value
        0.4
    """
    counts = np.asarray(counts, dtype=np.float64)
    n = counts.sum()
    nothing = Kappa(float("nan"), float("nan"), float("nan"))
    if n == 0:
        return nothing
    p = counts / n
    rows, columns, same = p.sum(1), p.sum(0), np.diag(p)
    observed, expected = same.sum(), float(rows @ columns)
    if 1 - expected < 1e-12:
        return nothing
    kappa = (observed - expected) / (1 - expected)
    on = (same * (1 - (rows + columns) * (1 - kappa)) ** 2).sum()
    crossed = p * (columns[:, None] + rows[None, :]) ** 2
    off = (1 - kappa) ** 2 * (crossed.sum() - np.diag(crossed).sum())
    variance = (on + off - (kappa - expected * (1 - kappa)) ** 2) / (n * (1 - expected) ** 2)
    width = NormalDist().inv_cdf((1 + level) / 2) * float(np.sqrt(max(variance, 0.0)))
    value = float(round(kappa, 12))
    return Kappa(value, max(-1.0, value - width), min(1.0, value + width))
