"""MSM-MAE: a masked autoencoder that reconstructs the hidden patches of the spectrogram.

Source: [m2d 4.6](docs/specification/m2d.md#s4-6).
"""

from __future__ import annotations

import torch
from torch import Tensor

from auricle.core.randomness import BatchKey
from auricle.data.batch import Batch
from auricle.methods.base import VARIANCE_GUARD, Preview, TrainProgress, standardize_tokens, token_error
from auricle.methods.m2d.objective import MaskedObjective
from auricle.methods.msm_mae.config import MsmMaeConfig
from auricle.models.layers.transformer import take
from auricle.models.m2d.config import PredictorConfig, ViTConfig, parse_size
from auricle.models.m2d.encoder import DEFAULT_STATS
from auricle.models.masking.patches import Mask


class MsmMae(MaskedObjective):
    """The predictor gives the values of every patch, row by row. The loss covers the hidden patches only."""

    def __init__(
        self,
        model: ViTConfig,
        predictor: PredictorConfig,
        config: MsmMaeConfig,
        *,
        stats: tuple[float, float] = DEFAULT_STATS,
        seed: int = 0,
        name: str = "msm_mae",
    ):
        height, width = parse_size(model.patch_size)
        super().__init__(model, predictor, config, out=height * width, stats=stats, seed=seed, name=name)
        self.config = config

    def forward(self, batch: Batch, progress: TrainProgress, key: BatchKey) -> tuple[Tensor, dict[str, Tensor]]:
        patches, seen = self.views(batch, key)
        mask = self.mask(patches, key)
        prediction = self.predictor.hidden(self.latent(seen, mask), mask)
        loss = self.error(take(patches, mask.hidden), prediction).mean()
        return loss, {"loss": loss.detach()}

    def error(self, patches: Tensor, prediction: Tensor) -> Tensor:
        """Return the mean squared error (B, M) of each patch."""
        target = standardize_tokens(patches.float()) if self.config.norm_targets else patches
        return token_error(target, prediction, "mse")

    def reconstruct(self, patches: Tensor, mask: Mask) -> Tensor:
        """Predict every patch in spatial order, as spectrogram values: (B, N, ph*pw)."""
        prediction = self.predictor(self.latent(patches, mask), mask).float()
        if not self.config.norm_targets:
            return prediction
        mean, variance = patches.mean(dim=-1, keepdim=True), patches.var(dim=-1, keepdim=True)
        return prediction * (variance + VARIANCE_GUARD).sqrt() + mean

    @torch.no_grad()
    def visualise(self, spec: Tensor, mask: Mask) -> tuple[Tensor, Tensor]:
        """Reconstruct a normalised spectrogram (B, F, T).

        Returns:
            The reconstruction with the visible patches as they are, and its absolute error, both (B, F, T)
            ([m2d 4.6](docs/specification/m2d.md#s4-6)).
        """
        patches = self.online.patch_embed.cut(spec)
        shown = torch.where(mask.binary[..., None] > 0, self.reconstruct(patches, mask), patches)
        reconstruction = spec.clone()  # what fills no patch stays as it is
        whole = join_patches(shown, self.online.config.grid[0], self.online.patch_embed.patch)
        reconstruction[:, : whole.shape[1], : whole.shape[2]] = whole
        return reconstruction, (spec - reconstruction).abs()

    @torch.no_grad()
    def preview(self, batch: Batch, key: BatchKey) -> Preview:
        spec = self.spec(batch)
        patches = self.online.patch_embed.cut(spec)
        mask = self.mask(patches, key)
        prediction = self.predictor.hidden(self.latent(patches, mask), mask)
        error = self.on_grid(self.error(take(patches, mask.hidden), prediction), mask)
        return Preview(spec, mask.binary.view_as(error), error, self.visualise(spec, mask)[0])


def join_patches(patches: Tensor, rows: int, patch: tuple[int, int]) -> Tensor:
    """Join patches (B, N, ph*pw), as ``PatchEmbed.cut`` cuts them, to (B, F, T)."""
    grid = patches.view(len(patches), rows, -1, *patch).permute(0, 1, 3, 2, 4)
    return grid.reshape(len(patches), rows * patch[0], -1)
