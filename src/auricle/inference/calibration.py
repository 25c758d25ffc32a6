"""From the logits of clips that a detector did not learn from to probabilities that can be trusted, and to decisions.

``fit_decisions`` fits a calibration (Platt scaling per class; one temperature where the classes exclude each other) and a
threshold per class. Both are kept in the label space, so tagging, export and serving decide alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from auricle.core.errors import AuricleError
from auricle.inference.threshold_goal import ThresholdGoal
from auricle.metrics.calibration import (
    ThresholdCurve,
    expected_calibration_error,
    precision_recall_at,
    threshold_curve,
    top_label,
    wilson_bound,
    wilson_interval,
)
from auricle.models.heads import LabelSpace

BEST_F1 = ThresholdGoal()
FEW_POSITIVES = (
    10  # below, a class shares the calibration and the threshold of all classes: two numbers need ten points
)
CAUTION = 0.5  # standard deviations of the precision that must be reached; see ``_reaches_precision``
LEAST_SLOPE = (
    0.01  # of the calibrated logit per standard deviation of the logit: ranks are kept, whatever the labels say
)
WIDEST = 1e3  # of the temperature's search, around a spread of one
LARGEST_LOGIT = 16.0  # of a float32 probability below 1
MOST_NAMES = 5  # in a note


@dataclass(frozen=True)
class ClassDecision:
    """What one class's threshold gives on the clips that it was fitted on.

    Attributes:
        id: the class.
        positives, negatives: annotated clips with and without it.
        threshold: least probability of a detection.
        hits, decided: right detections, all detections.
        precision, recall: hits / decided, hits / positives; NaN without detections or positives.
        precision_interval, recall_interval: 95 % intervals (Wilson).
        f1: their harmonic mean.
        false_alarms_per_hour: of background; None where its length is not known.
        shared: the calibration or threshold is that of all classes, because this one has too few clips.
    """

    id: str
    positives: int
    negatives: int
    threshold: float
    hits: int
    decided: int
    precision: float
    recall: float
    precision_interval: tuple[float, float]
    recall_interval: tuple[float, float]
    f1: float
    false_alarms_per_hour: float | None
    shared: bool


@dataclass(frozen=True)
class Decisions:
    """A calibrated label space with thresholds, and how it was found.

    Attributes:
        space: the label space.
        goal: what the thresholds are for.
        classes: figures of the reported classes, in the order of the logits.
        notes: sentences about what is doubtful.
        ece_before, ece_after: expected calibration error on the clips that it was fitted on.
    """

    space: LabelSpace
    goal: ThresholdGoal
    classes: tuple[ClassDecision, ...]
    notes: tuple[str, ...]
    ece_before: float
    ece_after: float

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, without the label space; numbers that do not exist are null."""
        classes = [{k: _plain(v) for k, v in asdict(c).items()} for c in self.classes]
        return {
            "goal": asdict(self.goal) | {"chosen": self.goal.chosen, "in_words": self.goal.in_words()},
            "fitted_on": self.space.thresholds_fitted_on,
            "classes": classes,
            "notes": list(self.notes),
            "ece_before": _plain(self.ece_before),
            "ece_after": _plain(self.ece_after),
        }


def fit_decisions(
    space: LabelSpace,
    logits: np.ndarray,
    targets: np.ndarray,
    known: np.ndarray | None = None,
    *,
    goal: ThresholdGoal = BEST_F1,
    hours_of_background: float | None = None,
    groups: Sequence[str] | None = None,
    fitted_on: str = "validation clips",
) -> Decisions:
    """Fit calibration and thresholds on clips that the head did not learn from.

    Args:
        space: the classes; an earlier calibration is replaced.
        logits: (n, C), uncalibrated.
        targets: (n, C) of 0 and 1.
        known: (n, C), 0 where a class was not annotated; None: everything was.
        goal: what the thresholds are for.
        hours_of_background: length of the clips without any reported class, for false alarms an hour.
        groups: (n,) speaker, site or recording of each clip: a class known from a single one is pointed out.
        fitted_on: what the clips are, in a few words.

    Returns:
        Decisions: the ranks of clips within a class of independent classes are those of the logits.

    Raises:
        AuricleError: for arrays that do not fit together, values that are not finite, and a wanted number of false alarms
            without background.

    Example:
        space = LabelSpace("multilabel", ("frog", "cricket"))
        decisions = fit_decisions(space, logits, targets, goal=ThresholdGoal(target_precision=0.9))
        detector = encoder.with_head(head, decisions.space)
    """
    logits, truth = _checked(space, logits, targets, known)
    background = _background_rows(space, truth)
    if goal.chosen == "false-alarms" and (not hours_of_background or not background.any()):
        raise AuricleError(
            "a number of false alarms an hour needs sound without any of the classes, and here is none: add --negatives "
            "FOLDER or a background class, or choose --threshold-for precision"
        )
    notes: list[str] = []
    scale, offset, shared = _calibration(space, logits, truth, notes)
    calibrated = space.uncalibrated().calibrated(scale, offset, fitted_on=fitted_on)
    scores = decision_scores(calibrated, logits)
    chooser = _Chooser(calibrated, goal, scores, truth, background, hours_of_background, notes)
    thresholds, shares = chooser.all()
    _note_single_groups(space, truth, groups, notes)
    decided = calibrated.with_thresholds(thresholds, fitted_on=f"{fitted_on}, for {goal.in_words()}")
    figures = tuple(
        _figures(space.ids[c], scores[:, c], truth[:, c], thresholds[c], background, hours_of_background, both)
        for c, both in ((c, shared[c] or shares[c]) for c in space.reported)
    )
    before, after = (_calibration_error(s, logits, truth) for s in (space.uncalibrated(), decided))
    return Decisions(decided, goal, figures, tuple(notes), before, after)


