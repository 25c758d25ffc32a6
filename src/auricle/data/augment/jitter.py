"""A random level and colour for what an encoder sees of a clip, so that it learns to hear past them. Not published."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from auricle.core.randomness import BatchKey

KNOTS = 5  # of the colour: straight lines between as many random gains, from the lowest band to the highest
NATS_PER_DECIBEL = math.log(10) / 10  # of power
SPREAD = math.sqrt(12)  # a uniform number in [0, 1) deviates by 1 / sqrt(12)


def jittered(spec: Tensor, key: BatchKey, *, decibels: float, std: float) -> Tensor:
    """Normalised log-mel (B, F, T) with a gain and a curve over its bands added, one of each per clip.

    Both deviate by ``decibels`` (uniform, keyed by the clip); ``std`` is what the natural log-mel was divided by.
    """
    uniform = torch.from_numpy(key.uniform("jitter", 1 + KNOTS)).to(spec.device)
    gains = SPREAD * (uniform - 0.5) * (decibels * NATS_PER_DECIBEL / std)
    colour = functional.interpolate(gains[:, None, 1:], size=spec.shape[1], mode="linear", align_corners=True)
    return spec + (gains[:, :1, None] + colour).transpose(1, 2)
