"""Resampling of whole waves and of streams of blocks, and torchaudio's windowed sinc.

"soxr" is its HQ setting (20-bit precision), which librosa and most published programs use. "sinc" is torchaudio's default
setting, with which MAE-AST was trained ([mae_ast 8](docs/specification/mae_ast.md#s8)): with the rates reduced to o and n, and
c = 0.99 min(o, n) / o, output j is the sum over input samples k of x[k] c sinc(t) cos²(pi t / 12), t = c (k - j o / n),
|t| < 6. Around the clip there are zeros. Streams are resampled with the same results.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import soxr

from auricle.core.errors import AuricleError, nearest

# ---- streams of sample blocks (n, channels)


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


class ResampleStream:
    """Resamples one wave that is fed by hand; the output joined is that of ``resample_blocks``.

    Args:
        from_rate, to_rate: hertz.
        resampler: "soxr" or "sinc".
    """

    def __init__(self, from_rate: int, to_rate: int, resampler: Resampler = "soxr"):
        check_resampler(resampler)
        self.from_rate = from_rate
        self._sinc = SincStream(from_rate, to_rate, 1) if resampler == "sinc" and from_rate != to_rate else None
        self._soxr = None
        if resampler == "soxr" and from_rate != to_rate:
            self._soxr = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="HQ")

    def push(self, wave: np.ndarray) -> np.ndarray:
        """Take the next samples (n,) float32 and return (m,), those that are known by now."""
        return self._next(wave, last=False)

    def flush(self) -> np.ndarray:
        """End the wave and return its last samples (m,)."""
        return self._next(np.zeros(0, np.float32), last=True)

    def _next(self, wave: np.ndarray, last: bool) -> np.ndarray:
        if self._soxr is not None:
            return self._soxr.resample_chunk(np.ascontiguousarray(wave)[:, None], last=last)[:, 0]
        if self._sinc is not None:
            return (self._sinc.flush() if last else self._sinc.push(wave[:, None]))[:, 0]
        return wave


Resampler = Literal["soxr", "sinc"]
MIN_RATE, MAX_RATE = 100, 4_000_000  # hertz of recordings; at lower rates a few kilobytes would become a gigabyte
RESAMPLERS = {"soxr": "soxr HQ", "sinc": "windowed sinc, width 6, rolloff 0.99"}  # descriptions, part of cache keys

ZERO_CROSSINGS = 6  # of the sinc on each side
ROLLOFF = 0.99
GROUP = 16  # outputs computed together: a matrix product with the samples that they share
BLOCK_SAMPLES = 1 << 20  # of a whole wave, resampled at a time


def resample(wave: np.ndarray, from_rate: int, to_rate: int, resampler: Resampler = "soxr") -> np.ndarray:
    """Resample waves.

    Args:
        wave: (..., S) float32.
        from_rate, to_rate: hertz.
        resampler: "soxr" or "sinc".

    Returns:
        (..., S'), S' = S * to_rate / from_rate, rounded ("soxr") or rounded up ("sinc").

    Raises:
        AuricleError: for a rate that is not a positive whole number, and for an unknown resampler.
    """
    from_rate, to_rate = check_rate(from_rate), check_rate(to_rate)
    check_resampler(resampler)
    if from_rate == to_rate or wave.shape[-1] == 0:
        return wave
    flat = np.ascontiguousarray(wave.reshape(-1, wave.shape[-1]).T, dtype=np.float32)
    if resampler == "sinc":
        blocks = (flat[start : start + BLOCK_SAMPLES] for start in range(0, len(flat), BLOCK_SAMPLES))
        out = np.concatenate(list(sinc_blocks(blocks, from_rate, to_rate, flat.shape[1])))
    else:
        out = soxr.resample(flat, from_rate, to_rate, quality="HQ")
    return np.ascontiguousarray(out.T).reshape(*wave.shape[:-1], -1)


def check_resampler(resampler: str) -> None:
    """Raise AuricleError for an unknown resampler."""
    if resampler not in RESAMPLERS:
        raise AuricleError(f"unknown resampler '{resampler}'{nearest(resampler, tuple(RESAMPLERS))}")


def check_rate(rate: float) -> int:
    """Return a sample rate as int. Raises AuricleError unless it is a positive whole number."""
    try:
        hertz = float(rate)
    except Exception:  # text, a tensor without values, a complex number, …
        hertz = 0.0
    if not (hertz > 0 and hertz.is_integer()):
        raise AuricleError(f"a sample rate is a positive whole number of hertz, not {rate}")
    return int(hertz)


# ---- windowed sinc
def sinc_blocks(blocks: Iterable[np.ndarray], from_rate: int, to_rate: int, channels: int) -> Iterator[np.ndarray]:
    """Resample consecutive blocks (n, channels) with the windowed sinc.

    Yields blocks (m, channels) that have ceil(N * to_rate / from_rate) samples together, N being all input samples.
    """
    stream = SincStream(from_rate, to_rate, channels)
    for block in blocks:
        yield stream.push(block)
    yield stream.flush()


class SincStream:
    """The windowed sinc of a stream of samples (n, channels) that is fed by hand."""

    def __init__(self, from_rate: int, to_rate: int, channels: int):
        self.from_rate, self.to_rate, self.filters = from_rate, to_rate, sinc_filters(from_rate, to_rate)
        self.held, self.received, self.sent = np.zeros((self.filters.reach, channels), np.float32), 0, 0

    def push(self, block: np.ndarray) -> np.ndarray:
        """Take (n, channels) samples and return (m, channels), as far as they are known."""
        filters = self.filters
        self.received += len(block)
        held = np.concatenate([self.held, block])
        periods = max(0, len(held) - 2 * filters.reach - 1) // filters.step
        out = _filtered(held, filters, periods)
        self.held = held[periods * filters.step :]
        self.sent += len(out)
        return out

    def flush(self) -> np.ndarray:
        """Return the last samples (m, channels)."""
        filters = self.filters
        remaining = -(-self.received * self.to_rate // self.from_rate) - self.sent
        zeros = np.zeros((filters.step + 2 * filters.reach + 1, self.held.shape[1]), np.float32)
        return _filtered(np.concatenate([self.held, zeros]), filters, -(-remaining // filters.outputs))[:remaining]


@dataclass(frozen=True)
class SincFilters:
    """The filters of one period, in which ``step`` input samples become ``outputs`` output samples.

    Attributes:
        groups: for each group of consecutive outputs, its first input sample and its weights (outputs, taps).
        reach: input samples on each side that an output depends on.
    """

    groups: tuple[tuple[int, np.ndarray], ...]
    outputs: int
    step: int
    reach: int


@lru_cache(maxsize=16)
def sinc_filters(from_rate: int, to_rate: int) -> SincFilters:
    """Return the filters for a pair of rates in hertz."""
    common = math.gcd(from_rate, to_rate)
    old, new = from_rate // common, to_rate // common
    repeats = -(-GROUP // new)
    scale = ROLLOFF * min(old, new) / old
    reach = math.ceil(ZERO_CROSSINGS / scale)
    positions = np.arange(repeats * new) * (old / new)  # of the outputs, in input samples
    groups = []
    for part in np.array_split(positions, max(1, len(positions) // GROUP)):
        first = int(part[0])
        t = scale * (np.arange(first - reach, int(part[-1]) + reach + 2) - part[:, None])
        weights = scale * np.sinc(t) * np.cos(np.pi * t / (2 * ZERO_CROSSINGS)) ** 2
        groups.append((first, np.where(np.abs(t) < ZERO_CROSSINGS, weights, 0.0).astype(np.float32)))
    return SincFilters(tuple(groups), repeats * new, repeats * old, reach)


def _filtered(samples: np.ndarray, filters: SincFilters, periods: int) -> np.ndarray:
    """The outputs of ``periods`` periods from (n, channels) samples, the first ``reach`` of which are context."""
    parts = [np.zeros((periods, samples.shape[1], 0), np.float32)]
    for first, weights in filters.groups if periods else ():
        windows = np.lib.stride_tricks.sliding_window_view(samples[first:], weights.shape[1], axis=0)
        parts.append(np.ascontiguousarray(windows[:: filters.step][:periods]) @ weights.T)
    return np.concatenate(parts, axis=2).transpose(0, 2, 1).reshape(-1, samples.shape[1])
