"""d': how far apart two unit Gaussians must stand to give an area under the ROC curve (AudioSet's companion of mAP)."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from auricle.metrics.roc_auc import mean_roc_auc


def d_prime(auc: float) -> float:
    """sqrt(2) times the normal quantile of ``auc``; infinite at 0 and 1, NaN for NaN."""
    if not 0 < auc < 1:
        return float("nan") if np.isnan(auc) else float(np.copysign(np.inf, auc - 0.5))
    return float(np.sqrt(2) * NormalDist().inv_cdf(auc))


def mean_d_prime(scores: np.ndarray, targets: np.ndarray) -> float:
    """d' of the macro mean area: scores (n, C), targets (n, C)."""
    return d_prime(mean_roc_auc(scores, targets))