def decision_scores(space: LabelSpace, logits: np.ndarray) -> np.ndarray:
    """Return what a threshold is compared with, (n, C) from 0 to 1.

    Of classes that exclude each other only the likeliest can be decided for, so the others have 0.
    """
    scores = probabilities(space, logits)
    if space.kind == "multiclass":
        rest = np.ones(scores.shape, dtype=bool)
        rest[np.arange(len(scores)), scores.argmax(1)] = False
        scores[rest] = 0.0
    return scores


def probabilities(space: LabelSpace, logits: np.ndarray) -> np.ndarray:
    """Return the calibrated probabilities of logits (n, C) as an array; the values of ``LabelSpace.probabilities``."""
    return space.probabilities(torch.from_numpy(np.asarray(logits, dtype=np.float32))).numpy()


def calibration_error(
    space: LabelSpace, logits: np.ndarray, targets: np.ndarray, known: np.ndarray | None = None
) -> float:
    """Return the expected calibration error of a label space on clips.

    Classes that exclude each other: of the likeliest class. Independent classes: over all annotated answers of all reported
    classes together.

    Args:
        space: with or without calibration.
        logits: (n, C), uncalibrated; targets, known: as for ``fit_decisions``.
    """
    return _calibration_error(space, *_checked(space, logits, targets, known))


def _calibration_error(space: LabelSpace, logits: np.ndarray, truth: np.ndarray) -> float:
    scores = probabilities(space, logits)
    if space.kind == "multiclass":
        return expected_calibration_error(*top_label(scores, truth))
    reported = list(space.reported)
    return expected_calibration_error(scores[:, reported].ravel(), truth[:, reported].ravel())


