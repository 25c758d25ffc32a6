"""From the logits of clips that a detector did not learn from to probabilities that can be trusted, and to decisions.

``fit_decisions`` fits a calibration (``scaling.py``), where it makes held-out scores clearly better, and a threshold per class.
Both are kept in the label space, so tagging, export and serving decide alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from auricle.core.console import listed
from auricle.core.errors import AuricleError
from auricle.inference.decisions.scaling import ChosenScaling, choose_scaling, tells_nothing, temperature
from auricle.inference.decisions.thresholds import FEW_POSITIVES, ThresholdChooser
from auricle.metrics.calibration import (
    expected_calibration_error,
    precision_recall_at,
    top_label,
    wilson_interval,
)
from auricle.metrics.threshold_goal import ThresholdGoal
from auricle.models.label_space import LabelSpace, only_likeliest

BEST_F1 = ThresholdGoal()


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

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; numbers that do not exist are null."""
        return {name: _plain(value) for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Decisions:
    """A calibrated label space with thresholds, and how it was found.

    Attributes:
        space: the label space.
        goal: what the thresholds are for.
        classes: figures of the reported classes, in the order of the logits.
        notes: sentences about what is doubtful.
        ece_before, ece_after: expected calibration error on the clips that it was fitted on.
        scaling: the calibration, and why it or none is used.
        fitted_on: the clips, in a few words.
    """

    space: LabelSpace
    goal: ThresholdGoal
    classes: tuple[ClassDecision, ...]
    notes: tuple[str, ...]
    ece_before: float
    ece_after: float
    scaling: ChosenScaling
    fitted_on: str

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, without the label space; numbers that do not exist are null."""
        return {
            "goal": asdict(self.goal) | {"chosen": self.goal.chosen, "in_words": self.goal.in_words()},
            "fitted_on": self.space.thresholds_fitted_on,
            "classes": [c.to_json() for c in self.classes],
            "notes": list(self.notes),
            "ece_before": _plain(self.ece_before),
            "ece_after": _plain(self.ece_after),
            "calibration": {
                "kind": self.scaling.kind,
                "reason": self.scaling.reason,
                "loss_gain": _plain(self.scaling.gain),
                "loss_gain_se": _plain(self.scaling.error),
                "fitted_on": self.fitted_on,
            },
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
    background = background_rows(space, truth)
    if goal.chosen == "false-alarms" and (not hours_of_background or not background.any()):
        raise AuricleError(
            "a number of false alarms an hour needs sound without any of the classes, and here is none: add --negatives "
            "FOLDER or a background class, or choose --threshold-for precision"
        )
    notes: list[str] = []
    calibrated, chosen = _calibrated(space, logits, truth, groups, fitted_on)
    shared = _shared(space, truth, chosen.kind, notes)
    _note_useless_scores(space, logits, truth, notes)
    scores = decision_scores(calibrated, logits)
    chooser = ThresholdChooser(calibrated, goal, scores, truth, background, hours_of_background, notes)
    thresholds, shares = chooser.all()
    _note_single_groups(space, truth, groups, notes)
    decided = calibrated.with_thresholds(thresholds, fitted_on=f"{fitted_on}, for {goal.in_words()}")
    figures = tuple(
        class_figures(space.ids[c], scores[:, c], truth[:, c], thresholds[c], background, hours_of_background, both)
        for c, both in ((c, shared[c] or shares[c]) for c in space.reported)
    )
    before, after = (_calibration_error(s, logits, truth) for s in (space.uncalibrated(), decided))
    return Decisions(decided, goal, figures, tuple(notes), before, after, chosen, fitted_on)


def decision_scores(space: LabelSpace, logits: np.ndarray) -> np.ndarray:
    """Return what a threshold is compared with, (n, C) from 0 to 1.

    Of classes that exclude each other only the likeliest can be decided for, so the others have 0.
    """
    scores = probabilities(space, logits)
    return only_likeliest(scores) if space.kind == "multiclass" else scores


def probabilities(space: LabelSpace, logits: np.ndarray) -> np.ndarray:
    """Return the calibrated probabilities of logits (n, C) as an array; the values of ``LabelSpace.probabilities``."""
    return space.probabilities(_tensor(logits)).numpy()


def detected_classes(space: LabelSpace, logits: np.ndarray) -> np.ndarray:
    """Return which classes are detected, (n, C) bool, as an array; the values of ``LabelSpace.decide``."""
    return space.decide(_tensor(logits)).numpy()


def _tensor(logits: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(logits, dtype=np.float32))


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
            f"the detector's scores of {listed(broken)} are not finite, so they cannot be calibrated: its weights are "
            "damaged, or training diverged; train with a lower --lr"
        )
    if not np.isin(truth, (0.0, 1.0)).all():
        raise AuricleError("targets are 0 or 1; mark what was not annotated in known")
    if known is not None:
        truth[~np.asarray(known, dtype=bool)] = np.nan
    return logits, truth


def background_rows(space: LabelSpace, truth: np.ndarray) -> np.ndarray:
    """Return (n,) True for clips in which every reported class was annotated and none holds; ``truth`` (n, C)."""
    reported = truth[:, list(space.reported)]
    return (reported == 0).all(1)


# ---- calibration


def _calibrated(
    space: LabelSpace, logits: np.ndarray, truth: np.ndarray, groups: Sequence[str] | None, fitted_on: str
) -> tuple[LabelSpace, ChosenScaling]:
    """Return the label space with the calibration that is clearly better than none, or without."""
    exclusive = space.kind == "multiclass"
    chosen = choose_scaling(logits, truth, exclusive, groups, few=FEW_POSITIVES)
    plain = space.uncalibrated()
    if chosen.kind == "none":
        return plain, chosen
    return plain.calibrated(chosen.scale, chosen.offset, fitted_on=fitted_on), chosen


def _shared(space: LabelSpace, truth: np.ndarray, kind: str, notes: list[str]) -> list[bool]:
    """Return which classes take the calibration of all classes, because they have too few clips."""
    if kind != "by class":
        return [False] * len(space)
    positives, negatives = (truth == 1).sum(0), (truth == 0).sum(0)
    few = (positives < FEW_POSITIVES) | (negatives == 0)
    if few.any():
        names = [space.names[c] for c in np.flatnonzero(few)]
        notes.append(
            f"{listed(names)}: fewer than {FEW_POSITIVES} clips with the class, or none without it, to calibrate its scores by; "
            "the calibration of all classes together is used"
        )
    return list(map(bool, few))


def _note_useless_scores(space: LabelSpace, logits: np.ndarray, truth: np.ndarray, notes: list[str]) -> None:
    """Point out classes whose scores are no higher where they hold."""
    if space.kind == "multiclass":
        lines = temperature(logits, truth)
        if lines is None:
            notes.append("the scores are the same for all classes, or there is one class, so they are not calibrated")
        elif tells_nothing(logits, lines):
            notes.append("the scores tell the classes apart no better than chance")
        return
    useless = []
    for c, name in enumerate(space.names):
        rows = ~np.isnan(truth[:, c])
        values, targets = logits[rows, c], truth[rows, c]
        if targets.sum() >= FEW_POSITIVES and (targets == 0).any():
            useless += [name] if values[targets == 1].mean() <= values[targets == 0].mean() else []
    if useless:
        notes.append(f"{listed(useless)}: its scores are no higher where it holds")


def class_figures(
    id: str,
    scores: np.ndarray,
    truth: np.ndarray,
    threshold: float,
    background: np.ndarray,
    hours: float | None,
    shared: bool,
) -> ClassDecision:
    """Return what a threshold gives on clips.

    Args:
        id: of the class.
        scores: (n,) its ``decision_scores``; truth: (n,), NaN where it was not annotated.
        threshold: least score of a detection.
        background: (n,) True for clips without any class (``background_rows``).
        hours: length of these; None if it is not known.
        shared: calibration or threshold are those of all classes.
    """
    hits, decided, positives = precision_recall_at(scores, truth, float(np.float32(threshold)))
    _, alarms, _ = precision_recall_at(scores[background], truth[background], float(np.float32(threshold)))
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
            f"{listed(single)}: all clips with the class come from one group (speaker, site or recording), so nothing is known "
            "about others"
        )


def _plain(value: Any) -> Any:
    """A JSON value; None for NaN."""
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return list(value) if isinstance(value, tuple) else value
