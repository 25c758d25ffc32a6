"""The baseline of every probe: mean and standard deviation over time of a log-mel spectrogram, without parameters.

The front end is EfficientAT's with 128 mel bands at 32 kHz in evaluation mode; standard deviations are unbiased
([evaluation 10](docs/specification/evaluation.md#s10)). Clips may have any length. Frame t is centred on t * hop seconds. A clip
of a single frame has the standard deviation 0.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.frontends.base import front_end
from auricle.frontends.efficientat_mel import DEFAULT_ID
from auricle.models.base import Encoder
from auricle.models.info import EncoderInfo
from auricle.models.inputs import Padding, mean_over_time
from auricle.models.outputs import CoreOutput, EncoderOutput, Spectrogram


class LogMelStats(Encoder):
    """frames (B, T, F) are the log-mel itself; clip (B, 2F) is [mean, standard deviation] over time."""

    def __init__(self, front_end_id: str = DEFAULT_ID):
        super().__init__()
        front = front_end(front_end_id)
        self.info = EncoderInfo(
            name="logmel-stats",
            family="logmel-stats",
            front_end=front.id,
            sample_rate=front.sample_rate,
            hop_seconds=front.hop_seconds,
            frame_dim=front.n_mels,
            clip_dim=2 * front.n_mels,
            min_samples=front.min_samples,
            licence="Apache-2.0",
            source="the mean and standard deviation of a log-mel spectrogram; nothing is learnt",
        )

    def frame_times(self, count: int) -> Tensor:
        return torch.arange(count, device=self.norm_stats.device) * self.info.hop_seconds

    def frame_lengths(self, lengths: Tensor) -> Tensor:
        return lengths

    def _encode(
        self,
        spec: Spectrogram,
        *,
        layers: tuple[int, ...],
        taps: tuple[str, ...],
        padding: Padding,
        ids_keep: Tensor | None,
        key: BatchKey | None,
    ) -> EncoderOutput:
        if taps or ids_keep is not None:
            raise AuricleError("logmel-stats has no taps and no tokens to keep")
        frames, clip = self._statistics(spec.values if spec.normalised else self.normalise(spec.values), spec.lengths)
        return EncoderOutput(frames, self.frame_times(frames.shape[1]), spec.lengths, clip)

    def _core(
        self, values: Tensor, lengths: Tensor | None, layers: tuple[int, ...]
    ) -> tuple[CoreOutput, tuple[Tensor, ...]]:
        if lengths is None:
            lengths = torch.full((values.shape[0],), values.shape[2], device=values.device)
        return CoreOutput(*self._statistics(self.normalise(values), lengths)), ()

    def _statistics(self, values: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised (B, F, T) -> frames (B, T, F) and clip (B, 2F)."""
        frames = values.transpose(1, 2)
        mean = mean_over_time(frames, lengths)
        square = mean_over_time((frames - mean[:, None]).square(), lengths) * lengths[:, None]
        return frames, torch.cat([mean, (square / (lengths[:, None] - 1).clamp(min=1)).sqrt()], dim=1)

    def _architecture(self) -> dict[str, Any]:
        return {"family": "logmel-stats", "front_end_id": self.info.front_end}

    def _stages(self) -> list[tuple[str, tuple[str, ...]]]:
        return []