def _checked(
    space: LabelSpace, logits: np.ndarray, targets: np.ndarray, known: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return logits and targets (n, C) float64; NaN where a target is not known."""
    logits, truth = np.asarray(logits, dtype=np.float64), np.array(targets, dtype=np.float64)
    shapes = {logits.shape, truth.shape, truth.shape if known is None else np.shape(known)}
    if shapes != {(len(logits), len(space))} or not len(logits):
        raise AuricleError(
            f"logits, targets and known of {len(space)} classes are (clips, {len(space)}) with a clip or more, not "
            f"{', '.join(map(str, sorted(shapes)))}"
        )
    if not np.isfinite(logits).all():
        broken = [space.names[c] for c in np.flatnonzero(~np.isfinite(logits).all(0))]
        raise AuricleError(
            f"the detector's scores of {_listed(broken)} are not finite, so they cannot be calibrated: its weights are "
            "damaged, or training diverged; train with a lower --lr"
        )
    if not np.isin(truth, (0.0, 1.0)).all():
        raise AuricleError("targets are 0 or 1; mark what was not annotated in known")
    if known is not None:
        truth[~np.asarray(known, dtype=bool)] = np.nan
    return logits, truth


def _background_rows(space: LabelSpace, truth: np.ndarray) -> np.ndarray:
    """(n,) True for clips in which every reported class was annotated and none holds."""
    reported = truth[:, list(space.reported)]
    return (reported == 0).all(1)


# ---- calibration


def _calibration(
    space: LabelSpace, logits: np.ndarray, truth: np.ndarray, notes: list[str]
) -> tuple[list[float], list[float], list[bool]]:
    """Return scale and offset per class, and whether a class takes those of all classes."""
    count = len(space)
    if space.kind == "multiclass":
        return [_temperature(logits, truth, notes)] * count, [0.0] * count, [False] * count
    positives, negatives = (truth == 1).sum(0), (truth == 0).sum(0)
    few = [bool(positives[c] < FEW_POSITIVES or not negatives[c]) for c in range(count)]
    lines = [(1.0, 0.0)] * count
    if any(few):
        pooled = ~np.isnan(truth)
        joint = _platt(logits[pooled], truth[pooled])
        lines = [joint or (1.0, 0.0)] * count
        names = [space.names[c] for c in np.flatnonzero(few)]
        notes.append(
            f"{_listed(names)}: fewer than {FEW_POSITIVES} clips with the class, or none without it, to calibrate its scores "
            + (
                "by; the calibration of all classes together is used"
                if joint
                else "by, nor those of other classes: as they are"
            )
        )
    for c in np.flatnonzero(~np.array(few)):
        annotated = ~np.isnan(truth[:, c])
        values = logits[annotated, c]
        lines[c] = _platt(values, truth[annotated, c]) or (1.0, 0.0)
        if lines[c][0] <= 2 * LEAST_SLOPE / max(values.std(), 1e-12) or not values.std():
            notes.append(
                f"{space.names[c]}: its scores are no higher where it holds; every clip has about the same probability"
            )
    return [scale for scale, _ in lines], [offset for _, offset in lines], few


def _platt(logits: np.ndarray, targets: np.ndarray) -> tuple[float, float] | None:
    """Fit ``sigmoid(scale * logit + offset)`` to the targets (n,); None unless both 0 and 1 occur.

    The targets are smoothed to (P + 1) / (P + 2) and 1 / (N + 2) of P positives and N negatives, so that the numbers stay
    finite where the scores separate the clips perfectly. Source: Platt 1999, Probabilistic Outputs for Support Vector
    Machines, section 2.2.
    """
    from scipy.optimize import minimize

    positives = targets.sum()
    negatives = len(targets) - positives
    if not positives or not negatives:
        return None
    mean, std = logits.mean(), logits.std()
    if std <= 1e-9 * max(1.0, abs(mean)):  # constant scores: every clip has the rate of the class
        return 1.0, float(np.log(positives / negatives) - mean)
    z = (logits - mean) / std
    smooth = np.where(targets == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        x = line[0] * z + line[1]
        slope = 1 / (1 + np.exp(-np.clip(x, -500, 500))) - smooth
        return float(np.mean(np.logaddexp(0, x) - smooth * x)), np.array([np.mean(slope * z), np.mean(slope)])

    start = np.array([1.0, np.log(positives / negatives)])
    bounds = [(LEAST_SLOPE, None), (None, None)]
    slope, middle = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B", options={"ftol": 1e-12}).x
    return float(slope / std), float(middle - slope * mean / std)


def _temperature(logits: np.ndarray, truth: np.ndarray, notes: list[str]) -> float:
    """Fit ``softmax(scale * logits)`` to the true classes; the scale is one over the temperature.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, section 4.2. The true class counts (n + 1) / (n + 2),
    as in ``_platt``.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    whole = ~np.isnan(truth).any(1) & (np.nansum(truth, 1) == 1)
    z = logits[whole] - logits[whole].mean(1, keepdims=True)
    n, classes = z.shape
    spread = float(np.sqrt(np.mean(z**2))) if n else 0.0
    if spread == 0 or classes == 1:
        notes.append("the scores are the same for all classes, or there is one class, so they are not calibrated")
        return 1.0
    aim = (truth[whole] * z).sum(1)
    smoothed = aim * (n + 1) / (n + 2) + (z.sum(1) - aim) / ((n + 2) * (classes - 1))

    def loss(log_scale: float) -> float:
        scale = np.exp(log_scale)
        return float(np.mean(logsumexp(scale * z, axis=1) - scale * smoothed))

    limits = np.log(1 / WIDEST / spread), np.log(WIDEST / spread)
    best = float(minimize_scalar(loss, bounds=limits, method="bounded", options={"xatol": 1e-5}).x)
    if best - limits[0] < 0.01:
        notes.append("the scores tell the classes apart no better than chance; all have about the same probability")
    return float(np.exp(best))


# ---- thresholds


class _Chooser:
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
        self.default = 0.0 if multiclass else 0.5

    def all(self) -> tuple[list[float], list[bool]]:
        """Return the threshold of every class, and whether it is the one of all classes."""
        shared = [False] * len(self.space)
        thresholds = [self.default] * len(self.space)
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
                shared[c], thresholds[c] = True, self.default if joint is None else joint[0]
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
            place, reached = _reaches_precision(curve, self.goal.wanted_precision)
        return self._between(curve.thresholds, place), reached

    def _between(self, thresholds: np.ndarray, place: int) -> float:
        """Return a threshold halfway (in logits) between the last score that counts and the next one."""
        upper = float(thresholds[place])
        lower = float(thresholds[place + 1]) if place + 1 < len(thresholds) else min(self.least, upper)
        return _halfway(lower, upper)

    def _for_false_alarms(self, c: int) -> float:
        """Return the lowest threshold at which the background rows give no more alarms than are wanted."""
        alarms = np.sort(self.scores[self.background, c])[::-1]
        allowed = int(self.goal.wanted_rate * self.hours + 1e-9)
        if allowed >= len(alarms):  # all of them may pass
            return min(self.default, float(alarms[-1]))
        first_refused = float(alarms[allowed])
        if first_refused == 0:  # the class is not the likeliest there
            return self.default
        higher = self.scores[:, c][self.scores[:, c] > first_refused]
        upper = float(higher.min()) if len(higher) else 1.0
        return _halfway(first_refused, upper)

    def _note_short_background(self) -> None:
        if self.goal.wanted_rate * self.hours < 1:
            self.notes.append(
                f"{self.hours:.2g} h of background are too short to measure {self.goal.wanted_rate:g} false alarms an hour: "
                f"the thresholds let none of it pass, which leaves up to {3 / self.hours:.2g} an hour possible; more "
                "background makes this certain"
            )

    def _note(self, few: list[str], missed: list[str], joint: tuple[float, bool] | None) -> None:
        if few:
            rest = "the threshold of all classes together is used" if joint else f"{self.default:g} is used"
            self.notes.append(
                f"{_listed(few)}: fewer than {FEW_POSITIVES} clips with the class, or none of them found, to choose a threshold "
                f"by; {rest}"
            )
        if missed or (few and joint and not joint[1]):
            self.notes.append(
                f"{_listed(missed or few)}: no threshold has {self.goal.in_words()} on these clips; the one with the fewest wrong "
                "detections for its size is used"
            )


def _reaches_precision(curve: ThresholdCurve, wanted: float) -> tuple[int, bool]:
    """Return the place of the threshold with most hits whose precision reaches ``wanted``, and whether one does.

    What must reach it is the precision less half a standard deviation (Wilson's bound): among many thresholds the one that
    happens to look best overstates itself. In simulated detectors with 16 to 80 positives the plain rule kept a wanted
    precision of 0.9 on new clips, within its interval, in 90 to 96 of 100 draws, this one in 95 to 99, for 2 to 4 points of
    recall; a whole standard deviation costs 5 to 10.

    If none does, the place whose bound is highest.
    """
    bound = wilson_bound(curve.hits, curve.decided, -CAUTION)
    reaching = np.flatnonzero((bound >= wanted) & (curve.hits > 0))
    if not len(reaching):
        return int(np.argmax(bound)), False
    most = curve.hits[reaching].max()
    return int(reaching[curve.hits[reaching] == most].min()), True


def _halfway(lower: float, upper: float) -> float:
    """Return the float32 between two probabilities that lies halfway in logits; above ``lower`` and at most ``upper``."""
    ends = np.array([lower, upper])
    with np.errstate(divide="ignore"):
        logits = np.clip(np.log(ends) - np.log1p(-ends), -LARGEST_LOGIT, LARGEST_LOGIT)
    middle = float(np.float32(1 / (1 + np.exp(-logits.mean()))))
    return middle if lower < middle <= upper else upper


def _figures(
    id: str,
    scores: np.ndarray,
    truth: np.ndarray,
    threshold: float,
    background: np.ndarray,
    hours: float | None,
    shared: bool,
) -> ClassDecision:
    hits, decided, positives = precision_recall_at(scores, truth, np.float32(threshold))
    _, alarms, _ = precision_recall_at(scores[background], truth[background], np.float32(threshold))
    return ClassDecision(
        id=id,
        positives=positives,
        negatives=int((truth == 0).sum()),
        threshold=float(threshold),
        hits=hits,
        decided=decided,
        precision=hits / decided if decided else float("nan"),
        recall=hits / positives if positives else float("nan"),
        precision_interval=wilson_interval(hits, decided),
        recall_interval=wilson_interval(hits, positives),
        f1=2 * hits / (decided + positives) if decided + positives else float("nan"),
        false_alarms_per_hour=alarms / hours if hours else None,
        shared=bool(shared),
    )


def _note_single_groups(space: LabelSpace, truth: np.ndarray, groups: Sequence[str] | None, notes: list[str]) -> None:
    """Point out classes whose clips all come from one group."""
    if groups is None:
        return
    names = np.asarray(groups)
    sources = {c: set(names[truth[:, c] == 1]) for c in space.reported}
    single = [space.names[c] for c, of in sources.items() if len(of) == 1]
    if single and len(set(names)) > 1:
        notes.append(
            f"{_listed(single)}: all clips with the class come from one group (speaker, site or recording), so nothing is known "
            "about others"
        )


def _listed(names: list[str]) -> str:
    """The names as text, the first of many."""
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _plain(value: Any) -> Any:
    """A JSON value; None for NaN."""
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return list(value) if isinstance(value, tuple) else value
