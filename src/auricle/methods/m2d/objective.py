"""Objectives of the M2D family: the base of all (an encoder that sees some patches, a predictor of the others), M2D itself,
and its data2vec-like variant.

Source: [m2d 4.1](docs/specification/m2d.md#s4-1) and [4.7](docs/specification/m2d.md#s4-7).

From the visible patches the predictor predicts the features of the masked ones. The target encoder, a moving average of
the online encoder, computes those from the masked patches alone; in the data2vec-like variant it sees every patch.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.data.augment.jitter import jitter
from auricle.data.batch import Batch
from auricle.methods.base import (
    Objective,
    Preview,
    TrainProgress,
    spectrogram_of,
    standardize_tokens,
    token_error,
    without_noise,
)
from auricle.methods.m2d.config import M2DConfig, MaskConfig
from auricle.methods.m2d.targets import Centring, decay_at, ema_update, target_statistics
from auricle.metrics.rank import Spectrum
from auricle.models.layers.init import keyed, transformer_rule
from auricle.models.layers.transformer import Transformer, take
from auricle.models.m2d.config import PredictorConfig, ViTConfig, parse_size
from auricle.models.m2d.encoder import DEFAULT_STATS, M2DEncoder
from auricle.models.m2d.head import Predictor
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


class M2D(MaskedObjective):
    """Owns the online encoder, the predictor and the target encoder.

    The target encoder has blocks and norm only: patch embedding, class token and positions are shared, not averaged. It
    starts from an initialisation of its own. Both encoders get the background noise. With ``noise_on="teacher"`` neither
    gets it, as in the published program, where the noise then has no effect at all ([m2d 5.2](docs/specification/m2d.md#s5-2), a
    quirk).
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
        loss, parts = self.own_loss(prediction, target, patches, mask)
        return loss, {"loss": loss.detach(), **parts, "ema_decay": torch.tensor(self.decay(progress))}

    def own_loss(
        self, prediction: Tensor, target: Tensor, patches: Tensor, mask: Mask
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return M2D's own loss and its parts to log.

        It is the distance to the target; with ``reconstruct``, plus the distance to the standardised hidden patches.
        """
        matched = self.error(target, prediction).mean()
        if self.rebuilder is None:
            return matched, {}
        rebuilt = token_error(
            standardize_tokens(take(patches, mask.hidden).float()), self.rebuilder(prediction), "mse"
        ).mean()
        parts = {"loss_matched": matched.detach(), "loss_rebuilt": rebuilt.detach()}
        return matched + self.config.reconstruct * rebuilt, parts

    def student_batch(self, batch: Batch) -> Batch:
        return batch if self.config.noise_on == "student" else without_noise(batch)

    def predict(self, patches: Tensor, mask: Mask, seen: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return prediction and target (B, M, D) of the masked tokens, in the mask's order.

        ``seen`` is the online encoder's view of the patches where it differs from ``patches``.
        """
        latent = self.latent(patches if seen is None else seen, mask)
        return self.predictor.hidden(latent, mask), self.targets(patches, mask)

    def targets(self, patches: Tensor, mask: Mask) -> Tensor:
        """Return the targets (B, M, D), centred if the settings ask for it."""
        targets = self.raw_targets(patches, mask)
        return targets if self.centring is None else self.centring(targets, mask.hidden)

    @torch.no_grad()
    def raw_targets(self, patches: Tensor, mask: Mask) -> Tensor:
        """Encode the masked patches alone with the target encoder: (B, M, D), class token dropped."""
        return self.encode_target(take(patches, mask.hidden), mask.hidden)

    def encode_target(self, patches: Tensor, ids: Tensor) -> Tensor:
        """Encode patches (B, M, ph*pw) at the grid cells ``ids`` (B, M) with the target encoder: (B, M, D)."""
        tokens = self.online.embed(patches, ids=ids)
        if self.config.target_layers:
            return self.target.averaged(tokens, self.config.target_layers)[:, 1:]
        return self.target(tokens)[:, 1:]

    def error(self, target: Tensor, prediction: Tensor) -> Tensor:
        """Return the error (B, M) of each masked token."""
        target = standardize_tokens(target.float()) if self.config.norm_targets else target
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
        target = standardize_tokens(target.float()) if self.config.norm_targets else target.float()
        distance = token_error(target, prediction, "norm_mse").mean()
        return {**target_statistics(target, mask.hidden), "prediction_cosine": float(1 - distance / 2)}

    @torch.no_grad()
    def preview(self, batch: Batch, key: BatchKey) -> Preview:
        spec = self.spec(batch)
        patches = self.online.patch_embed.cut(spec)
        mask = self.mask(patches, key)
        prediction, target = self.predict(patches, mask)
        error = self.on_grid(self.error(target, prediction), mask)
        return Preview(spec, mask.binary.view_as(error), error)


class M2DD2V(M2D):
    """The data2vec-like variant: the target encoder sees every patch. All else is M2D.

    Source: [m2d 4.7](docs/specification/m2d.md#s4-7).
    """

    @torch.no_grad()
    def raw_targets(self, patches: Tensor, mask: Mask) -> Tensor:
        """Encode all patches in spatial order and return the tokens at the masked places: (B, M, D)."""
        everywhere = torch.arange(patches.shape[1], device=patches.device).expand(len(patches), -1)
        return take(self.encode_target(patches, everywhere), mask.hidden)
