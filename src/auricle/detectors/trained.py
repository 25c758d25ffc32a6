"""A detector of a run that trained the whole network: scores of its parts by the weights that the run gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from auricle.core.devices import autocast
from auricle.detectors.files import PartScores
from auricle.methods.data import TrainingData
from auricle.methods.supervised.clips import clip_of, group_of
from auricle.methods.supervised.objective import by_clip

if TYPE_CHECKING:
    from auricle.methods.base import TrainProgress
    from auricle.training.loop import Trainer


@torch.no_grad()
def trained_parts(trainer: Trainer, progress: TrainProgress) -> list[PartScores]:
    """Score the validation and the test part of a run of fine-tuning that has ended.

    The logits of the windows of a clip are averaged, as the scores of the run are.
    """
    trainer.objective.eval()
    named = (("valid", trainer.data.valid), ("test", trainer.data.test))
    parts = [_scored(name, data, trainer, progress) for name, data in named if data is not None]
    trainer.objective.train()
    return parts


def _scored(name: str, data: TrainingData, trainer: Trainer, progress: TrainProgress) -> PartScores:
    outputs = []
    for batch in data.sample(len(data.dataset)):
        with autocast(trainer.precision, trainer.dist.device):
            outputs.append(trainer.objective.validate(batch.to(trainer.dist.device), progress, trainer.key(batch)))
    ids, logits, targets, known = by_clip(outputs)
    groups, seconds = dict[str, str](), dict[str, float]()
    for clip in data.dataset.manifest:
        whole = clip_of(clip.id)
        groups[whole] = group_of(clip)
        seconds[whole] = seconds.get(whole, 0.0) + (clip.seconds or np.nan)
    return PartScores(
        name,
        tuple(ids),
        tuple(groups[id] for id in ids),
        np.array([seconds[id] for id in ids]),
        logits.astype(np.float32),
        targets.astype(np.float32),
        known.astype(np.float32),
    )
