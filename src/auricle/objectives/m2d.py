"""Masked modeling duo (specification m2d 4.1): predict, from the visible patches, what a slowly moving copy of the encoder
says of the masked ones alone. The copy never sees the visible patches.
"""

from __future__ import annotations

import torch
from torch import Tensor

from auricle.data.batch import Batch
from auricle.draws import BatchDraws
from auricle.models.config import PredictorConfig, ViTConfig
from auricle.models.init import keyed, transformer_rule
from auricle.models.m2d import DEFAULT_STATS, M2DEncoder
from auricle.models.masks import Mask, unstructured
from auricle.models.predictor import Predictor
from auricle.models.vit import Transformer, take
from auricle.objectives.base import Objective, Preview, Progress
from auricle.objectives.collapse import target_shares
from auricle.objectives.config import M2DConfig
from auricle.objectives.ema import decay_at, ema_update
from auricle.objectives.inputs import spectrogram_of
from auricle.objectives.matching import standardised, token_error


class M2D(Objective):
    """Owns the online encoder, the predictor and the target (blocks and norm only; patch embedding, class token and
    positions are shared, not averaged). The target starts from an initialisation of its own."""

    def __init__(
        self,
        model: ViTConfig,
        predictor: PredictorConfig,
        config: M2DConfig,
        *,
        stats: tuple[float, float] = DEFAULT_STATS,
        seed: int = 0,
        name: str = "m2d",
    ):
        super().__init__()
        self.config = config
        self.online = M2DEncoder(model, stats=stats, seed=seed, name=name)
        self.predictor = Predictor(predictor, model.width, model.grid, out=model.width)
        self.target = Transformer(model.width, model.depth, model.num_heads).requires_grad_(False)
        keyed(self.predictor, seed, transformer_rule, prefix="predictor")
        keyed(self.target, seed, transformer_rule, prefix="target")

    def encoder(self) -> M2DEncoder:
        return self.online

    def forward(self, batch: Batch, progress: Progress, draws: BatchDraws) -> tuple[Tensor, dict[str, Tensor]]:
        patches = self.patches(batch)
        prediction, target = self.predict(patches, self.mask(patches, draws))
        loss = self.error(target, prediction).mean()
        return loss, {"loss": loss.detach(), "ema_decay": torch.tensor(self.decay(progress))}

    def patches(self, batch: Batch) -> Tensor:
        """(B, N, ph*pw) patches of the normalised spectrogram."""
        return self.online.patch_embed.cut(self.online.normalise(spectrogram_of(batch, self.online)))

    def mask(self, patches: Tensor, draws: BatchDraws) -> Mask:
        """A new unstructured mask per clip, keyed by the clip's position."""
        return unstructured(draws.uniform("mask", patches.shape[1]), self.config.mask_ratio).to(patches.device)

    def predict(self, patches: Tensor, mask: Mask) -> tuple[Tensor, Tensor]:
        """-> prediction and target (B, M, D) of the masked tokens, in the mask's order."""
        latent = self.latent(patches, mask)
        return self.predictor.hidden(latent, mask), self.targets(patches, mask)

    def latent(self, patches: Tensor, mask: Mask) -> Tensor:
        """(B, 1 + K, D): the online encoder on the visible patches, class token first."""
        return self.online.transformer(self.online.embed(take(patches, mask.visible), ids=mask.visible))

    @torch.no_grad()
    def targets(self, patches: Tensor, mask: Mask) -> Tensor:
        """(B, M, D): the target encoder on the masked patches alone, class token dropped."""
        tokens = self.online.embed(take(patches, mask.hidden), ids=mask.hidden)
        if self.config.target_layers:
            return self.target.averaged(tokens, self.config.target_layers)[:, 1:]
        return self.target(tokens)[:, 1:]

    def error(self, target: Tensor, prediction: Tensor) -> Tensor:
        """(B, M) error per masked token."""
        target = standardised(target.float()) if self.config.norm_targets else target
        return token_error(target, prediction, self.config.loss_fn)

    def decay(self, progress: Progress) -> float:
        return decay_at(progress, self.config.ema_decay_init, self.config.ema_decay)

    def after_step(self, progress: Progress) -> None:
        ema_update(self.target.parameters(), self.online.transformer.parameters(), self.decay(progress))

    @torch.no_grad()
    def diagnose(self, batch: Batch, draws: BatchDraws) -> dict[str, float]:
        patches = self.patches(batch)
        mask = self.mask(patches, draws)
        prediction, target = self.predict(patches, mask)
        target = standardised(target.float()) if self.config.norm_targets else target.float()
        distance = token_error(target, prediction, "norm_mse").mean()
        return {**target_shares(target, mask.hidden), "prediction_cosine": float(1 - distance / 2)}

    @torch.no_grad()
    def preview(self, batch: Batch, draws: BatchDraws) -> Preview:
        spec = self.online.normalise(spectrogram_of(batch, self.online))
        patches = self.online.patch_embed.cut(spec)
        mask = self.mask(patches, draws)
        prediction, target = self.predict(patches, mask)
        error = torch.full(mask.ids_shuffle.shape, torch.nan, device=spec.device)
        error.scatter_(1, mask.hidden, self.error(target, prediction))
        grid = (self.online.config.grid[0], -1)
        return Preview(spec, mask.binary.unflatten(1, grid), error.unflatten(1, grid))
