"""The length of a run, the position of a micro-step in it, and the learning rate there."""

from __future__ import annotations

import math
from dataclasses import dataclass

from auricle.core.errors import AuricleError
from auricle.methods.base import TrainProgress
from auricle.methods.config import TrainConfig


@dataclass(frozen=True)
class TrainingLength:
    """The length of a run: micro-steps per epoch, micro-steps per update, epochs (None with ``max_updates``), updates.

    An accumulation group that an epoch leaves incomplete is discarded (specification m2d 5.3).
    """

    per_epoch: int
    accum: int
    epochs: int | None
    steps: int

    @classmethod
    def of(cls, per_epoch: int, config: TrainConfig) -> TrainingLength:
        """Return the length of a run of ``per_epoch`` micro-steps an epoch.

        Raises:
            AuricleError: if they do not make one weight update, or the warm-up is longer than the run.
        """
        accum = config.accum_iter
        if per_epoch < accum:
            raise AuricleError(f"one weight update takes {accum} batches (--accum-iter), an epoch has {per_epoch}")
        if config.max_updates:
            return cls(per_epoch, accum, None, config.max_updates)
        steps = config.epochs * (per_epoch // accum)
        if config.schedule == "polynomial" and not config.long_warmup and config.warmup_updates >= steps > 1:
            raise AuricleError(
                f"the warm-up ({config.warmup_updates} weight updates) must be shorter than the run ({steps} weight updates in "
                f"{config.epochs} epochs); set --warmup-updates, or --long-warmup if it is meant"
            )
        return cls(per_epoch, accum, config.epochs, steps)

    @property
    def micro_steps(self) -> int:
        """Micro-steps of the whole run."""
        if self.epochs is not None:
            return self.epochs * self.per_epoch
        whole, rest = divmod(self.steps, self.per_epoch // self.accum)
        return whole * self.per_epoch + rest * self.accum

    def at(self, micro_step: int) -> TrainProgress:
        """Return the position of a micro-step."""
        epoch, inside = divmod(micro_step, self.per_epoch)
        step = epoch * (self.per_epoch // self.accum) + min(inside // self.accum, self.per_epoch // self.accum)
        return TrainProgress(micro_step, self.micro_steps, step, self.steps, micro_step / self.per_epoch, self.epochs)

    def in_group(self, micro_step: int) -> int | None:
        """Return the index of a micro-step in its accumulation group; None in the incomplete group of an epoch."""
        inside = micro_step % self.per_epoch
        whole = self.per_epoch // self.accum * self.accum
        return inside % self.accum if inside < whole else None


def cosine_with_warmup(now: float, peak: float, floor: float, warmup: float, total: float) -> float:
    """Return the rate: linear from 0 to ``peak`` over ``warmup``, then half a cosine to ``floor`` at ``total``.

    ``now``, ``warmup`` and ``total`` have one unit. The very first step has rate 0 (specification m2d 5.3).
    """
    if now < warmup:
        return peak * now / warmup
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * (now - warmup) / (total - warmup)))


def polynomial_decay(now: int, peak: float, floor: float, warmup: int, total: int, power: float = 1.0) -> float:
    """Return the rate: linear from 0 to ``peak`` over ``warmup`` updates, then a power of the rest to ``floor`` at ``total``.

    ``now`` is the number of updates already made, so the very first has rate 0 (specification mae_ast 9).
    """
    if warmup and now <= warmup:
        return peak * now / warmup
    if now >= total:
        return floor
    return floor + (peak - floor) * (1 - (now - warmup) / (total - warmup)) ** power


def rate_at(progress: TrainProgress, config: TrainConfig, peak: float) -> float:
    """Return the rate of the update that starts at ``progress``.

    It follows the fractional epoch, or with ``max_updates`` and the polynomial schedule the number of updates.
    """
    total = config.schedule_updates or max(1, progress.steps)
    if config.schedule == "polynomial":
        return polynomial_decay(progress.step, peak, config.min_lr, config.warmup_updates, total, config.power)
    if progress.epochs is None:
        return cosine_with_warmup(min(progress.step, total), peak, config.min_lr, config.warmup_updates, total)
    fits = config.warmup_epochs < progress.epochs or config.long_warmup
    warmup = config.warmup_epochs if fits else 0.1  # a single epoch, with the default made for many
    return cosine_with_warmup(progress.epoch, peak, config.min_lr, warmup, progress.epochs)
