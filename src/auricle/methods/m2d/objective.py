"""Masked modeling duo (specification m2d 4.1): predict, from the visible patches, what a slowly moving copy of the encoder
says of the masked ones alone. The copy never sees the visible patches.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from auricle.core.randomness import BatchKey
from auricle.data.batch import Batch
from auricle.methods.base import Preview, TrainProgress, without_noise
from auricle.methods.config import M2DConfig
from auricle.methods.m2d.masked import MaskedObjective
from auricle.methods.targets import Centring, decay_at, ema_update, standardised, target_shares, token_error
from auricle.models.layers.init import keyed, transformer_rule
from auricle.models.layers.transformer import Transformer, take
from auricle.models.m2d.config import PredictorConfig, ViTConfig, parse_size
from auricle.models.m2d.encoder import DEFAULT_STATS
from auricle.models.masking.patches import Mask


class M2D(MaskedObjective):
    """Owns the online encoder, the predictor and the target (blocks and norm only; patch embedding, class token and
    positions are shared, not averaged). The target starts from an initialisation of its own.

    Background noise is in what both encoders hear. With ``noise_on="teacher"`` neither hears it, as in the published
    program, where it then has no effect at all (specification m2d 5.2, a quirk).
    """

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
        super().__init__(model, predictor, config, out=model.embed_dim, stats=stats, seed=seed, name=name)
        self.config = config
        self.target = Transformer(model.embed_dim, model.depth, model.attention_heads).requires_grad_(False)
        keyed(self.target, seed, transformer_rule, prefix="target")
        rows, columns = model.grid
        self.rebuilder = None
        if config.reconstruct:
            self.rebuilder = nn.Linear(model.embed_dim, math.prod(parse_size(model.patch_size)))
            keyed(self.rebuilder, seed, transformer_rule, prefix="rebuilder")
        self.centring = (
            None if config.centring == "none" else Centring(config.centring, rows * columns, model.embed_dim)
        )

    def forward(self, batch: Batch, progress: TrainProgress, key: BatchKey) -> tuple[Tensor, dict[str, Tensor]]:
        patches, seen = self.views(batch, key)
        mask = self.mask(patches, key)
        prediction, target = self.predict(patches, mask, seen)
        loss, told = self.own_loss(prediction, target, patches, mask)
        return loss, {"loss": loss.detach(), **told, "ema_decay": torch.tensor(self.decay(progress))}

    def own_loss(
        self, prediction: Tensor, target: Tensor, patches: Tensor, mask: Mask
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """-> the distance to the target, with ``reconstruct`` that to the hidden patches themselves, each standardised,
        beside it; parts to log."""
        matched = self.error(target, prediction).mean()
        if self.rebuilder is None:
            return matched, {}
        rebuilt = token_error(
            standardised(take(patches, mask.hidden).float()), self.rebuilder(prediction), "mse"
        ).mean()
        told = {"loss_matched": matched.detach(), "loss_rebuilt": rebuilt.detach()}
        return matched + self.config.reconstruct * rebuilt, told

    def heard(self, batch: Batch) -> Batch:
        return batch if self.config.noise_on == "student" else without_noise(batch)

    def predict(self, patches: Tensor, mask: Mask, seen: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """-> prediction and target (B, M, D) of the masked tokens, in the mask's order; ``seen``: the online encoder's view
        of the patches, where it differs."""
        latent = self.latent(patches if seen is None else seen, mask)
        return self.predictor.hidden(latent, mask), self.targets(patches, mask)

    def targets(self, patches: Tensor, mask: Mask) -> Tensor:
        """(B, M, D): the targets, centred where the settings say so."""
        targets = self.raw_targets(patches, mask)
        return targets if self.centring is None else self.centring(targets, mask.hidden)

    @torch.no_grad()
    def raw_targets(self, patches: Tensor, mask: Mask) -> Tensor:
        """(B, M, D): the target encoder on the masked patches alone, class token dropped."""
        return self.target_of(take(patches, mask.hidden), mask.hidden)

    def target_of(self, patches: Tensor, ids: Tensor) -> Tensor:
        """What the target encoder says of patches (B, M, ph*pw) at the grid cells ``ids`` (B, M): (B, M, D)."""
        tokens = self.online.embed(patches, ids=ids)
        if self.config.target_layers:
            return self.target.averaged(tokens, self.config.target_layers)[:, 1:]
        return self.target(tokens)[:, 1:]

    def error(self, target: Tensor, prediction: Tensor) -> Tensor:
        """(B, M) error per masked token."""
        target = standardised(target.float()) if self.config.norm_targets else target
        return token_error(target, prediction, self.config.loss_fn)

    def decay(self, progress: TrainProgress) -> float:
        return decay_at(progress, self.config.ema_decay_init, self.config.ema_decay)

    def after_step(self, progress: TrainProgress) -> None:
        ema_update(self.target.parameters(), self.online.transformer.parameters(), self.decay(progress))

    @torch.no_grad()
    def diagnose(self, batch: Batch, key: BatchKey) -> dict[str, float]:
        patches = self.patches(batch)
        mask = self.mask(patches, key)
        prediction, target = self.predict(patches, mask)
        target = standardised(target.float()) if self.config.norm_targets else target.float()
        distance = token_error(target, prediction, "norm_mse").mean()
        return {**target_shares(target, mask.hidden), "prediction_cosine": float(1 - distance / 2)}

    @torch.no_grad()
    def preview(self, batch: Batch, key: BatchKey) -> Preview:
        spec = self.spec(batch)
        patches = self.online.patch_embed.cut(spec)
        mask = self.mask(patches, key)
        prediction, target = self.predict(patches, mask)
        error = self.on_grid(self.error(target, prediction), mask)
        return Preview(spec, mask.binary.view_as(error), error)


# The data2vec-like variant (specification m2d 4.7): the target encoder sees every patch; all else is M2D.


class M2DD2V(M2D):
    """What it says of the masked patches it says knowing the visible ones, which M2D's target never sees."""

    @torch.no_grad()
    def raw_targets(self, patches: Tensor, mask: Mask) -> Tensor:
        """(B, M, D): the target encoder on all patches in spatial order; its tokens at the masked places."""
        everywhere = torch.arange(patches.shape[1], device=patches.device).expand(len(patches), -1)
        return take(self.target_of(patches, everywhere), mask.hidden)
