"""What all masked objectives of the M2D family share: an encoder that sees some patches, a predictor of the others."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.data.augment.jitter import jitter
from auricle.data.batch import Batch
from auricle.methods.base import Objective, spectrogram_of
from auricle.methods.config import MaskConfig
from auricle.models.layers.init import keyed, transformer_rule
from auricle.models.layers.transformer import take
from auricle.models.m2d.config import PredictorConfig, ViTConfig
from auricle.models.m2d.encoder import M2DEncoder
from auricle.models.m2d.predictor import Predictor
from auricle.models.masking.patches import Mask, continuous_flags, mask_from_flags, unstructured


class MaskedObjective(Objective):
    """Owns the online encoder and the predictor, whose outputs are ``out`` wide."""

    def __init__(
        self,
        model: ViTConfig,
        predictor: PredictorConfig,
        masking: MaskConfig,
        *,
        out: int,
        stats: tuple[float, float],
        seed: int,
        name: str,
    ):
        super().__init__()
        self.masking = masking
        self.online = M2DEncoder(model, stats=stats, seed=seed, name=name)
        self.predictor = Predictor(predictor, model.embed_dim, model.grid, out=out)
        keyed(self.predictor, seed, transformer_rule, prefix="predictor")
        if masking.cont_mask and not int(model.grid[1] * masking.mask_ratio):
            raise AuricleError(
                f"spans cannot hide {masking.mask_ratio:g} of {model.grid[1]} patch columns: that is none"
            )

    def encoder(self) -> M2DEncoder:
        return self.online

    def heard(self, batch: Batch) -> Batch:
        """What the online encoder hears of a batch."""
        return batch

    def spec(self, batch: Batch) -> Tensor:
        """(B, F, T) the normalised spectrogram."""
        return self.online.normalise(spectrogram_of(self.heard(batch), self.online))

    def patches(self, batch: Batch) -> Tensor:
        """(B, N, ph*pw) patches of the normalised spectrogram."""
        return self.online.patch_embed.cut(self.spec(batch))

    def views(self, batch: Batch, key: BatchKey) -> tuple[Tensor, Tensor]:
        """Patches (B, N, ph*pw) as they are, and as the online encoder sees them: with ``jitter`` at another level and
        colour."""
        spec = self.spec(batch)
        patches = self.online.patch_embed.cut(spec)
        if not self.masking.jitter:
            return patches, patches
        other = jitter(spec, key, decibels=self.masking.jitter, std=self.online.statistics()[1])
        return patches, self.online.patch_embed.cut(other)

    def mask(self, patches: Tensor, key: BatchKey) -> Mask:
        """A new mask per clip, keyed by the clip's position: single patches, or spans of columns with ``cont_mask``."""
        ratio, span, grid = self.masking.mask_ratio, self.masking.cont_mask, self.online.config.grid
        if span:
            flags = [continuous_flags(grid, ratio, span, source) for source in key.each("mask")]
            return mask_from_flags(np.stack(flags)).to(patches.device)
        return unstructured(key.uniform("mask", patches.shape[1]), ratio).to(patches.device)

    def latent(self, patches: Tensor, mask: Mask) -> Tensor:
        """(B, 1 + K, D): the online encoder on the visible patches, class token first."""
        return self.online.transformer(self.online.embed(take(patches, mask.visible), ids=mask.visible))

    def on_grid(self, values: Tensor, mask: Mask) -> Tensor:
        """Values (B, M) of the masked tokens, in the mask's order -> (B, F', T') with NaN where the encoder saw."""
        everywhere = torch.full(mask.ids_shuffle.shape, torch.nan, device=values.device)
        return everywhere.scatter_(1, mask.hidden, values.float()).unflatten(1, (self.online.config.grid[0], -1))
