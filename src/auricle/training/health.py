"""Health checks: warnings from what the loop measures anyway and from its input, each with what to try."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from auricle.data.batch import Batch
from auricle.data.loading.statistics import Statistics

EXPLODING = 10.0  # times the running median of the gradient norm
# Ratio of the targets' mean square that is the same for all tokens of a clip. The published M2D targets of a small encoder
# pass it while the loss falls below a tenth (LAB.md, small scale: 0.68 at the start, 0.82 after 200 updates, 0.84 after 250).
CLIP_RATIO = 0.8
LOW_RANK = 2.0
WAITING = 0.2  # of the time
# Overfitting: the loss of the validation part is so many times its lowest, so many validations later, and that of training fell
RISEN, VALIDATIONS = 1.15, 3
REPEAT_AFTER = 10  # checks before a warning is repeated


@dataclass
class Health:
    """Checks one set of numbers after another and repeats no warning within ``REPEAT_AFTER`` checks."""

    norms: deque[float] = field(default_factory=lambda: deque(maxlen=200))
    warned: dict[str, int] = field(default_factory=dict)  # kind of warning -> number of the check
    checks: int = 0
    loss_sum: float = 0.0  # of the training batches since the last validation
    loss_count: int = 0
    validations: list[tuple[float, float, float]] = field(
        default_factory=list
    )  # epoch, loss of training, of validation

    def check(self, *, norm: float, waiting: float, log: dict[str, float], unusual: str = "") -> list[str]:
        """Return new warnings.

        Args:
            norm: of the gradient, before clipping.
            waiting: ratio of the time spent waiting for data, 0 to 1.
            log: the objective's own numbers.
            unusual: what ``unusual_clips`` found in the batch.
        """
        self.checks += 1
        warnings = [*self._norm_warnings(norm, unusual), *collapse_warnings(log), *waiting_warnings(waiting)]
        return [text for kind, text in warnings if self._is_new(kind)]

    def add_loss(self, loss: float) -> None:
        """Note the loss of a training batch."""
        self.loss_sum, self.loss_count = self.loss_sum + loss, self.loss_count + 1

    def check_validation(self, epoch: float, loss: float, found: Sequence[tuple[str, str]]) -> list[str]:
        """Return new warnings after a validation.

        Args:
            epoch: of the run.
            loss: of the validation part.
            found: kinds and texts of what the objective found in the scores.
        """
        self.checks += 1
        if self.loss_count:
            self.validations.append((epoch, self.loss_sum / self.loss_count, loss))
            self.loss_sum, self.loss_count = 0.0, 0
        return [text for kind, text in (*overfit_warnings(self.validations), *found) if self._is_new(kind)]

    def state(self) -> dict[str, Any]:
        """Return what a continued run needs to warn as if it had never stopped."""
        losses = {"loss_sum": self.loss_sum, "loss_count": self.loss_count, "validations": self.validations}
        return {"norms": list(self.norms), "said": self.warned, "looks": self.checks, **losses}

    def restore(self, state: dict[str, Any]) -> None:
        """Load the state of a checkpoint."""
        self.norms.extend(state["norms"])
        self.warned, self.checks = state["said"], state["looks"]
        self.loss_sum, self.loss_count = state.get("loss_sum", 0.0), state.get("loss_count", 0)
        self.validations = [tuple(row) for row in state.get("validations", ())]

    def _norm_warnings(self, norm: float, unusual: str) -> list[tuple[str, str]]:
        usual = sorted(self.norms)[len(self.norms) // 2] if len(self.norms) >= 10 else math.inf
        self.norms.append(norm)
        if norm <= EXPLODING * usual:
            return []
        if unusual:
            text = f"the gradient norm was {norm:.3g}, usually {usual:.3g}, at a batch in which {unusual}; check that recording"
            return [("clip level", text)]
        text = f"the gradient norm is exploding: {norm:.3g}, usually {usual:.3g}; try a lower --lr or --clip-grad, a longer warm-up"
        return [("gradient", text)]

    def _is_new(self, kind: str) -> bool:
        fresh = self.checks - self.warned.get(kind, -REPEAT_AFTER) >= REPEAT_AFTER
        if fresh:
            self.warned[kind] = self.checks
        return fresh


def overfit_warnings(validations: Sequence[tuple[float, float, float]]) -> list[tuple[str, str]]:
    """Return a warning if the loss of the validation part rises while that of training falls.

    Args:
        validations: (epoch, loss of training since the one before, loss of the validation part) of each validation so far.
    """
    if len(validations) <= VALIDATIONS:
        return []
    best = min(range(len(validations)), key=lambda i: validations[i][2])
    epoch, trained, lowest = validations[best]
    _, now_trained, now = validations[-1]
    rising = len(validations) - 1 - best >= VALIDATIONS and now > RISEN * lowest and now_trained < trained
    if not rising:
        return []
    text = (
        f"the run overfits: the loss of the validation part rose from {lowest:.3g} (epoch {epoch:.3g}) to {now:.3g} while that of "
        f"training fell from {trained:.3g} to {now_trained:.3g}; try --early-stop-epochs, fewer epochs, a lower rate, more "
        "augmentation (--mixup 0.3), --freeze, or more recordings"
    )
    return [("overfit", text)]


def collapse_warnings(log: dict[str, float]) -> list[tuple[str, str]]:
    """Return warnings from the ratios of ``methods.m2d.targets.target_statistics``."""
    warnings, constant = [], log.get("target_constant", 0.0)
    if (same := constant + log.get("target_clip", 0.0)) > CLIP_RATIO:
        text = (
            f"the targets are collapsing to a constant of the clip: {same:.0%} of their mean square is the same for all of a "
            f"clip's tokens ({constant:.0%} for all clips too), so the predictor only has to recognise the clip, or its loudness; "
            "try --centring position-clip, a faster teacher (lower --ema-decay), msm-mae, or crops without silence"
        )
        warnings.append(("clip", text))
    if log.get("target_rank", math.inf) < LOW_RANK:
        warnings.append(
            ("rank", f"the targets fill only {log['target_rank']:.1f} directions (effective rank): they are collapsing")
        )
    return warnings


def waiting_warnings(ratio: float) -> list[tuple[str, str]]:
    """Return a warning if much of the time is spent waiting for data."""
    if ratio <= WAITING:
        return []
    remedy = "raise --workers, or prepare the data as log-mel files ('auricle prepare')"
    return [("waiting", f"{ratio:.0%} of the time is spent waiting for data; {remedy}")]


# ---- the input

LOUD_PEAK, LOUDER = 10.0, 100.0  # a waveform beyond ten times full scale, and so many times louder than the others
LOG_RANGE = 25.0  # by which the largest log-mel value of a clip may exceed that of the others: 110 dB
LOUD_MEAN, FLAT_STD = 6.0, 0.3  # of natural log-mel; recorded sound has a mean of -12 to 0 and a deviation of 2 to 5


def unusual_clips(batch: Batch) -> str:
    """Return what is wrong with the loudest clip of a batch: not finite, or far beyond the others; "" for nothing."""
    values = batch.spec if batch.audio is None else batch.audio
    assert values is not None
    flat = values.detach().float().flatten(1)
    peaks = (flat if batch.audio is None else flat.abs()).amax(1)  # NaN where a value is
    wrong = ~torch.isfinite(flat).all(1)
    if wrong.any():
        return f"{batch.ids[int(wrong.nonzero()[0])]} holds values that are not finite"
    i, usual = int(peaks.argmax()), float(peaks.median())
    peak = float(peaks[i])
    if batch.audio is not None and peak > max(LOUD_PEAK, LOUDER * usual):
        return f"{batch.ids[i]} peaks at {peak:.3g} (full scale is 1, the others peak at {usual:.2g})"
    if batch.audio is None and peak > usual + LOG_RANGE:
        return f"{batch.ids[i]} reaches a log-mel value of {peak:.3g} (the others {usual:.2g})"
    return ""


def level_warnings(statistics: Statistics, front_end: str) -> list[str]:
    """Return warnings about the level of a whole corpus, from the statistics of its natural log-mel values."""
    if not front_end.startswith("m2d-logmel"):
        return []
    mean, std = statistics
    warnings = []
    if mean > LOUD_MEAN:
        warnings.append(
            f"the recordings are far louder than full scale (mean log-mel value {mean:.1f}, usually -12 to 0): float files that "
            "hold integers (±32768) look like this. They are normalised and can be trained on; divide them by 32768 where you can, "
            "because published weights expect ±1"
        )
    if std < FLAT_STD:
        warnings.append(
            f"the recordings hardly vary (standard deviation {std:.2g} of their log-mel values, usually 2 to 5): nearly all "
            "of them are silence or constant noise, of which little can be learnt"
        )
    return warnings


def is_constant(batch: Batch) -> bool:
    """Return True if a batch holds one value alone: digital silence."""
    values = batch.spec if batch.audio is None else batch.audio
    assert values is not None
    return bool(values.min() == values.max())
