"""A look at a run's features without labels: how many directions they fill (specification m2d 5.4)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auricle.data.batch import Batch
    from auricle.jobs.run_data import TrainingData
    from auricle.objectives.masked import Masked

CLIPS = 1024  # "more than 1000 samples": specification m2d 5.4


def feature_look(objective: Masked, batches: Iterable[Batch]) -> dict[str, float]:
    """RankMe and the spectrum's area ("rank", "auc") of the encoder's patch tokens, nothing masked, class token left out."""
    import torch

    from auricle.metrics.rank import Spectrum

    online = objective.online
    device, spectrum = online.pos_embed.device, Spectrum(online.config.width)
    objective.eval()
    with torch.no_grad():
        for batch in batches:
            tokens = online.transformer(online.embed(objective.patches(batch.to(device))))[:, 1:]
            spectrum.add(tokens.flatten(0, 1).float().cpu().numpy())
    objective.train()
    return {"rank": spectrum.rank_me(), "auc": spectrum.auc()}


def look_every(epochs: int, objective: Masked, data: TrainingData) -> Callable[[int], dict[str, float]]:
    """What the loop adds to its line of an epoch: a look after every so many, nothing after the others."""
    from auricle.data.loader import make_loader
    from auricle.data.sampler import HeldOut, sampled

    train = data.config.train

    def look(epoch: int) -> dict[str, float]:
        if epoch % epochs:
            return {}
        items = HeldOut(sampled(data.clips, train.batch_size, CLIPS, train.seed), 0, 1)
        return feature_look(objective, make_loader(data.dataset, items, 0, collate=data.collate))

    return look
