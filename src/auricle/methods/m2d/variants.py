"""M2D-X (specification m2d 4.3): M2D, and the features that an offline teacher gives of the same crop.

By default the student hears the background noise and the teacher does not, as the method is described. In the published
program it is the other way round (specification m2d 5.2, a quirk): ``noise_on="teacher"``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.data.batch import Batch
from auricle.methods.base import Teacher, TrainProgress, without_noise
from auricle.methods.config import M2DASConfig, M2DSConfig, OfflineConfig
from auricle.methods.m2d.alignment import Columns
from auricle.methods.m2d.objective import M2D
from auricle.models.base import Encoder
from auricle.models.layers.init import Rule, keyed, linear_rule, transformer_rule
from auricle.models.layers.transformer import take
from auricle.models.m2d.config import PredictorConfig, ViTConfig
from auricle.models.m2d.encoder import DEFAULT_STATS
from auricle.models.masking.patches import Mask

# M2D with a second loss beside its own (specification m2d 4.3): one linear head reads the whole grid, visible and predicted.


class M2DWithAuxLoss(M2D):
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
        self.offline_predictor = nn.Linear(model.grid[0] * model.embed_dim, outputs)
        keyed(self.offline_predictor, seed, rule, prefix="offline_predictor")

    def forward(self, batch: Batch, progress: TrainProgress, key: BatchKey) -> tuple[Tensor, dict[str, Tensor]]:
        patches, seen = self.views(batch, key)
        mask = self.mask(patches, key)
        latent = self.latent(seen, mask)
        prediction = self.predictor.hidden(latent, mask)
        online, told = self.own_loss(prediction, self.targets(patches, mask), patches, mask)
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


class M2DX(M2DWithAuxLoss):
    """The teacher is any Encoder (live), or ``features``-wide stored outputs of one in ``batch.targets["frames"]``.

    Both are brought to the student's time steps (``objectives.alignment``). The teacher is not part of the state: it is
    given again when a run continues.
    """

    def __init__(
        self,
        model: ViTConfig,
        predictor: PredictorConfig,
        config: OfflineConfig,
        teacher: Encoder | None = None,
        *,
        features: int = 0,
        stats: tuple[float, float] = DEFAULT_STATS,
        **options: Any,
    ):
        if teacher is None and not features:
            raise AuricleError("M2D-X needs a teacher (--teacher NAME, FILE, RUN or self), or stored features of one")
        if teacher is None and config.noise_on == "teacher":
            raise AuricleError(
                "stored features were computed on clean sound: they cannot stand for a teacher that hears the mixture; "
                "use noise_on student, or a live teacher"
            )
        width = teacher.info.frame_dim if teacher is not None else features
        super().__init__(model, predictor, config, width, stats=stats, **options)
        self.columns = Columns.of(self.online)
        self.teacher = None if teacher is None else Teacher(teacher, self.online, stats)

    def depends_on(self) -> str:
        return "" if self.teacher is None else self.teacher.fingerprint

    def offline_error(self, outputs: Tensor, batch: Batch) -> Tensor:
        if self.teacher is not None:
            features, times = self.teacher(batch if self.config.noise_on == "teacher" else without_noise(batch))
            return self.error(self.columns.from_frames(features, times, self.teacher.hop_seconds), outputs).mean()
        if batch.targets is None:
            return outputs.new_zeros(())  # a validation list without features (specification m2d 4.3)
        features = self.columns.from_stored(self.checked(batch.targets["frames"]), batch.target_hop)
        return self.mean(self.error(features, outputs), batch.target_mask)

    def checked(self, targets: Tensor) -> Tensor:
        """Stored features (B, T', D). Raises AuricleError for another shape or width."""
        width = self.offline_predictor.out_features
        if targets.ndim != 3 or targets.shape[2] != width:
            raise AuricleError(f"expected stored features (B, T', {width}), the data hold {tuple(targets.shape)}")
        return targets

    def mean(self, error: Tensor, mask: Tensor | None) -> Tensor:
        """The mean of (B, T) errors where ``mask``, (B,) per clip, says that there are features."""
        if mask is None:
            return error.mean()
        weight = mask.to(error.dtype)[:, None].expand_as(error)
        return (error * weight).sum() / weight.sum().clamp(min=1)

    def _apply(self, fn, recurse=True):
        if self.teacher is not None:
            self.teacher.encoder._apply(fn)
        return super()._apply(fn, recurse)


# M2D-AS (specification m2d 4.4): M2D, and labels of the clip predicted from the mean of the head's outputs over time.


class M2DAS(M2DWithAuxLoss):
    """``classes`` outputs; binary cross-entropy over the labels that were annotated (``batch.label_mask``).

    The mean is over the annotated pairs of the batch at hand, so with partial labels ranks and accumulation equal one large
    batch only where every part holds as many.
    """

    def __init__(self, model: ViTConfig, predictor: PredictorConfig, config: M2DASConfig, classes: int, **options: Any):
        if config.noise_on == "teacher":
            raise AuricleError("M2D-AS learns from labels: there is no teacher to hear the noise; use noise_on student")
        super().__init__(model, predictor, config, classes, **options)

    def offline_error(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The mean over all annotated (clip, class) pairs. Raises AuricleError when the batch has other labels or none."""
        logits, labels = outputs.float().mean(dim=1), batch.labels
        if labels is None or labels.shape != logits.shape:
            found = "none" if labels is None else f"{labels.shape[1]}"
            raise AuricleError(f"M2D-AS needs labels of {logits.shape[1]} classes, the data have {found}")
        if batch.label_mask is None:
            return functional.binary_cross_entropy_with_logits(logits, labels)
        total = functional.binary_cross_entropy_with_logits(logits, labels, weight=batch.label_mask, reduction="sum")
        return total / batch.label_mask.sum().clamp(min=1)


# M2D-S (specification m2d 4.5): M2D on speech, and stored features of a speech model, of the clean recording.
#
# With background noise in the input this is denoising distillation: what was said is predicted from the mixture.


class M2DS(M2DX):
    """M2D-X with stored targets, and a head that starts from the framework's own initialisation (specification m2d 2.5)."""

    def __init__(self, model: ViTConfig, predictor: PredictorConfig, config: M2DSConfig, features: int, **options: Any):
        super().__init__(model, predictor, config, features=features, rule=linear_rule, **options)
