"""Calibrations of logits: one temperature, one line for all classes, a line for each class, and the choice between them and none.

A line is ``scale * logit + offset``. What is fitted is judged by the log loss of clips that it was not fitted on, because a
calibration that is fitted to few clips, or to speakers who differ from the next one, makes good scores worse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from auricle.data.manifest.manifest import draw_folds

LEAST_SLOPE = 0.01  # of the calibrated logit per standard deviation of the logit: ranks are always kept
WIDEST = 1e3  # of the temperature's search, around a spread of one
FOLDS, LEAST_FOLDS = 10, 3  # of cross-validation
SURE = 0.9  # probability that the gain is one, from which a calibration is used
SHRINKAGE = 4.0  # weight of a class's distance to the line of all classes, in squared logits: as four doubtful clips
NEWTON_STEPS = 30

Lines = tuple[np.ndarray, np.ndarray]  # scale and offset of each class, (C,) each
Fit = Callable[[np.ndarray, np.ndarray], Lines | None]  # of logits (n, C) and truth (n, C), NaN where not annotated


@dataclass(frozen=True)
class ChosenScaling:
    """The calibration that is used, and why.

    Attributes:
        kind: "none", "temperature", "all classes" (one line) or "by class".
        scale, offset: (C,) each; ones and zeros for none.
        gain: by how much it lowers the mean log loss of clips that it was not fitted on; of none, what the best other one would.
        error: standard error of the gain over the folds; NaN where nothing could be held out.
        folds: of cross-validation; 0 where nothing could be held out.
    """

    kind: str
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    gain: float
    error: float
    folds: int

    @property
    def reason(self) -> str:
        """A sentence for people."""
        if not self.folds:
            return "the scores are left as they are: too few clips, or of too few classes, to see whether a calibration helps"
        measured = f"the log loss by {self.gain:.4f} ± {self.error:.4f} on {self.folds} held-out folds"
        if self.kind == "none":
            kept = "the scores are left as they are: the best calibration"
            if self.gain > 0:
                return f"{kept} lowers {measured}, which is no clear gain"
            return f"{kept} raises {measured.replace(f'{self.gain:.4f}', f'{-self.gain:.4f}')}"
        names = {
            "temperature": "one temperature",
            "all classes": "one line for all classes",
            "by class": "a line a class",
        }
        return f"calibrated by {names[self.kind]}, which lowers {measured}"


def choose_scaling(
    logits: np.ndarray, truth: np.ndarray, exclusive: bool, groups: Sequence[str] | None = None, *, few: int = 1
) -> ChosenScaling:
    """Choose the calibration with the least log loss on held-out clips, or none where it is not clearly better.

    Held-out clips are whole groups, where there are three or more. A calibration is used if the mean gain over the folds is above
    zero with a probability of 0.9 (one-sided t test over the folds).

    Args:
        logits: (n, C), of clips that the scoring head did not learn from.
        truth: (n, C) of 0 and 1, NaN where not annotated.
        exclusive: exactly one class holds: one temperature is tried; else lines.
        groups: (n,) of the clips.
        few: positives from which a class has a line of its own.
    """
    from scipy.special import stdtrit

    count = logits.shape[1]
    plain = np.ones(count), np.zeros(count)
    none = ChosenScaling("none", (1.0,) * count, (0.0,) * count, float("nan"), float("nan"), 0)
    kinds: dict[str, Fit] = {"temperature": temperature}
    if not exclusive:
        kinds = {"all classes": joint_line, "by class": lambda z, y: lines_by_class(z, y, few)}
    folds = _folds(logits, truth, groups)
    found = {kind: lines for kind, fit in kinds.items() if (lines := fit(logits, truth)) is not None}
    names = np.unique(folds)
    if len(names) < LEAST_FOLDS or not found:
        return none
    gains = {
        kind: np.array([_gain(kinds[kind], logits, truth, folds == fold, exclusive) for fold in names])
        for kind in found
    }
    gains = {kind: values[np.isfinite(values)] for kind, values in gains.items()}
    best = max(gains, key=lambda kind: gains[kind].mean() if len(gains[kind]) else -np.inf)
    values = gains[best]
    if len(values) < LEAST_FOLDS:
        return none
    mean, error = float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values)))
    sure = mean > 0 and mean > float(stdtrit(len(values) - 1, SURE)) * error
    kind, (scale, offset) = (best, found[best]) if sure else ("none", plain)
    return ChosenScaling(kind, tuple(map(float, scale)), tuple(map(float, offset)), mean, error, len(values))


def _folds(logits: np.ndarray, truth: np.ndarray, groups: Sequence[str] | None) -> np.ndarray:
    """Return a fold of each clip (n,): groups stay whole; of fewer than three groups, clips are divided.

    Clips without groups are ordered by their values, so that the order in which they come does not matter.
    """
    if groups is None or len(set(groups)) < LEAST_FOLDS:
        values = np.nan_to_num(np.concatenate([logits, truth], axis=1), nan=-1.0)
        places = np.empty(len(values), np.int64)
        places[np.lexsort(values.T)] = np.arange(len(values))
        groups = [f"{place:09d}" for place in places]
    return np.array(draw_folds(np.nan_to_num(truth), groups, min(FOLDS, len(set(groups))), 0))


def _gain(fit: Fit, logits: np.ndarray, truth: np.ndarray, held: np.ndarray, exclusive: bool) -> float:
    """Return by how much a calibration that is fitted to the other clips lowers the mean log loss of the held ones."""
    lines, z, y = fit(logits[~held], truth[~held]), logits[held], truth[held]
    if lines is None:
        return 0.0
    return log_loss(z, y, exclusive) - log_loss(lines[0] * z + lines[1], y, exclusive)


def log_loss(logits: np.ndarray, truth: np.ndarray, exclusive: bool) -> float:
    """Return the mean log loss of logits (n, C) of all annotated answers; NaN without one."""
    if exclusive:
        whole = _whole(truth)
        z, y = logits[whole], truth[whole]
        return float((np.logaddexp.reduce(z, axis=1) - (z * y).sum(1)).mean()) if len(z) else float("nan")
    annotated = ~np.isnan(truth)
    losses = np.logaddexp(0, logits) - logits * np.nan_to_num(truth)
    return float(losses[annotated].mean()) if annotated.any() else float("nan")


def _whole(truth: np.ndarray) -> np.ndarray:
    """Return which clips are annotated and hold exactly one class, (n,) bool."""
    return ~np.isnan(truth).any(1) & (np.nansum(truth, 1) == 1)


# ---- fits


def temperature(logits: np.ndarray, truth: np.ndarray) -> Lines | None:
    """Fit ``softmax(scale * logits)`` to the true classes; the scale is one over the temperature.

    Source: Guo et al. 2017, On Calibration of Modern Neural Networks, section 4.2. The true class counts (n + 1) / (n + 2) of n
    clips, as in ``platt``.

    Returns:
        The same scale for all classes; None where all scores are the same, or there is one class.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import logsumexp

    whole = _whole(truth)
    z = logits[whole] - logits[whole].mean(1, keepdims=True)
    n, classes = z.shape
    spread = float(np.sqrt(np.mean(z**2))) if n else 0.0
    if spread == 0 or classes == 1:
        return None
    aim = (truth[whole] * z).sum(1)
    smoothed = aim * (n + 1) / (n + 2) + (z.sum(1) - aim) / ((n + 2) * (classes - 1))

    def loss(log_scale: float) -> float:
        scale = np.exp(log_scale)
        return float(np.mean(logsumexp(scale * z, axis=1) - scale * smoothed))

    limits = np.log(1 / WIDEST / spread), np.log(WIDEST / spread)
    best = float(minimize_scalar(loss, bounds=limits, method="bounded", options={"xatol": 1e-5}).x)
    return np.full(classes, np.exp(best)), np.zeros(classes)


