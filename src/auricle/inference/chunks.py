"""Encode a recording of hours as one clip in bounded memory, with encoders whose chunks do not see each other.

The audio is decoded, turned into a spectrogram and encoded about a minute at a time. Each part is made of whole chunks of
the spectrogram of the whole recording, so the result is that of encoding it in one call, except for rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from auricle.frontends.base import FrontEnd
from auricle.frontends.streaming import spectrogram_blocks
from auricle.models.base import Encoder
from auricle.models.inputs import mean_over_time
from auricle.models.outputs import EncoderOutput, Spectrogram

PART_SECONDS = 60.0


def encode_in_parts(blocks: Iterable[np.ndarray], encoder: Encoder, **options: Any) -> Iterator[EncoderOutput]:
    """Yield the output (batch of 1) for each part of a recording; times count from its beginning.

    Args:
        blocks: consecutive waves (n,) at the encoder's rate.
        options: those of ``Encoder.encode``.
    """
    for spec, first_frame in spectrogram_parts(blocks, encoder):
        out = encoder.encode(spec, **options)
        yield replace(out, times=out.times + first_frame * spec.hop_seconds)


def spectrogram_parts(blocks: Iterable[np.ndarray], encoder: Encoder) -> Iterator[tuple[Spectrogram, int]]:
    """Yield (spectrogram, its first frame) of each part, as they are cut from that of the whole recording."""
    front, chunk, device = encoder.front, int(encoder.info.chunk_frames or 0), encoder.norm_stats.device
    frames = chunk * max(1, round(PART_SECONDS / (chunk * front.hop_seconds)))
    first, held = 0, torch.zeros(front.n_mels, 0, device=device)
    waves = (torch.from_numpy(np.ascontiguousarray(block)).to(device) for block in blocks)
    for values in spectrogram_blocks(waves, front):
        held = torch.cat([held, values], dim=1)
        while held.shape[1] > frames:
            yield _spectrogram(held[:, :frames], front), first
            held, first = held[:, frames:], first + frames
    if not first or held.shape[1] >= encoder.least_frames:  # else one call leaves them out as well
        yield _spectrogram(held, front), first


def _spectrogram(values: Tensor, front: FrontEnd) -> Spectrogram:
    lengths = torch.tensor([values.shape[1]], device=values.device)
    return Spectrogram(values[None], lengths, front.hop_seconds, front.id)


# ---- pooling over time
def pool(frames: Tensor, lengths: Tensor, pooling: str) -> Tensor:
    """Pool the valid frames of each clip.

    Args:
        frames: (B, T, D).
        lengths: (B,) valid frames.
        pooling: "mean" (or "clip", for a block), "mean_std", "max" or "mean_max".

    Returns:
        (B, D), or (B, 2D) for mean_std.
    """
    mean = mean_over_time(frames, lengths)
    if pooling in ("clip", "mean"):
        return mean
    valid = (torch.arange(frames.shape[1], device=frames.device) < lengths[:, None])[..., None]
    if pooling == "mean_std":
        square = ((frames - mean[:, None]).square() * valid).sum(1) / (lengths[:, None] - 1).clamp(min=1)
        return torch.cat([mean, square.sqrt()], dim=1)
    largest = frames.masked_fill(~valid, float("-inf")).amax(1)
    return largest if pooling == "max" else mean + largest


class RunningPool:
    """Pooling over time, part by part: the same numbers as ``pool`` over all frames, except for rounding."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: Tensor | Any = 0.0
        self.squares: Tensor | Any = 0.0
        self.largest: Tensor | None = None

    def add(self, frames: Tensor) -> None:
        """Add frames (T, D), T at least 1."""
        frames, n = frames.double(), len(frames)
        mean, total = frames.mean(0), self.count + n
        shift = mean - self.mean
        self.squares = self.squares + (frames - mean).square().sum(0) + shift.square() * (self.count * n / total)
        self.mean, self.count = self.mean + shift * (n / total), total
        largest = frames.amax(0)
        self.largest = largest if self.largest is None else torch.maximum(self.largest, largest)

    def pooled(self, pooling: str) -> np.ndarray:
        """Return (D,), or (2D,) for mean_std; "clip" is the mean."""
        assert self.largest is not None
        std = (self.squares / max(1, self.count - 1)).sqrt()
        vectors = {"max": self.largest, "mean_max": self.mean + self.largest}
        vectors["mean_std"] = torch.cat([self.mean, std])
        return vectors.get(pooling, self.mean).float().cpu().numpy()
