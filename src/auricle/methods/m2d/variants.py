"""Variants of M2D with a second loss: M2D-X (an offline teacher), M2D-AS (labels), M2D-S (stored speech features).

By default the student gets the background noise and the teacher does not, as the method is described. In the published
program it is the other way round ([m2d 5.2](docs/specification/m2d.md#s5-2), a quirk): ``noise_on="teacher"``.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.data.batch import Batch
from auricle.methods.base import FrameTeacher, TrainProgress, without_noise
from auricle.methods.m2d.config import M2DASConfig, M2DSConfig, OfflineConfig
from auricle.methods.m2d.objective import M2D
from auricle.methods.m2d.targets import Columns
from auricle.models.base import Encoder
from auricle.models.layers.init import Rule, keyed, linear_rule, transformer_rule
from auricle.models.layers.transformer import take
from auricle.models.m2d.config import PredictorConfig, ViTConfig
from auricle.models.m2d.encoder import DEFAULT_STATS
from auricle.models.masking.patches import Mask


class M2DWithAuxLoss(M2D):
    """M2D with a linear head that reads the whole grid, visible and predicted ([m2d 4.3](docs/specification/m2d.md#s4-3)).

    loss = loss_m2d * M2D's own loss + loss_off * ``offline_error`` of the head's outputs.

    Args:
        outputs: channels of the head.
        rule: initialisation of the head.
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
        online, parts = self.own_loss(prediction, self.targets(patches, mask), patches, mask)
        offline = self.offline_error(self.offline_predictor(self.stacked(latent, prediction, mask)), batch)
        loss = self.weights[0] * online + self.weights[1] * offline
        log = {"loss": loss, "loss_m2d": online, "loss_off": offline, **parts}
        return loss, {
            **{name: value.detach() for name, value in log.items()},
            "ema_decay": torch.tensor(self.decay(progress)),
        }

    def stacked(self, latent: Tensor, prediction: Tensor, mask: Mask) -> Tensor:
        """Join latent (B, 1 + K, D) and prediction (B, M, D) to (B, T, F*D) in spatial order, feature index f * D + channel."""
        tokens = take(torch.cat([latent[:, 1:], prediction], dim=1), mask.ids_restore)
        grid = tokens.unflatten(1, (self.online.config.grid[0], -1))
        return grid.transpose(1, 2).flatten(2)

    def offline_error(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Compute the second loss from the head's outputs (B, T, off): a scalar, 0 if the batch holds no targets."""
        raise NotImplementedError


class M2DX(M2DWithAuxLoss):
    """M2D-X ([m2d 4.3](docs/specification/m2d.md#s4-3)): M2D, and the features of an offline teacher of the same crop.

    The teacher is any Encoder (live), or its stored outputs of ``features`` channels in ``batch.targets["frames"]``. Both
    are brought to the student's time steps (``alignment``). The teacher is not part of the state: it is loaded again when
    a run continues.
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
                "stored features were computed on clean sound: they cannot stand for a teacher that gets the mixture; "
                "use noise_on student, or a live teacher"
            )
        width = teacher.info.frame_dim if teacher is not None else features
        super().__init__(model, predictor, config, width, stats=stats, **options)
        self.columns = Columns.of(self.online)
        self.teacher = None if teacher is None else FrameTeacher(teacher, self.online, stats)

    def depends_on(self) -> str:
        return "" if self.teacher is None else self.teacher.fingerprint

    def offline_error(self, outputs: Tensor, batch: Batch) -> Tensor:
        if self.teacher is not None:
            features, times = self.teacher(batch if self.config.noise_on == "teacher" else without_noise(batch))
            return self.error(self.columns.from_frames(features, times, self.teacher.hop_seconds), outputs).mean()
        if batch.targets is None:
            return outputs.new_zeros(
                ()
            )  # a validation list without features ([m2d 4.3](docs/specification/m2d.md#s4-3))
        features = self.columns.from_stored(self.checked(batch.targets["frames"]), batch.target_hop)
        return self.mean(self.error(features, outputs), batch.target_mask)

    def checked(self, targets: Tensor) -> Tensor:
        """Return stored features (B, T', D). Raises AuricleError for another shape."""
        width = self.offline_predictor.out_features
        if targets.ndim != 3 or targets.shape[2] != width:
            raise AuricleError(f"expected stored features (B, T', {width}), the data hold {tuple(targets.shape)}")
        return targets

    def mean(self, error: Tensor, mask: Tensor | None) -> Tensor:
        """Return the mean of errors (B, T) over the clips that have features: ``mask`` (B,) is 1 there."""
        if mask is None:
            return error.mean()
        weight = mask.to(error.dtype)[:, None].expand_as(error)
        return (error * weight).sum() / weight.sum().clamp(min=1)

    def _apply(self, fn, recurse=True):
        if self.teacher is not None:
            self.teacher.encoder._apply(fn)
        return super()._apply(fn, recurse)


class M2DAS(M2DWithAuxLoss):
    """M2D-AS: M2D, and labels of the clip predicted from the mean of the head's outputs over time.

    Source: [m2d 4.4](docs/specification/m2d.md#s4-4).

    The second loss is the binary cross-entropy over the labels that were annotated (``batch.label_mask``). Its mean is over
    the annotated pairs of the local batch. With partial labels, ranks and accumulation therefore equal one large batch only
    if every part holds equally many.
    """

    def __init__(self, model: ViTConfig, predictor: PredictorConfig, config: M2DASConfig, classes: int, **options: Any):
        if config.noise_on == "teacher":
            raise AuricleError("M2D-AS learns from labels: there is no teacher to get the noise; use noise_on student")
        super().__init__(model, predictor, config, classes, **options)

    def offline_error(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Return the mean over all annotated (clip, class) pairs. Raises AuricleError if the batch has other labels or none."""
        logits, labels = outputs.float().mean(dim=1), batch.labels
        if labels is None or labels.shape != logits.shape:
            count = "none" if labels is None else f"{labels.shape[1]}"
            raise AuricleError(f"M2D-AS needs labels of {logits.shape[1]} classes, the data have {count}")
        if batch.label_mask is None:
            return functional.binary_cross_entropy_with_logits(logits, labels)
        total = functional.binary_cross_entropy_with_logits(logits, labels, weight=batch.label_mask, reduction="sum")
        return total / batch.label_mask.sum().clamp(min=1)


class M2DS(M2DX):
    """M2D-S: M2D on speech, and stored features of a speech model, of the clean recording.

    Source: [m2d 4.5](docs/specification/m2d.md#s4-5).

    With background noise in the input this is denoising distillation: the speech is predicted from the mixture. The head
    starts from PyTorch's own initialisation ([m2d 2.5](docs/specification/m2d.md#s2-5)).
    """

    def __init__(self, model: ViTConfig, predictor: PredictorConfig, config: M2DSConfig, features: int, **options: Any):
        super().__init__(model, predictor, config, features=features, rule=linear_rule, **options)