def tells_nothing(logits: np.ndarray, lines: Lines) -> bool:
    """Return True if a temperature makes all classes about equally likely."""
    z = logits - logits.mean(1, keepdims=True)
    return bool(lines[0][0] * np.sqrt(np.mean(z**2)) < 1.01 / WIDEST)


def joint_line(logits: np.ndarray, truth: np.ndarray) -> Lines | None:
    """Fit one line to the answers about all classes; None unless both 0 and 1 occur."""
    annotated = ~np.isnan(truth)
    line = platt(logits[annotated], truth[annotated])
    return None if line is None else (np.full(logits.shape[1], line[0]), np.full(logits.shape[1], line[1]))


def lines_by_class(logits: np.ndarray, truth: np.ndarray, few: int = 1) -> Lines | None:
    """Fit a line for each class, drawn towards the line of all classes, which those with few positives take.

    Of x, the logit after the line of all classes, ``s x + o`` is fitted with Platt's targets and the penalty
    ``SHRINKAGE / 2 ((s - 1)² + o²)``: with few clips s and o stay near 1 and 0.

    Args:
        logits, truth: (n, C).
        few: positives from which a class has a line of its own.
    """
    joint = joint_line(logits, truth)
    if joint is None:
        return None
    known = ~np.isnan(truth)
    positives, negatives = (truth == 1).sum(0), (truth == 0).sum(0)
    x, weight = joint[0] * logits + joint[1], known.astype(np.float64)
    aim = np.where(truth == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    mean = (x * weight).sum(0) / weight.sum(0).clip(min=1)
    spread = np.sqrt((weight * (x - mean) ** 2).sum(0) / weight.sum(0).clip(min=1))
    least = LEAST_SLOPE / spread.clip(min=1e-9)
    slope, shift = _newton(x, aim, weight, np.minimum(least, 1.0))
    own = (positives >= few) & (negatives > 0)
    slope, shift = np.where(own, slope, 1.0), np.where(own, shift, 0.0)
    return joint[0] * slope, joint[1] * slope + shift


def _newton(x: np.ndarray, aim: np.ndarray, weight: np.ndarray, least: np.ndarray) -> Lines:
    """Minimise the penalised log loss of ``s x + o`` for all columns of x (n, C) at once, s from ``least`` (C,) on."""
    slope, shift = np.ones(x.shape[1]), np.zeros(x.shape[1])

    def loss(s: np.ndarray, o: np.ndarray) -> np.ndarray:
        z = s * x + o
        return (weight * (np.logaddexp(0, z) - aim * z)).sum(0) + SHRINKAGE / 2 * ((s - 1) ** 2 + o**2)

    value = loss(slope, shift)
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-np.clip(slope * x + shift, -500, 500)))
        rest, curve = weight * (p - aim), weight * p * (1 - p)
        g, h = (rest * x).sum(0) + SHRINKAGE * (slope - 1), rest.sum(0) + SHRINKAGE * shift
        a, b, c = (curve * x * x).sum(0) + SHRINKAGE, (curve * x).sum(0), curve.sum(0) + SHRINKAGE
        determinant = a * c - b * b
        steps = (c * g - b * h) / determinant, (a * h - b * g) / determinant
        size, moved = np.ones(len(slope)), np.zeros(len(slope), bool)
        for _ in range(12):  # halve the step of those columns that it makes worse
            s, o = np.maximum(slope - size * steps[0], least), shift - size * steps[1]
            tried = loss(s, o)
            better = ~moved & (tried <= value)
            slope, shift = np.where(better, s, slope), np.where(better, o, shift)
            value, moved = np.where(better, tried, value), moved | better
            size = np.where(moved, size, size / 2)
            if moved.all():
                break
        if max(np.abs(steps[0]).max(), np.abs(steps[1]).max()) < 1e-9:
            break
    return slope, shift


def platt(logits: np.ndarray, targets: np.ndarray) -> tuple[float, float] | None:
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
