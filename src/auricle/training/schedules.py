"""How long a run is, and where in it a micro-step stands."""

from __future__ import annotations

import math
from dataclasses import dataclass

from auricle.core.errors import AuricleError
from auricle.methods.base import TrainProgress
from auricle.methods.config import TrainConfig


@dataclass(frozen=True)
class TrainingLength:
    """How long a run is: micro-steps per epoch, and what ``epochs`` or ``max_updates`` make of it.

    An accumulation group that an epoch leaves incomplete is discarded (specification m2d 5.3).
    """

    per_epoch: int
    accum: int
    epochs: int | None
    steps: int

    @classmethod
    def of(cls, clips: int, config: TrainConfig, ranks: int = 1) -> TrainingLength:
        """Raises AuricleError when the data do not fill one weight update."""
        per_epoch = clips // (config.batch_size * ranks)
        if per_epoch < config.accum_iter:
            need = config.batch_size * ranks * config.accum_iter
            raise AuricleError(
                f"one weight update takes {need} clips ({config.batch_size} x {config.accum_iter} micro-steps x {ranks} "
                f"processes) but there are {clips}; lower --batch-size or --accum-iter, or repeat the list with "
                f"--min-ds-size {need}"
            )
        return cls.of_batches(per_epoch, config)

    @classmethod
    def of_batches(cls, per_epoch: int, config: TrainConfig) -> TrainingLength:
        """Of so many micro-steps an epoch. Raises AuricleError when they do not make one weight update."""
        accum = config.accum_iter
        if per_epoch < accum:
            raise AuricleError(f"one weight update takes {accum} batches (--accum-iter), an epoch has {per_epoch}")
        if config.max_updates:
            return cls(per_epoch, accum, None, config.max_updates)
        steps = config.epochs * (per_epoch // accum)
        if config.schedule == "polynomial" and not config.long_warmup and config.warmup_updates >= steps > 1:
            raise AuricleError(
                f"the warm-up ({config.warmup_updates} weight updates) must be shorter than the run ({steps} weight updates in "
                f"{config.epochs} epochs); say --warmup-updates, or --long-warmup if it is meant"
            )
        return cls(per_epoch, accum, config.epochs, steps)

    @property
    def micro_steps(self) -> int:
        if self.epochs is not None:
            return self.epochs * self.per_epoch
        whole, rest = divmod(self.steps, self.per_epoch // self.accum)
        return whole * self.per_epoch + rest * self.accum

    def at(self, micro_step: int) -> TrainProgress:
        epoch, inside = divmod(micro_step, self.per_epoch)
        step = epoch * (self.per_epoch // self.accum) + min(inside // self.accum, self.per_epoch // self.accum)
        return TrainProgress(micro_step, self.micro_steps, step, self.steps, micro_step / self.per_epoch, self.epochs)

    def in_group(self, micro_step: int) -> int | None:
        """Index of a micro-step inside its accumulation group; None in the group that an epoch leaves incomplete."""
        inside = micro_step % self.per_epoch
        whole = self.per_epoch // self.accum * self.accum
        return inside % self.accum if inside < whole else None


# Learning rate as a function of where the run stands.


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


def rate_at(progress: TrainProgress, config: TrainConfig, peak: float) -> float:
    """The rate of the update that starts at ``progress``: by fractional epoch, or by update (``max_updates``, polynomial)."""
    total = config.schedule_updates or max(1, progress.steps)
    if config.schedule == "polynomial":
        return polynomial_decay(progress.step, peak, config.min_lr, config.warmup_updates, total, config.power)
    if progress.epochs is None:
        return cosine_with_warmup(min(progress.step, total), peak, config.min_lr, config.warmup_updates, total)
    fits = config.warmup_epochs < progress.epochs or config.long_warmup
    warmup = config.warmup_epochs if fits else 0.1  # a single epoch, with the default made for many
    return cosine_with_warmup(progress.epoch, peak, config.min_lr, warmup, progress.epochs)
