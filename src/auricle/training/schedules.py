"""Learning rate as a function of where the run stands."""

from __future__ import annotations

import math

from auricle.objectives.base import Progress
from auricle.training.config import TrainConfig


def cosine_with_warmup(now: float, peak: float, floor: float, warmup: float, total: float) -> float:
    """Linear from 0 to ``peak`` over ``warmup``, then half a cosine to ``floor`` at ``total``; one unit for all three times.

    Specification m2d 5.3: the very first step has rate 0.
    """
    if now < warmup:
        return peak * now / warmup
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * (now - warmup) / (total - warmup)))


def polynomial_decay(now: int, peak: float, floor: float, warmup: int, total: int, power: float = 1.0) -> float:
    """Linear from 0 to ``peak`` over ``warmup`` updates, then peak * (share of the rest)^power down to ``floor`` at ``total``.

    Specification mae_ast 9; ``now`` is the number of updates already made, so the very first has rate 0.
    """
    if warmup and now <= warmup:
        return peak * now / warmup
    if now >= total:
        return floor
    return floor + (peak - floor) * (1 - (now - warmup) / (total - warmup)) ** power


def rate_at(progress: Progress, config: TrainConfig, peak: float) -> float:
    """The rate of the update that starts at ``progress``: by fractional epoch, or by update (``max_updates``, polynomial)."""
    total = config.schedule_updates or max(1, progress.steps)
    if config.schedule == "polynomial":
        return polynomial_decay(progress.step, peak, config.min_lr, config.warmup_updates, total, config.power)
    if progress.epochs is None:
        return cosine_with_warmup(min(progress.step, total), peak, config.min_lr, config.warmup_updates, total)
    fits = config.warmup_epochs < progress.epochs or config.long_warmup
    warmup = config.warmup_epochs if fits else 0.1  # a single epoch, with the default made for many
    return cosine_with_warmup(progress.epoch, peak, config.min_lr, warmup, progress.epochs)
