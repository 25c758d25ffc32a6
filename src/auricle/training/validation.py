"""Scoring batches that nothing is learnt from: when it is due, and what comes out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import zip_longest

import torch

from auricle.core.randomness import BatchKey
from auricle.data.batch import Batch
from auricle.methods.base import Objective, TrainProgress
from auricle.methods.config import TrainConfig
from auricle.training.distributed import DistContext
from auricle.training.precision import autocast
from auricle.training.schedules import TrainingLength


@dataclass(frozen=True)
class Validation:
    """Of one objective in one run; every rank scores its share."""

    objective: Objective
    plan: TrainingLength
    config: TrainConfig
    ranks: DistContext
    precision: str

    def due(self, step: int) -> bool:
        """After every so many updates, at the last update of every so many epochs, and at the end."""
        updates, epochs = self.config.validate_interval_updates, self.config.validate_interval
        epoch, inside = divmod(step, self.plan.per_epoch // self.plan.accum)
        return (
            step == self.plan.steps
            or (updates > 0 and step % updates == 0)
            or (epochs > 0 and inside == 0 and epoch % epochs == 0)
        )

    @torch.no_grad()
    def scores(self, progress: TrainProgress, batches: Iterable[Batch]) -> dict[str, float]:
        """What the objective says of all ranks' batches together."""
        self.objective.eval()
        own = []
        for batch in batches:
            key = BatchKey(self.config.seed, batch.epoch, batch.positions)
            with autocast(self.precision, self.ranks.device):
                here = batch.to(self.ranks.device, non_blocking=True)
                own.append(self.objective.validate(here, progress, key))
        self.objective.train()
        rows = zip_longest(*self.ranks.gather(own))
        return self.objective.summarise([output for row in rows for output in row if output is not None])
