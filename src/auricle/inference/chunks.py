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

from auricle.models.base import Encoder
from auricle.models.inputs import mean_over_time
from auricle.models.outputs import EncoderOutput, Spectrogram

PART_SECONDS = 60.0
CONTEXT = 2  # frames on either side that a front end's window may reach into (of 25 ms, in steps of 10 ms)


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
    """Yield (spectrogram, its first frame) of each part. Frames at a cut are computed from the audio on both sides."""
    front, chunk = encoder.front, int(encoder.info.chunk_frames or 0)
    frames = chunk * max(1, round(PART_SECONDS / (chunk * front.hop_seconds)))
    hop = round(front.hop_seconds * front.sample_rate)
    held, first = np.zeros(0, np.float32), 0
    for block in blocks:
        held = np.concatenate([held, block])
        before = CONTEXT if first else 0
        while len(held) > (needed := (before + frames + CONTEXT + 1) * hop):
            yield _spectrogram(encoder, held[:needed], before, before + frames), first
            held = held[(before + frames - CONTEXT) * hop :]
            before, first = CONTEXT, first + frames
    before = CONTEXT if first else 0
    if (
        not first or front.num_frames(len(held)) - before >= encoder.least_frames
    ):  # else one call leaves them out as well
        yield _spectrogram(encoder, held, before, None), first


def _spectrogram(encoder: Encoder, held: np.ndarray, begin: int, end: int | None) -> Spectrogram:
    """Frames ``begin`` to ``end`` (None: to the last) of the spectrogram of (n,) samples."""
    spec = encoder.frontend(torch.from_numpy(held)[None].to(encoder.norm_stats.device))
    values = spec.values[:, :, begin:end]
    return replace(spec, values=values, lengths=torch.full_like(spec.lengths, values.shape[2]))


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
