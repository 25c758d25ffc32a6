"""A threshold for each class of a detector: for the best F1, a wanted precision or a wanted number of false alarms."""

from __future__ import annotations

import numpy as np

from auricle.core.console import listed
from auricle.metrics.calibration import ThresholdCurve, threshold_curve
from auricle.metrics.threshold_goal import ThresholdGoal
from auricle.models.label_space import LabelSpace

FEW_POSITIVES = (
    10  # below, a class shares the calibration and the threshold of all classes: two numbers need ten points
)
CAUTION = 0.5  # standard deviations of the precision that must be reached; see ``reaches_precision``
LARGEST_LOGIT = 16.0  # of a float32 probability below 1


class ThresholdChooser:
    """Chooses a threshold for each class.

    Args:
        scores: (n, C) ``decision_scores``; truth: (n, C), NaN where not annotated; background: (n,) rows without any class.
    """

    def __init__(
        self,
        space: LabelSpace,
        goal: ThresholdGoal,
        scores: np.ndarray,
        truth: np.ndarray,
        background: np.ndarray,
        hours: float | None,
        notes: list[str],
    ):
        self.space, self.goal, self.hours, self.notes = space, goal, hours or 0.0, notes
        self.scores, self.truth, self.background = scores, truth, background
        multiclass = space.kind == "multiclass"
        self.least = 1 / len(space) if multiclass else 0.5  # the likeliest of C classes has 1 / C or more

    def all(self) -> tuple[list[float], list[bool]]:
        """Return the threshold of every class, and whether it is the one of all classes."""
        shared = [False] * len(self.space)
        thresholds = [self.space.default_threshold] * len(self.space)
        if self.goal.chosen == "false-alarms":
            for c in self.space.reported:
                thresholds[c] = self._for_false_alarms(c)
            self._note_short_background()
            return thresholds, shared
        columns = list(self.space.reported)
        joint = self._choose(threshold_curve(self.scores[:, columns].ravel(), self.truth[:, columns].ravel()))
        few, missed = [], []
        for c in columns:
            curve = threshold_curve(self.scores[:, c], self.truth[:, c])
            if curve.positives < FEW_POSITIVES or not curve.hits.any():
                shared[c], thresholds[c] = True, self.space.default_threshold if joint is None else joint[0]
                few.append(self.space.names[c])
                continue
            chosen = self._choose(curve)
            assert chosen is not None
            thresholds[c], reached = chosen
            missed += [] if reached else [self.space.names[c]]
        self._note(few, missed, joint)
        return thresholds, shared

    def _choose(self, curve: ThresholdCurve) -> tuple[float, bool] | None:
        """Return the threshold and whether it reaches the goal; None where nothing right is ever decided."""
        if not curve.positives or not curve.hits.any():
            return None
        if self.goal.chosen == "f1":
            place, reached = int(np.argmax(curve.f1)), True
        else:
            place, reached = reaches_precision(curve, self.goal.wanted_precision)
        return threshold_at(curve, place, self.least), reached

    def _for_false_alarms(self, c: int) -> float:
        """Return the lowest threshold at which the background rows give no more alarms than are wanted."""
        alarms = np.sort(self.scores[self.background, c])[::-1]
        allowed = int(self.goal.wanted_rate * self.hours + 1e-9)
        if allowed >= len(alarms):  # all of them may pass
            return min(self.space.default_threshold, float(alarms[-1]))
        first_refused = float(alarms[allowed])
        if first_refused == 0:  # the class is not the likeliest there
            return self.space.default_threshold
        higher = self.scores[:, c][self.scores[:, c] > first_refused]
        upper = float(higher.min()) if len(higher) else 1.0
        return halfway(first_refused, upper)

    def _note_short_background(self) -> None:
        if self.goal.wanted_rate * self.hours < 1:
            self.notes.append(
                f"{self.hours:.2g} h of background are too short to measure {self.goal.wanted_rate:g} false alarms an hour: "
                f"the thresholds let none of it pass, which leaves up to {3 / self.hours:.2g} an hour possible; more "
                "background makes this certain"
            )

    def _note(self, few: list[str], missed: list[str], joint: tuple[float, bool] | None) -> None:
        if few:
            rest = (
                "the threshold of all classes together is used"
                if joint
                else f"{self.space.default_threshold:g} is used"
            )
            self.notes.append(
                f"{listed(few)}: fewer than {FEW_POSITIVES} clips with the class, or none of them found, to choose a threshold "
                f"by; {rest}"
            )
        if missed or (few and joint and not joint[1]):
            self.notes.append(
                f"{listed(missed or few)}: no threshold has {self.goal.in_words()} on these clips; the one with the fewest wrong "
                "detections for its size is used"
            )


def reaches_precision(curve: ThresholdCurve, wanted: float, caution: float = CAUTION) -> tuple[int, bool]:
    """Return the place of the threshold with most hits whose precision reaches ``wanted``, and whether one does.

    What must reach it is the precision less ``caution`` standard deviations (Wilson's bound), half a one as a rule: among many
    thresholds the one that happens to look best overstates itself. In simulated detectors with 16 to 80 positives the plain rule
    kept a wanted precision of 0.9 on new clips, within its interval, in 90 to 96 of 100 draws, half a standard deviation in 95 to
    99, for 2 to 4 points of recall; a whole one costs 5 to 10.

    If none does, the place whose bound is highest.
    """
    bound = curve.precision_bound(-caution)
    reaching = np.flatnonzero((bound >= wanted) & (curve.hits > 0))
    if not len(reaching):
        return int(np.argmax(bound)), False
    most = curve.hits[reaching].max()
    return int(reaching[curve.hits[reaching] == most].min()), True


def threshold_at(curve: ThresholdCurve, place: int, least: float) -> float:
    """Return a threshold halfway (in logits) between the last score that counts and the next lower one.

    Args:
        curve: what each threshold gives.
        place: of the last score that counts.
        least: the next lower score of the last place.
    """
    upper = float(curve.thresholds[place])
    lower = float(curve.thresholds[place + 1]) if place + 1 < len(curve.thresholds) else min(least, upper)
    return halfway(lower, upper)


def halfway(lower: float, upper: float) -> float:
    """Return the float32 between two probabilities that lies halfway in logits; above ``lower`` and at most ``upper``."""
    ends = np.array([lower, upper])
    with np.errstate(divide="ignore"):
        logits = np.clip(np.log(ends) - np.log1p(-ends), -LARGEST_LOGIT, LARGEST_LOGIT)
    middle = float(np.float32(1 / (1 + np.exp(-logits.mean()))))
    return middle if lower < middle <= upper else upper
