"""M2D with a second loss beside its own (specification m2d 4.3): one linear head reads the whole grid, visible and predicted."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from auricle.data.batch import Batch
from auricle.draws import BatchDraws
from auricle.models.config import PredictorConfig, ViTConfig
from auricle.models.init import Rule, keyed, transformer_rule
from auricle.models.m2d import DEFAULT_STATS
from auricle.models.masks import Mask
from auricle.models.vit import take
from auricle.objectives.base import Progress
from auricle.objectives.config import OfflineConfig
from auricle.objectives.m2d import M2D


class WithOffline(M2D):
    """loss = loss_m2d * M2D's own + loss_off * what ``offline_error`` says of the head's outputs (``outputs`` wide).

    ``rule`` is the head's initialisation.
    """

    def __init__(
        self,
        model: ViTConfig,
        predictor: PredictorConfig,
        config: OfflineConfig,
        outputs: int,
        *,
        rule: Rule = transformer_rule,
        stats: tuple[float, float] = DEFAULT_STATS,
        seed: int = 0,
        name: str = "m2d",
    ):
        super().__init__(model, predictor, config, stats=stats, seed=seed, name=name)
        self.weights = (config.loss_m2d, config.loss_off)
        self.offline_predictor = nn.Linear(model.grid[0] * model.width, outputs)
        keyed(self.offline_predictor, seed, rule, prefix="offline_predictor")

    def forward(self, batch: Batch, progress: Progress, draws: BatchDraws) -> tuple[Tensor, dict[str, Tensor]]:
        patches, seen = self.views(batch, draws)
        mask = self.mask(patches, draws)
        latent = self.latent(seen, mask)
        prediction = self.predictor.hidden(latent, mask)
        online, told = self.own_loss(prediction, self.goals(patches, mask), patches, mask)
        offline = self.offline_error(self.offline_predictor(self.stacked(latent, prediction, mask)), batch)
        loss = self.weights[0] * online + self.weights[1] * offline
        log = {"loss": loss, "loss_m2d": online, "loss_off": offline, **told}
        return loss, {
            **{name: value.detach() for name, value in log.items()},
            "ema_decay": torch.tensor(self.decay(progress)),
        }

    def stacked(self, latent: Tensor, prediction: Tensor, mask: Mask) -> Tensor:
        """Latent (B, 1 + K, D) and prediction (B, M, D) -> (B, T, F*D) in spatial order, feature index f * D + channel."""
        tokens = take(torch.cat([latent[:, 1:], prediction], dim=1), mask.ids_restore)
        grid = tokens.unflatten(1, (self.online.config.grid[0], -1))
        return grid.transpose(1, 2).flatten(2)

    def offline_error(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Outputs (B, T, off) of the head -> a scalar, 0 where the batch holds nothing to compare with."""
        raise NotImplementedError
