"""A recording of hours as one clip, in bounded memory: for encoders whose chunks do not see each other.

The sound is decoded, turned into a spectrogram and encoded a minute or so at a time. The pieces are whole chunks of the
spectrogram of the whole recording, so what comes out is what encoding it in one call gives, but for rounding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from auricle.models.contract import Encoded, Encoder, Spec

PIECE_SECONDS = 60.0
CONTEXT = 2  # frames on either side that a front end's window may reach into (of 25 ms, in steps of 10 ms)


def encoded_pieces(waves: Iterable[np.ndarray], encoder: Encoder, **options: Any) -> Iterator[Encoded]:
    """Consecutive waves (n,) of one recording -> one Encoded (batch 1) per piece; times count from its beginning.

    ``options`` are those of ``Encoder.encode``.
    """
    for spec, start in spectrograms(waves, encoder):
        out = encoder.encode(spec, **options)
        yield replace(out, times=out.times + start * spec.hop_seconds)


def spectrograms(waves: Iterable[np.ndarray], encoder: Encoder) -> Iterator[tuple[Spec, int]]:
    """(spectrogram, its first frame) of each piece. Frames at a cut see the sound on both sides of it."""
    front, chunk = encoder.front, int(encoder.info.chunk_frames or 0)
    frames = chunk * max(1, round(PIECE_SECONDS / (chunk * front.hop_seconds)))
    hop = round(front.hop_seconds * front.sample_rate)
    held, first = np.zeros(0, np.float32), 0
    for wave in waves:
        held = np.concatenate([held, wave])
        before = CONTEXT if first else 0
        while len(held) > (needed := (before + frames + CONTEXT + 1) * hop):
            yield _cut(encoder, held[:needed], before, before + frames), first
            held = held[(before + frames - CONTEXT) * hop :]
            before, first = CONTEXT, first + frames
    before = CONTEXT if first else 0
    if not first or front.frames(len(held)) - before >= encoder.least_frames:  # else one call leaves them out as well
        yield _cut(encoder, held, before, None), first


def _cut(encoder: Encoder, held: np.ndarray, begin: int, end: int | None) -> Spec:
    """Frames ``begin`` to ``end`` (None: to the last) of the spectrogram of (n,) samples."""
    spec = encoder.frontend(torch.from_numpy(held)[None].to(encoder.norm_stats.device))
    values = spec.values[:, :, begin:end]
    return replace(spec, values=values, lengths=torch.full_like(spec.lengths, values.shape[2]))


class Tally:
    """Pooling over time, added up piece by piece: the same numbers as pooling all frames at once, but for rounding."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: Tensor | Any = 0.0
        self.squares: Tensor | Any = 0.0
        self.largest: Tensor | None = None

    def add(self, frames: Tensor) -> None:
        """(T, D), T at least 1."""
        frames, n = frames.double(), len(frames)
        mean, total = frames.mean(0), self.count + n
        apart = mean - self.mean
        self.squares = self.squares + (frames - mean).square().sum(0) + apart.square() * (self.count * n / total)
        self.mean, self.count = self.mean + apart * (n / total), total
        largest = frames.amax(0)
        self.largest = largest if self.largest is None else torch.maximum(self.largest, largest)

    def pooled(self, pooling: str) -> np.ndarray:
        """(D,), or (2D,) for mean_std; "clip" is the mean."""
        assert self.largest is not None
        deviation = (self.squares / max(1, self.count - 1)).sqrt()
        vectors = {"max": self.largest, "mean_max": self.mean + self.largest}
        vectors["mean_std"] = torch.cat([self.mean, deviation])
        return vectors.get(pooling, self.mean).float().cpu().numpy()
