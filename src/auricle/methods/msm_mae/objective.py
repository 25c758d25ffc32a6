"""MSM-MAE (specification m2d 4.6): a masked autoencoder of the spectrogram. No target encoder: what is hidden is rebuilt."""

from __future__ import annotations

import torch
from torch import Tensor

from auricle.core.randomness import BatchKey
from auricle.data.batch import Batch
from auricle.methods.base import Preview, TrainProgress
from auricle.methods.config import MsmMaeConfig
from auricle.methods.m2d.masked import MaskedObjective
from auricle.methods.targets import VARIANCE_GUARD, standardised, token_error
from auricle.models.layers.transformer import take
from auricle.models.m2d.config import PredictorConfig, ViTConfig, parse_size
from auricle.models.m2d.encoder import DEFAULT_STATS
from auricle.models.masking.patches import Mask


class MsmMae(MaskedObjective):
    """The predictor gives the values of every patch, row by row; the loss looks at the hidden ones alone."""

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
        """(B, M) mean squared error per patch."""
        target = standardised(patches.float()) if self.config.norm_targets else patches
        return token_error(target, prediction, "mse")

    def rebuild(self, patches: Tensor, mask: Mask) -> Tensor:
        """(B, N, ph*pw): what the predictor says of every patch, in spatial order, as spectrogram values."""
        prediction = self.predictor(self.latent(patches, mask), mask).float()
        if not self.config.norm_targets:
            return prediction
        mean, variance = patches.mean(dim=-1, keepdim=True), patches.var(dim=-1, keepdim=True)
        return prediction * (variance + VARIANCE_GUARD).sqrt() + mean

    @torch.no_grad()
    def visualise(self, spec: Tensor, mask: Mask) -> tuple[Tensor, Tensor]:
        """Normalised spectrogram (B, F, T) -> reconstruction and error map, both (B, F, T).

        Visible patches are shown as they are; the error map is the absolute difference (specification m2d 4.6).
        """
        patches = self.online.patch_embed.cut(spec)
        shown = torch.where(mask.binary[..., None] > 0, self.rebuild(patches, mask), patches)
        reconstruction = spec.clone()  # columns that fill no patch stay as they are
        whole = joined(shown, self.online.config.grid[0], self.online.patch_embed.patch)
        reconstruction[..., : whole.shape[2]] = whole
        return reconstruction, (spec - reconstruction).abs()

    @torch.no_grad()
    def preview(self, batch: Batch, key: BatchKey) -> Preview:
        spec = self.spec(batch)
        patches = self.online.patch_embed.cut(spec)
        mask = self.mask(patches, key)
        prediction = self.predictor.hidden(self.latent(patches, mask), mask)
        error = self.on_grid(self.error(take(patches, mask.hidden), prediction), mask)
        return Preview(spec, mask.binary.view_as(error), error, self.visualise(spec, mask)[0])


def joined(patches: Tensor, rows: int, patch: tuple[int, int]) -> Tensor:
    """(B, N, ph*pw) -> (B, F, T): patches cut by ``PatchEmbed.cut`` put together again."""
    grid = patches.view(len(patches), rows, -1, *patch).permute(0, 1, 3, 2, 4)
    return grid.reshape(len(patches), rows * patch[0], -1)
