"""Windowed-sinc resampling with torchaudio's default setting, which MAE-AST was trained with (specification mae_ast 8).

With the rates reduced to o and n, and c = 0.99 min(o, n) / o, output j is the sum over input samples k of
x[k] c sinc(t) cos²(pi t / 12), t = c (k - j o / n), |t| < 6; the clip is surrounded by zeros.
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

ZEROS = 6  # zero crossings of the sinc on each side
ROLLOFF = 0.99
OUTPUTS = 16  # computed together: a matrix product with the samples that they share
PIECE = 1 << 20  # samples of a whole wave resampled at a time


@dataclass(frozen=True)
class Bank:
    """Filters of one period: ``step`` input samples, ``outputs`` output samples, each reaching ``reach`` samples to both
    sides. groups: the first sample of a group of consecutive outputs, and its weights (outputs, taps)."""

    groups: tuple[tuple[int, np.ndarray], ...]
    outputs: int
    step: int
    reach: int


@lru_cache(maxsize=16)
def bank(from_rate: int, to_rate: int) -> Bank:
    """The filters of a pair of rates in hertz."""
    common = math.gcd(from_rate, to_rate)
    old, new = from_rate // common, to_rate // common
    repeats = -(-OUTPUTS // new)
    scale = ROLLOFF * min(old, new) / old
    reach = math.ceil(ZEROS / scale)
    places = np.arange(repeats * new) * (old / new)  # of the outputs, in input samples
    groups = []
    for part in np.array_split(places, max(1, len(places) // OUTPUTS)):
        first = int(part[0])
        t = scale * (np.arange(first - reach, int(part[-1]) + reach + 2) - part[:, None])
        weights = scale * np.sinc(t) * np.cos(np.pi * t / (2 * ZEROS)) ** 2
        groups.append((first, np.where(np.abs(t) < ZEROS, weights, 0.0).astype(np.float32)))
    return Bank(tuple(groups), repeats * new, repeats * old, reach)


def sinc_pieces(pieces: Iterable[np.ndarray], from_rate: int, to_rate: int, channels: int) -> Iterator[np.ndarray]:
    """(n, channels) blocks at one rate -> the same sound at the other; ceil(n * to_rate / from_rate) samples in all."""
    filters = bank(from_rate, to_rate)
    held, heard, given = np.zeros((filters.reach, channels), np.float32), 0, 0
    for piece in pieces:
        heard += len(piece)
        held = np.concatenate([held, piece])
        count = max(0, len(held) - 2 * filters.reach - 1) // filters.step
        out = filtered(held, filters, count)
        held = held[count * filters.step :]
        given += len(out)
        yield out
    left = -(-heard * to_rate // from_rate) - given
    behind = np.zeros((filters.step + 2 * filters.reach + 1, channels), np.float32)
    yield filtered(np.concatenate([held, behind]), filters, -(-left // filters.outputs))[:left]


def filtered(samples: np.ndarray, filters: Bank, count: int) -> np.ndarray:
    """``count`` periods of outputs from (n, channels) samples, the first ``reach`` of them context."""
    parts = [np.zeros((count, samples.shape[1], 0), np.float32)]
    for first, weights in filters.groups if count else ():
        windows = np.lib.stride_tricks.sliding_window_view(samples[first:], weights.shape[1], axis=0)
        parts.append(np.ascontiguousarray(windows[:: filters.step][:count]) @ weights.T)
    return np.concatenate(parts, axis=2).transpose(0, 2, 1).reshape(-1, samples.shape[1])


def sinc_resample(wave: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """(S, channels) float32 -> (ceil(S * to_rate / from_rate), channels)."""
    pieces = (wave[start : start + PIECE] for start in range(0, len(wave), PIECE))
    return np.concatenate(list(sinc_pieces(pieces, from_rate, to_rate, wave.shape[1])))


# Resampling in one call. "soxr" is its HQ setting (20-bit precision), which librosa and most published programs use;
# "sinc" is torchaudio's windowed sinc, MAE-AST's own (``audio/resample.py``).

Resampler = Literal["soxr", "sinc"]
RESAMPLERS = {"soxr": "soxr HQ", "sinc": "windowed sinc, width 6, rolloff 0.99"}  # what the names stand for


def resample(wave: np.ndarray, from_rate: int, to_rate: int, resampler: Resampler = "soxr") -> np.ndarray:
    """(..., S) float32 at ``from_rate`` hertz -> (..., S') at ``to_rate``, S' = S * to_rate / from_rate rounded
    ("soxr") or rounded up ("sinc").

    Raises AuricleError for a rate that is not a positive whole number of hertz and for an unknown resampler.
    """
    from_rate, to_rate = positive_rate(from_rate), positive_rate(to_rate)
    known(resampler)
    if from_rate == to_rate or wave.shape[-1] == 0:
        return wave
    flat = np.ascontiguousarray(wave.reshape(-1, wave.shape[-1]).T, dtype=np.float32)
    if resampler == "sinc":
        out = sinc_resample(flat, from_rate, to_rate)
    else:
        out = soxr.resample(flat, from_rate, to_rate, quality="HQ")
    return np.ascontiguousarray(out.T).reshape(*wave.shape[:-1], -1)


def known(resampler: str) -> None:
    """Raises AuricleError for a name that no resampler has."""
    if resampler not in RESAMPLERS:
        raise AuricleError(f"unknown resampler '{resampler}'{nearest(resampler, tuple(RESAMPLERS))}")


def positive_rate(rate: float) -> int:
    """The sample rate as an int, or AuricleError."""
    if not rate > 0 or int(rate) != rate:
        raise AuricleError(f"a sample rate is a positive whole number of hertz, not {rate}")
    return int(rate)
