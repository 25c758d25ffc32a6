"""Augmentation of EfficientAT's log-mel in training: random band edges, then frequency and time masks.

Source: [efficientat 4](docs/specification/efficientat.md#s4). All published recipes use no masks (``freq_mask = time_mask = 0``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey, RandomSource
from auricle.frontends.efficientat_mel import SCALE, SHIFT, EfficientATMel

FILL = SHIFT / SCALE  # a mask writes 0 before the scaling, which is this value after it


@dataclass(frozen=True)
class MelAugment:
    """Ranges of the random draws.

    Attributes:
        fmin_range, fmax_range: hertz; 1 keeps the edges fixed.
        freq_mask: bands of the longest frequency mask; 0: none.
        time_mask: frames of the longest time mask; 0: none.
    """

    fmin_range: int = 10
    fmax_range: int = 2000
    freq_mask: int = 0
    time_mask: int = 0

    def __post_init__(self) -> None:
        if self.fmin_range < 1 or self.fmax_range < 1:
            raise AuricleError("fmin_range and fmax_range must be at least 1 hertz (1 keeps the band edges fixed)")
        if self.freq_mask < 0 or self.time_mask < 0:
            raise AuricleError("freq_mask and time_mask cannot be negative (0 switches them off)")


def moved_edges(front: EfficientATMel, augment: MelAugment, source: RandomSource) -> EfficientATMel:
    """Return the front end with drawn edges: fmin + U{0 .. r-1}, fmax + r // 2 - U{0 .. r-1}; fmin is drawn first."""
    fmin = front.fmin + int(source.integers(0, augment.fmin_range))
    fmax = front.fmax + augment.fmax_range // 2 - int(source.integers(0, augment.fmax_range))
    return replace(front, fmin=fmin, fmax=fmax)


def mask_spans(uniform: np.ndarray, longest: int, size: int) -> np.ndarray:
    """Compute masks from uniform numbers, in float32 arithmetic truncated towards zero.

    Args:
        uniform: (B, 2) numbers u, v in [0, 1). u scales the length; v scales the start, so that the mask fits in.
        longest: upper end of the length.
        size: bands or frames of the axis. A length above it gives a start below 0.

    Returns:
        (B, 2) spans [start, end).
    """
    u, v = uniform.astype(np.float32).T
    length = u * np.float32(longest)
    start = np.trunc(v * (np.float32(size) - length))
    return np.stack([start, start + np.trunc(length)], axis=1).astype(np.int64)


def masked(values: Tensor, spans: np.ndarray, axis: int, fill: float = FILL) -> Tensor:
    """Write ``fill`` into span i (B, 2) of clip i in ``values`` (B, F, T) along ``axis`` (1: bands, 2: frames)."""
    span = torch.from_numpy(spans).to(values.device)
    position = torch.arange(values.shape[axis], device=values.device)
    inside = (position >= span[:, :1]) & (position < span[:, 1:])  # (B, size)
    return values.masked_fill(inside.unsqueeze(3 - axis), fill)


def training_mel(
    front: EfficientATMel, wave: Tensor, augment: MelAugment, key: BatchKey, lengths: Tensor | None = None
) -> Tensor:
    """Compute the augmented log-mel (B, F, T) of waves (B, S): band edges drawn once per batch, masks once per clip."""
    values = moved_edges(front, augment, key.shared("mel-edges"))(wave, lengths)
    for axis, longest, purpose in mask_axes(augment):
        values = masked(values, mask_spans(key.uniform(purpose, 2), longest, values.shape[axis]), axis)
    return values


def mask_axes(augment: MelAugment) -> Sequence[tuple[int, int, str]]:
    """Return (axis, longest mask, purpose of the draw) of the masks in use, frequency first."""
    axes = ((1, augment.freq_mask, "mel-freq-mask"), (2, augment.time_mask, "mel-time-mask"))
    return [axis for axis in axes if axis[1]]
