"""M2D-X (specification m2d 4.3): M2D, and the features that an offline teacher gives of the same crop.

By default the student hears the background noise and the teacher does not, as the method is described. In the published
program it is the other way round (specification m2d 5.2, a quirk): ``noise_on="teacher"``.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from auricle.data.batch import Batch
from auricle.errors import AuricleError
from auricle.models.config import PredictorConfig, ViTConfig
from auricle.models.contract import Encoder
from auricle.models.m2d import DEFAULT_STATS
from auricle.objectives.alignment import Columns
from auricle.objectives.config import OfflineConfig
from auricle.objectives.inputs import without_noise
from auricle.objectives.offline import WithOffline
from auricle.objectives.teacher import Teacher


class M2DX(WithOffline):
    """The teacher is any Encoder (live), or ``features``-wide stored outputs of one in ``batch.targets``.

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
        width = teacher.info.frame_width if teacher is not None else features
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
        features = self.columns.from_stored(self.checked(batch.targets), batch.target_hop)
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
