"""Streams of sample blocks: (n, channels) arrays in, the same samples out in another cut or at another rate.

Everything here holds one block at a time, so that recordings of many hours need no more memory than a short one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import soxr

from auricle.audio.resample import Resampler, known, sinc_pieces


def recut(pieces: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """The same samples in pieces of exactly ``size``; the last may be shorter, and none is empty."""
    waiting: list[np.ndarray] = []
    held = 0
    for piece in pieces:
        waiting.append(piece)
        held += len(piece)
        if held >= size:
            joined = np.concatenate(waiting)
            cut = held - held % size
            yield from np.split(joined[:cut], cut // size)
            waiting, held = [joined[cut:]], held - cut
    if held:
        yield np.concatenate(waiting)


def trimmed(pieces: Iterable[np.ndarray], skip: int, count: int | None) -> Iterator[np.ndarray]:
    """Without the first ``skip`` samples, and at most ``count`` of the rest (None: all of it)."""
    for piece in pieces:
        kept = piece[skip:]
        skip = max(0, skip - len(piece))
        if count is not None:
            kept = kept[:count]
            count -= len(kept)
        if len(kept):
            yield kept


def resampled(
    pieces: Iterable[np.ndarray], from_rate: int, to_rate: int, channels: int, resampler: Resampler = "soxr"
) -> Iterator[np.ndarray]:
    """Resampling over a stream. Joined, the output is that of resampling the joined input in one call: with "soxr" bit for
    bit, with "sinc" but for rounding."""
    known(resampler)
    if from_rate == to_rate:
        yield from pieces
        return
    if resampler == "sinc":
        yield from sinc_pieces(pieces, from_rate, to_rate, channels)
        return
    stream = soxr.ResampleStream(from_rate, to_rate, channels, dtype="float32", quality="HQ")
    for piece in pieces:
        yield stream.resample_chunk(np.ascontiguousarray(piece))
    yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True)
