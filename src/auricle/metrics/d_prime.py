"""d': how far apart two unit Gaussians must stand to give an area under the ROC curve (AudioSet's companion of mAP)."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from auricle.metrics.roc_auc import roc_auc_per_class


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
