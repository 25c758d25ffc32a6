"""SUPERB's featurizer: a learnt weighted sum of an encoder's layers.

Source: [evaluation 6.1](docs/specification/evaluation.md#s6-1).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError

TOLERANCE = 5  # frames by which the longest clip may differ from samples / rate


class Featurizer(nn.Module):
    """One weight per layer, zero at first; their soft-max weighs the layers. A single layer is taken as it is.

    Args:
        layers: Number of layers L.
        normalise: Normalise every frame over its width (a layer norm without parameters) before the sum.
    """

    def __init__(self, layers: int, *, normalise: bool = False):
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(layers))
        self.normalise = normalise

    def forward(self, hidden: Sequence[Tensor] | Tensor) -> Tensor:
        """Return the weighted sum (…, D) of L layers (…, D)."""
        if len(hidden) != len(self.weights):
            raise AuricleError(f"the featurizer weighs {len(self.weights)} layers, found {len(hidden)}")
        if len(hidden) == 1:
            return hidden[0]
        layers = torch.stack([*hidden])
        if self.normalise:
            layers = nn.functional.layer_norm(layers, layers.shape[-1:])
        return torch.tensordot(self.weights.softmax(0), layers, 1)

    def features(self, hidden: Sequence[Tensor], samples: Sequence[int], rate: int) -> list[Tensor]:
        """Return the features of every clip, (T_i, D), without padding.

        Args:
            hidden: One (B, T, D) per layer.
            samples: Length of each clip at 16 kHz.
            rate: Samples per frame.

        Raises:
            AuricleError: The number of frames does not fit the samples.
        """
        lengths = feature_lengths(samples, rate)
        check_frames(hidden[0].shape[1], samples, rate)
        return [clip[:length] for clip, length in zip(self(hidden), lengths)]


def feature_lengths(samples: Sequence[int], rate: int) -> list[int]:
    """Return the frames of clips as s3prl counts them: samples / rate, rounded."""
    return [round(count / rate) for count in samples]


def check_frames(frames: int, samples: Sequence[int], rate: int) -> None:
    """Raise AuricleError where the longest clip has frames that do not fit its samples."""
    wanted = round(max(samples) / rate)
    if abs(frames - wanted) >= TOLERANCE:
        raise AuricleError(f"{max(samples)} samples at {rate} per frame are {wanted} frames, found {frames}")
