"""How often a class is right, as a function of its score, from reviewed spans; and the threshold for a wanted precision.

The precision at a threshold t is the share of right spans among those with a score of at least t. It is estimated from the answers
"yes" (right) and "no" or "other" (wrong); "unsure" does not count. Spans that were drawn with different probabilities
(``queue.py``) stand for 1 / probability spans each (the estimator of Horvitz and Thompson 1952). The 95 % interval is Wilson's; of
weighted spans with the number of equally weighted ones that tell as much (``metrics/calibration.py``).

No curve is fitted: a logistic curve of right over score (Wood and Kahl 2024, Guidelines for appropriate use of BirdNET scores and
other detector outputs) needs scores of one shape, and a threshold is about the spans above it, which can be counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from auricle.core.console import listed
from auricle.core.errors import AuricleError, nearest
from auricle.index.answers import Answer
from auricle.inference.decisions.thresholds import CAUTION, FEW_POSITIVES, reaches_precision, threshold_at
from auricle.metrics.calibration import LEVEL, ThresholdCurve, threshold_curve

ESTIMATE, CAUTIOUS, SURE = "estimate", "cautious", "sure"
Z = NormalDist().inv_cdf((1 + LEVEL) / 2)
LEAST_ANSWERS = 2 * FEW_POSITIVES  # with a score, for a threshold
BOUNDS = {
    ESTIMATE: 0.0,
    CAUTIOUS: CAUTION,
    SURE: Z,
}  # standard deviations below the estimate that must reach the wanted precision


@dataclass(frozen=True)
class ChosenThreshold:
    """A threshold for a wanted precision, and what it gives on the reviewed spans.

    Attributes:
        threshold: least score of a detection.
        wanted: the precision that was wanted.
        reached: whether the precision, or its bound, reaches it, with 10 answers or more; else the threshold is the one that comes
            nearest.
        precision, low, high: the precision at it, with its 95 % interval.
        kept: share of the right spans that have such a score.
        answers: decided answers at or above it.
    """

    threshold: float
    wanted: float
    reached: bool
    precision: float
    low: float
    high: float
    kept: float
    answers: int


@dataclass(frozen=True)
class LabelPrecision:
    """What the answers say of one class.

    Attributes:
        label: the class.
        right, wrong, unsure: number of answers.
        without_score: decided answers without a score, which the curve does not count.
        models: those that gave the scores, "NAME@FINGERPRINT"; "" among them if that is not known of all.
        weighted: whether spans were drawn with different probabilities.
        lowest: lowest score that was reviewed; NaN without any.
        curve: what every threshold gives.
        low, high: (n,) ends of the 95 % interval of each precision of the curve.
        chosen: the threshold for the wanted precision; None where nothing right has a score.
    """

    label: str
    right: int
    wrong: int
    unsure: int
    without_score: int
    models: tuple[str, ...]
    weighted: bool
    lowest: float
    curve: ThresholdCurve
    low: np.ndarray
    high: np.ndarray
    chosen: ChosenThreshold | None

    @property
    def few(self) -> bool:
        """Whether there are too few answers with a score for a threshold: fewer than 20, or fewer than 10 yes."""
        return self.right < FEW_POSITIVES or self.scored < LEAST_ANSWERS

    @property
    def scored(self) -> int:
        """Number of answers that the curve counts."""
        return self.right + self.wrong - self.without_score

    def at(self, threshold: float) -> tuple[float, float, float]:
        """Return the precision at a threshold with the ends of its 95 % interval; NaN, 0, 1 where no reviewed score reaches it."""
        places = np.flatnonzero(self.curve.thresholds >= threshold)
        if not len(places):
            return float("nan"), 0.0, 1.0
        last = int(places[-1])
        return float(self.curve.precision[last]), float(self.low[last]), float(self.high[last])

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        precision, low, high = self.at(0.0)
        chosen = self.chosen
        return {
            "label": self.label,
            "yes": self.right,
            "no": self.wrong,
            "unsure": self.unsure,
            "without_score": self.without_score,
            "precision": precision,
            "interval": [low, high],
            "curve": [
                {"threshold": t, "precision": p, "low": low, "high": high, "kept": kept}
                for t, p, low, high, kept in self.rows()
            ],
            "threshold": None
            if chosen is None
            else {
                "value": chosen.threshold,
                "wanted_precision": chosen.wanted,
                "reached": chosen.reached,
                "precision": chosen.precision,
                "interval": [chosen.low, chosen.high],
                "kept": chosen.kept,
                "answers": chosen.answers,
            },
            "few": self.few,
        }

    def rows(self) -> list[tuple[float, float, float, float, float]]:
        """Return (threshold, precision, low, high, share of the right spans that are kept) of every threshold, highest first."""
        curve = self.curve
        kept = curve.recall if curve.positives else np.zeros(len(curve.thresholds))
        columns = (curve.thresholds, curve.precision, self.low, self.high, kept)
        return [tuple(map(float, row)) for row in zip(*columns)]  # type: ignore[misc]


def precision_of(answers: Iterable[Answer], label: str, wanted: float = 0.9, bound: str = CAUTIOUS) -> LabelPrecision:
    """Estimate how often a class is right at each score, and choose a threshold.

    Args:
        answers: one to each question (``agreement.joined``); those about other classes are left out.
        label: the class.
        wanted: precision of the threshold, above 0 and below 1.
        bound: what must reach it: "estimate": the precision itself; "cautious": half a standard deviation below it, as in
            ``auricle finetune``; "sure": the lower end of its 95 % interval.

    Returns:
        LabelPrecision.

    Raises:
        AuricleError: for a class that was not reviewed, an unknown bound and an impossible precision.

    Example:
        found = precision_of(read_answers("review/answers.csv"), "Dog bark", wanted=0.9)
        print(found.chosen.threshold, found.chosen.precision)
    """
    if bound not in BOUNDS:
        raise AuricleError(f"a bound is one of {', '.join(BOUNDS)}, not '{bound}'")
    if not 0 < wanted < 1:
        raise AuricleError(f"a wanted precision lies above 0 and below 1, not {wanted:g}")
    given = list(answers)
    own = [answer for answer in given if answer.label == label]
    if not own:
        raise AuricleError(f"no answer is about the class '{label}'{nearest(label, sorted({a.label for a in given}))}")
    decided = [answer for answer in own if answer.holds is not None]
    scored = [answer for answer in decided if answer.score is not None]
    scores = np.array([answer.score for answer in scored], np.float64)
    right = np.array([bool(answer.holds) for answer in scored], np.float64)
    weights = np.array([1 / (answer.probability or 1.0) for answer in scored], np.float64)
    weighted = bool(len(weights)) and bool(np.ptp(weights) > 0)
    curve = threshold_curve(scores, right, weights if weighted else None)
    low, high = (curve.precision_bound(z) for z in (-Z, Z))
    yes = sum(bool(answer.holds) for answer in decided)
    lowest = float(scores.min()) if len(scores) else float("nan")
    chosen = _chosen(curve, low, high, wanted, BOUNDS[bound], scores)
    models = tuple(sorted({answer.model for answer in scored}))
    unsure, unscored = len(own) - len(decided), len(decided) - len(scored)
    return LabelPrecision(
        label, yes, len(decided) - yes, unsure, unscored, models, weighted, lowest, curve, low, high, chosen
    )


def precisions(answers: Iterable[Answer], wanted: float = 0.9, bound: str = CAUTIOUS) -> list[LabelPrecision]:
    """Return ``precision_of`` of every class that was reviewed, in the order of their names."""
    given = list(answers)
    return [precision_of(given, label, wanted, bound) for label in sorted({answer.label for answer in given})]


def few_note(found: Iterable[LabelPrecision]) -> str:
    """Return a sentence about the classes with too few answers for a threshold; "" without any."""
    few = [f"{one.label} ({one.scored}, {one.right} yes)" for one in found if one.few]
    if not few:
        return ""
    return f"a threshold needs {LEAST_ANSWERS} answers with a score, {FEW_POSITIVES} of them yes; review more of {listed(few)}"


def _chosen(
    curve: ThresholdCurve, low: np.ndarray, high: np.ndarray, wanted: float, caution: float, scores: np.ndarray
) -> ChosenThreshold | None:
    if not curve.positives:
        return None
    place, reached = reaches_precision(curve, wanted, caution)
    threshold = threshold_at(curve, place, float(scores.min()))
    answers = int((scores >= threshold).sum())
    return ChosenThreshold(
        threshold,
        wanted,
        reached and answers >= FEW_POSITIVES,
        float(curve.precision[place]),
        float(low[place]),
        float(high[place]),
        float(curve.recall[place]),
        answers,
    )
