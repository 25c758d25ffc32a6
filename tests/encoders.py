"""Every family of encoders at toy size: what the contract test runs on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from auricle.models.contract import Encoder


def _unmixed_vit(encoder: Encoder) -> None:
    """Attention that returns nothing: every token keeps to itself."""
    for name, parameter in encoder.named_parameters():
        if ".attn.proj." in name:
            torch.nn.init.zeros_(parameter)


@dataclass(frozen=True)
class Family:
    """make() builds an encoder; unmix makes its mixing layers the identity; min_hops is the shortest side of a gradient test."""

    make: Callable[[], Encoder]
    unmix: Callable[[Encoder], None] = lambda encoder: None


def m2d(input_size: str = "80x64", patch_size: str = "16x8", sample_rate: int = 16000, depth: int = 2) -> Encoder:
    from auricle.models.config import ViTConfig
    from auricle.models.m2d import M2DEncoder

    config = ViTConfig(input_size, patch_size, width=32, depth=depth, heads=2, sample_rate=sample_rate)
    return M2DEncoder(config, stats=(-7.0, 4.0), seed=1).eval()


def logmel_stats() -> Encoder:
    from auricle.models.logmel_stats import LogMelStats

    return LogMelStats().eval()


FAMILIES = {
    "m2d": Family(m2d, _unmixed_vit),
    "m2d-speech-32k": Family(lambda: m2d("80x50", "80x4", 32000), _unmixed_vit),
    "m2d-ragged-chunks": Family(lambda: m2d("80x61", "16x16"), _unmixed_vit),
    "logmel-stats": Family(logmel_stats),
}
