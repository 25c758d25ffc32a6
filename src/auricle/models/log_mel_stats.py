"""The floor of every probe: the mean and deviation over time of a log-mel spectrogram, as an Encoder without parameters.

The front end is EfficientAT's 128 bands at 32 kHz in evaluation mode; deviations are unbiased (specification evaluation 10).
Lengths: any; a frame is centred on its hop, t * hop seconds; a clip of a single frame has deviation 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.frontends.base import front_end
from auricle.frontends.efficientat_mel import DEFAULT_ID
from auricle.models.base import (
    Encoder,
    EncoderInfo,
    EncoderOutput,
    LayerChoice,
    Padding,
    Spectrogram,
    check_padding,
    chosen_layers,
    mean_over_time,
)


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
            source="the mean and deviation of a log-mel spectrogram; nothing is learnt",
        )

    def architecture(self) -> dict:
        return {"family": "logmel-stats", "front_end_id": self.info.front_end}

    def core(self, values: Tensor, key_mask: Tensor | None = None) -> Tensor:
        """(B, F, T) -> (B, T, F)."""
        return values.transpose(1, 2)

    def encode(
        self,
        spec: Spectrogram,
        *,
        layers: LayerChoice = None,
        taps: Sequence[str] = (),
        padding: Padding = "exact",
        ids_keep: Tensor | None = None,
        key: BatchKey | None = None,
    ) -> EncoderOutput:
        self.check_spec(spec)
        check_padding(padding)
        chosen_layers(layers, 0)
        if taps or ids_keep is not None:
            raise AuricleError("logmel-stats has no taps and no tokens to keep")
        frames = self.core(spec.values if spec.normalised else self.normalise(spec.values))
        lengths = spec.lengths
        mean = mean_over_time(frames, lengths)
        square = mean_over_time((frames - mean[:, None]).square(), lengths) * lengths[:, None]
        deviation = (square / (lengths[:, None] - 1).clamp(min=1)).sqrt()
        times = torch.arange(frames.shape[1], device=frames.device) * spec.hop_seconds
        return EncoderOutput(frames, times, lengths, torch.cat([mean, deviation], dim=1))
