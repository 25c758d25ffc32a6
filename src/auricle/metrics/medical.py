"""Scores of respiratory and heart sounds: ICBHI and SPRSound, CirCor DigiScope.

See [finetuning 9.4](docs/specification/finetuning.md#s9-4) and [finetuning 10.3](docs/specification/finetuning.md#s10-3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from auricle.core.errors import AuricleError
from auricle.metrics.classification import checked, confusion

MURMUR_CLASSES = ("Present", "Unknown", "Absent")
MURMUR_WEIGHTS = (5.0, 3.0, 1.0)
SORTED_MURMURS = tuple(sorted(MURMUR_CLASSES))


class RespiratoryScore(NamedTuple):
    """Scores of breathing cycles; class 0 is normal.

    Attributes:
        specificity: Share of the normal cycles that are found normal.
        sensitivity: Share of the abnormal cycles whose class is found.
        score: Mean of the two (ICBHI's Score, SPRSound's average score).
        harmonic: Harmonic mean of the two (SPRSound); 0 where both are 0.
        accuracy: Share of all cycles whose class is found.
    """

    specificity: float
    sensitivity: float
    score: float
    harmonic: float
    accuracy: float


def respiratory_score(correct: Sequence[float], total: Sequence[float]) -> RespiratoryScore:
    """Compute the scores from counts.

    Args:
        correct: (C,) cycles of each class that were found, the normal class first.
        total: (C,) cycles of each class.

    Raises:
        AuricleError: There is no normal or no abnormal cycle, so that a score is not defined.
    """
    right, all_ = np.asarray(correct, np.float64), np.asarray(total, np.float64)
    if right.shape != all_.shape or len(all_) < 2 or not all_[0] or not all_[1:].sum():
        raise AuricleError(
            f"the score of breathing cycles needs normal and abnormal ones; the counts by class are {list(total)}"
        )
    specificity, sensitivity = float(right[0] / all_[0]), float(right[1:].sum() / all_[1:].sum())
    both = specificity + sensitivity
    harmonic = 2 * specificity * sensitivity / both if both else 0.0
    return RespiratoryScore(specificity, sensitivity, both / 2, harmonic, float(right.sum() / all_.sum()))


def respiratory_score_of(predicted: np.ndarray, true: np.ndarray, classes: int) -> RespiratoryScore:
    """Compute the scores of class indices (n,); class 0 is normal."""
    counts = confusion(predicted, true, classes)
    return respiratory_score(counts.diagonal().tolist(), counts.sum(1).tolist())


def respiratory_parts(scores: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Return the scores of ``respiratory_score`` by name; NaN, but for accuracy, without normal or without abnormal cycles.

    Args:
        scores: (n, C), higher is likelier; column 0 is the normal class.
        targets: (n, C) of 0 and 1.
    """
    counts = confusion(checked(scores).argmax(1), np.asarray(targets).argmax(1), targets.shape[1])
    total = counts.sum(1)
    if not total[0] or not total[1:].sum():
        missing = dict.fromkeys(RespiratoryScore._fields, float("nan"))
        return missing | ({"accuracy": float(counts.diagonal().sum() / total.sum())} if total.sum() else {})
    return respiratory_score(counts.diagonal().tolist(), total.tolist())._asdict()


class MurmurScore(NamedTuple):
    """Scores of patients in the order Present, Unknown, Absent.

    Attributes:
        weighted_accuracy: Accuracy with weights 5, 3 and 1 of the true classes.
        uar: Mean recall (unweighted average recall); NaN where a class has no patient.
        recalls: Recall of each class; NaN without a patient.
        accuracy: Share of the patients that are right.
        f_measure: Mean F of the classes that have one.
        f_per_class: F of each class; NaN where the class neither occurs nor is predicted.
    """

    weighted_accuracy: float
    uar: float
    recalls: tuple[float, ...]
    accuracy: float
    f_measure: float
    f_per_class: tuple[float, ...]


def murmur_score(counts: np.ndarray) -> MurmurScore:
    """Compute the scores from a confusion table (3, 3): row = predicted, column = true; Present, Unknown, Absent."""
    counts = np.asarray(counts, np.float64)
    if counts.shape != (3, 3) or not counts.sum():
        raise AuricleError(f"expected a confusion table of {', '.join(MURMUR_CLASSES)}, found the shape {counts.shape}")
    true, predicted, right = counts.sum(0), counts.sum(1), counts.diagonal()
    weights = np.array(MURMUR_WEIGHTS)
    with np.errstate(invalid="ignore", divide="ignore"):
        recalls, f = right / true, 2 * right / (true + predicted)
    return MurmurScore(
        weighted_accuracy=float((weights * right).sum() / (weights * true).sum()),
        uar=float(recalls.mean()),
        recalls=tuple(recalls.tolist()),
        accuracy=float(right.sum() / counts.sum()),
        f_measure=float(np.nanmean(f)),
        f_per_class=tuple(f.tolist()),
    )


def murmur_parts(scores: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """Return weighted accuracy, mean recall and the recall of each class by name.

    Args:
        scores: (n, 3), higher is likelier; the columns are Absent, Present and Unknown, the sorted classes.
        targets: (n, 3) of 0 and 1.

    Raises:
        AuricleError: There are not three classes.
    """
    scores = checked(scores)
    if targets.shape[1] != len(SORTED_MURMURS):
        raise AuricleError(
            f"murmurs are scored as {', '.join(SORTED_MURMURS)}, in this order; these data have {targets.shape[1]} classes"
        )
    order = [SORTED_MURMURS.index(name) for name in MURMUR_CLASSES]
    predicted, true = (np.asarray(values)[:, order].argmax(1) for values in (scores, targets))
    score = murmur_score(confusion(predicted, true, len(order)).T)
    recalls = {f"recall_{name.lower()}": value for name, value in zip(MURMUR_CLASSES, score.recalls)}
    return {"weighted_accuracy": score.weighted_accuracy, "uar": score.uar, **recalls}


def patient_by_rule(recordings: Sequence[np.ndarray]) -> int:
    """Decide a patient by its recordings: Present if any recording is, else Unknown if any is, else Absent.

    Args:
        recordings: Probabilities (3,) of each recording, Present, Unknown, Absent.

    Returns:
        Index into ``MURMUR_CLASSES``.
    """
    return min(int(np.argmax(probabilities)) for probabilities in recordings)


def patient_by_mean(recordings: Sequence[np.ndarray]) -> int:
    """Decide a patient by the mean of its recordings' logits (3,): the largest one."""
    return int(np.argmax(np.mean(recordings, axis=0)))
