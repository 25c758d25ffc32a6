"""Add a random gain and a random curve over the mel bands to log-mel spectrograms. Not a published augmentation."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from auricle.core.randomness import BatchKey

KNOTS = 5  # the curve is straight lines between as many random gains, from the lowest band to the highest
NATS_PER_DECIBEL = math.log(10) / 10  # of power
SPREAD = math.sqrt(12)  # the standard deviation of a uniform number in [0, 1) is 1 / sqrt(12)


def jitter(spec: Tensor, key: BatchKey, *, decibels: float, std: float) -> Tensor:
    """Add a gain and a curve over the mel bands, one of each per clip.

    Args:
        spec: (B, F, T) normalised log-mel.
        key: Key of the draws; each clip has its own.
        decibels: Standard deviation of the gain, and of the curve (both uniform).
        std: What the natural log-mel was split_at_dashes by.

    Returns:
        (B, F, T).
    """
    uniform = torch.from_numpy(key.uniform("jitter", 1 + KNOTS)).to(spec.device)
    gains = SPREAD * (uniform - 0.5) * (decibels * NATS_PER_DECIBEL / std)
    curve = functional.interpolate(gains[:, None, 1:], size=spec.shape[1], mode="linear", align_corners=True)
    return spec + (gains[:, :1, None] + curve).transpose(1, 2)
