"""Are probabilities right, and what does a threshold give: calibration error, reliability, precision and recall.

Scores are probabilities from 0 to 1, targets 0 and 1; rows whose target is NaN were not annotated and do not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from auricle.core.errors import AuricleError
from auricle.metrics.classification import annotated, checked

BINS = 10  # of a reliability diagram: Guo et al. 2017, On Calibration of Modern Neural Networks, use 10 to 15
LEVEL = 0.95  # of intervals


@dataclass(frozen=True)
class Reliability:
    """Bins of equal width from 0 to 1: ``counts`` (n,) of rows, their mean score and the share that is positive; NaN where a
    bin is empty."""

    counts: np.ndarray
    mean_score: np.ndarray
    positive_share: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: the mean distance of score and share, weighted by the rows; NaN without rows."""
        total = self.counts.sum()
        filled = self.counts > 0
        distance = np.abs(self.mean_score - self.positive_share)[filled]
        return float((distance * self.counts[filled]).sum() / total) if total else float("nan")


@dataclass(frozen=True)
class ThresholdCurve:
    """What each threshold gives, from the highest to the lowest.

    ``thresholds`` (n,) are the distinct scores: a row counts where its score is at or above. ``hits`` are its positives that
    count, ``decided`` all its rows that do; ``positives`` and ``rows`` are the totals. With weights, these are sums of weights,
    and ``trials`` is how many rows of equal weight would tell as much as the decided ones; without, it is ``decided``.
    """

    thresholds: np.ndarray
    hits: np.ndarray
    decided: np.ndarray
    positives: float
    rows: float
    trials: np.ndarray

    @property
    def precision(self) -> np.ndarray:
        return self.hits / self.decided

    @property
    def recall(self) -> np.ndarray:
        return self.hits / self.positives if self.positives else np.full(len(self.hits), np.nan)

    @property
    def f1(self) -> np.ndarray:
        return 2 * self.hits / (self.decided + self.positives)

    def precision_bound(self, z: float) -> np.ndarray:
        """Return Wilson's bound of each precision, ``z`` standard deviations from the centre (below 0: the lower end)."""
        return wilson_bound(self.precision * self.trials, self.trials, z)


def reliability(scores: np.ndarray, targets: np.ndarray, bins: int = BINS) -> Reliability:
    """Sort scores into bins of equal width.

    Args:
        scores: (n,) probabilities of one class, or of the class that was decided for.
        targets: (n,) 1 where it holds.
        bins: their number.

    Raises:
        AuricleError: for scores that are NaN or no probabilities.
    """
    scores, targets = annotated(_probabilities(scores), targets)
    place = np.minimum((scores * bins).astype(np.int64), bins - 1)
    counts = np.bincount(place, minlength=bins)
    sums = (np.bincount(place, weights=values, minlength=bins) for values in (scores, targets))
    means = [np.divide(s, counts, out=np.full(bins, np.nan), where=counts > 0) for s in sums]
    return Reliability(counts, *means)


def expected_calibration_error(scores: np.ndarray, targets: np.ndarray, bins: int = BINS) -> float:
    """Return the mean distance between score and share of positives over bins of equal width; NaN without rows.

    0.05 means: of sounds with a score of 0.8, between 75 and 85 of 100 are the class, on average over all scores.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, equation 3.
    """
    return reliability(scores, targets, bins).error


def top_label(probabilities: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the score of the likeliest class (n,), and 1 where it is the true one, of (n, C) of exclusive classes."""
    rows, best = np.arange(len(probabilities)), np.argmax(probabilities, axis=1)
    return np.asarray(probabilities)[rows, best], np.asarray(targets)[rows, best]


def threshold_curve(scores: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> ThresholdCurve:
    """Count what every threshold of one class gives. Scores of 0 never count.

    The number of trials of weighted rows is (sum of weights)² / (sum of squared weights). Source: Kish 1965, Survey Sampling,
    section 11.2; with Wilson's interval in Franco et al. 2019, Comparative Study of Confidence Intervals for Proportions in
    Complex Sample Surveys.

    Args:
        scores: (n,) of one class.
        targets: (n,).
        weights: (n,) above 0: how many rows each stands for, where rows were drawn with different probabilities.
    """
    if weights is not None:
        weights, _ = annotated(weights, targets)
    scores, targets = annotated(checked(scores), targets)
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last = np.flatnonzero(np.append(np.diff(ordered) != 0, True)) if len(ordered) else np.zeros(0, np.int64)
    last = last[ordered[last] > 0]
    if weights is None:
        decided = last + 1
        return ThresholdCurve(
            ordered[last], np.cumsum(targets[order])[last], decided, int(targets.sum()), len(targets), decided
        )
    w = weights[order]
    decided, squares = np.cumsum(w)[last], np.cumsum(w * w)[last]
    hits = np.cumsum(w * targets[order])[last]
    return ThresholdCurve(
        ordered[last], hits, decided, float((weights * targets).sum()), float(weights.sum()), decided**2 / squares
    )


def precision_recall_at(scores: np.ndarray, targets: np.ndarray, threshold: float) -> tuple[int, int, int]:
    """Return (positives at or above the threshold, rows at or above it, positives) of one class (n,). Scores of 0 never count."""
    scores, targets = annotated(checked(scores), targets)
    decided = (scores >= threshold) & (scores > 0)
    return int(targets[decided].sum()), int(decided.sum()), int(targets.sum())


def wilson_interval(hits: float, total: float, level: float = LEVEL) -> tuple[float, float]:
    """Return the interval of a share ``hits / total``: Wilson's, which stays between 0 and 1; (0, 1) for no trials.

    Source: Wilson 1927, Probable Inference, the Law of Succession, and Statistical Inference.
    """
    if total <= 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf((1 + level) / 2)
    return float(wilson_bound(hits, total, -z)), float(wilson_bound(hits, total, z))


def wilson_bound(hits: np.ndarray | float, total: np.ndarray | float, z: float) -> np.ndarray:
    """Return one end of Wilson's interval, ``z`` standard deviations from the centre (below 0: the lower end)."""
    total = np.asarray(total, dtype=np.float64)
    share, square = np.asarray(hits) / total, z * z
    spread = np.sqrt(share * (1 - share) / total + square / (4 * total * total))
    return np.clip((share + square / (2 * total) + z * spread) / (1 + square / total), 0.0, 1.0)


def _probabilities(scores: np.ndarray) -> np.ndarray:
    scores = checked(scores)
    if scores.size and not (scores.min() >= 0 and scores.max() <= 1):
        raise AuricleError(
            f"a probability lies between 0 and 1; these scores reach from {scores.min():g} to {scores.max():g}"
        )
    return scores
