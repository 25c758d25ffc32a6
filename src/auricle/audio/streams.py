"""Streams of sample blocks (n, channels): cut to another size, trimmed, or resampled.

Each function holds one block at a time, so a recording of many hours needs no more memory than a short one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import soxr

from auricle.audio.resample import Resampler, check_resampler, sinc_blocks


def recut_blocks(blocks: Iterable[np.ndarray], size: int) -> Iterator[np.ndarray]:
    """Yield the same samples in blocks of exactly ``size``; the last may be shorter, none is empty."""
    waiting: list[np.ndarray] = []
    held = 0
    for block in blocks:
        waiting.append(block)
        held += len(block)
        if held >= size:
            joined = np.concatenate(waiting)
            end = held - held % size
            yield from np.split(joined[:end], end // size)
            waiting, held = [joined[end:]], held - end
    if held:
        yield np.concatenate(waiting)


def trim_blocks(blocks: Iterable[np.ndarray], skip: int, count: int | None) -> Iterator[np.ndarray]:
    """Drop the first ``skip`` samples and yield the next ``count`` (None: all)."""
    for block in blocks:
        wanted = block[skip:]
        skip = max(0, skip - len(block))
        if count is not None:
            wanted = wanted[:count]
            count -= len(wanted)
        if len(wanted):
            yield wanted


def resample_blocks(
    blocks: Iterable[np.ndarray], from_rate: int, to_rate: int, channels: int, resampler: Resampler = "soxr"
) -> Iterator[np.ndarray]:
    """Resample a stream. The output joined is that of resampling the joined input in one call.

    With "soxr" it is the same bit for bit, with "sinc" except for rounding.
    """
    check_resampler(resampler)
    if from_rate == to_rate:
        yield from blocks
        return
    if resampler == "sinc":
        yield from sinc_blocks(blocks, from_rate, to_rate, channels)
        return
    stream = soxr.ResampleStream(from_rate, to_rate, channels, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block))
    yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True)
