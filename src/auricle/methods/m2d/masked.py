"""The base of all masked objectives of the M2D family: an encoder that sees some patches, a predictor of the others."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor

from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.data.augment.jitter import jitter
from auricle.data.batch import Batch
from auricle.methods.base import Objective, spectrogram_of
from auricle.methods.m2d.config import MaskConfig
from auricle.metrics.rank import Spectrum
from auricle.models.layers.init import keyed, transformer_rule
from auricle.models.layers.transformer import take
from auricle.models.m2d.config import PredictorConfig, ViTConfig
from auricle.models.m2d.encoder import M2DEncoder
from auricle.models.m2d.predictor import Predictor
from auricle.models.masking.patches import Mask, continuous_flags, mask_from_flags, unstructured

FEATURE_CLIPS = 1024  # "more than 1000 samples" ([m2d 5.4](docs/specification/m2d.md#s5-4))


class MaskedObjective(Objective):
    """Owns the online encoder and the predictor, whose outputs have ``out`` channels.

    feature_eval_freq: epochs between two measurements of the features' spectrum; None: never.
    """

    feature_eval_freq: int | None = None

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
        if model.unused_bands:
            warnings.warn(
                f"patches of {model.patch_size} leave out the {model.unused_bands} highest mel bands of an input of "
                f"{model.input_size}; choose a --patch-size whose height divides the bands to use all of them",
                stacklevel=2,
            )
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

    def student_batch(self, batch: Batch) -> Batch:
        """Return the batch that the online encoder gets."""
        return batch

    def spec(self, batch: Batch) -> Tensor:
        """Return the normalised spectrogram (B, F, T)."""
        return self.online.normalise(spectrogram_of(self.student_batch(batch), self.online).values)

    def patches(self, batch: Batch) -> Tensor:
        """Return the patches (B, N, ph*pw) of the normalised spectrogram."""
        return self.online.patch_embed.cut(self.spec(batch))

    def views(self, batch: Batch, key: BatchKey) -> tuple[Tensor, Tensor]:
        """Return patches (B, N, ph*pw), and the online encoder's view of them: with ``jitter``, at a random level and
        spectral tilt."""
        spec = self.spec(batch)
        patches = self.online.patch_embed.cut(spec)
        if not self.masking.jitter:
            return patches, patches
        other = jitter(spec, key, decibels=self.masking.jitter, std=self.online.statistics()[1])
        return patches, self.online.patch_embed.cut(other)

    def mask(self, patches: Tensor, key: BatchKey) -> Mask:
        """Draw a mask per clip: single patches, or spans of columns with ``cont_mask``."""
        ratio, span, grid = self.masking.mask_ratio, self.masking.cont_mask, self.online.config.grid
        if span:
            flags = [continuous_flags(grid, ratio, span, source) for source in key.each("mask")]
            return mask_from_flags(np.stack(flags)).to(patches.device)
        return unstructured(key.uniform("mask", patches.shape[1]), ratio).to(patches.device)

    def latent(self, patches: Tensor, mask: Mask) -> Tensor:
        """Encode the visible patches with the online encoder: (B, 1 + K, D), class token first."""
        return self.online.transformer(self.online.embed(take(patches, mask.visible), ids=mask.visible))

    def on_grid(self, values: Tensor, mask: Mask) -> Tensor:
        """Place values (B, M) of the masked tokens on the patch grid (B, F', T'), with NaN at the visible patches."""
        everywhere = torch.full(mask.ids_shuffle.shape, torch.nan, device=values.device)
        return everywhere.scatter_(1, mask.hidden, values.float()).unflatten(1, (self.online.config.grid[0], -1))

    def on_epoch_end(self, epoch: int, sample: Callable[[int], Iterable[Batch]]) -> dict[str, float]:
        """Return RankMe and the area of the spectrum ("rank", "auc") of the patch tokens, with nothing masked.

        They measure without labels how many directions the features fill ([m2d 5.4](docs/specification/m2d.md#s5-4)).
        """
        if not self.feature_eval_freq or epoch % self.feature_eval_freq:
            return {}
        spectrum = Spectrum(self.online.config.embed_dim)
        self.eval()
        with torch.no_grad():
            for batch in sample(FEATURE_CLIPS):
                patches = self.patches(batch.to(self.online.pos_embed.device))
                tokens = self.online.transformer(self.online.embed(patches))[:, 1:]
                spectrum.add(tokens.flatten(0, 1).float().cpu().numpy())
        self.train()
        return {"rank": spectrum.rank_me(), "auc": spectrum.auc()}
