"""Resampling in one call, with soxr's HQ setting (20-bit precision), which librosa and the published programs use."""

from __future__ import annotations

import numpy as np
import soxr

from auricle.errors import AuricleError


def resample(wave: np.ndarray, from_rate: int, to_rate: int) -> np.ndarray:
    """(..., S) float32 at ``from_rate`` hertz -> (..., S') at ``to_rate``, S' = S * to_rate / from_rate rounded.

    Raises AuricleError for a rate that is not a positive whole number of hertz.
    """
    from_rate, to_rate = positive_rate(from_rate), positive_rate(to_rate)
    if from_rate == to_rate or wave.shape[-1] == 0:
        return wave
    flat = np.ascontiguousarray(wave.reshape(-1, wave.shape[-1]).T, dtype=np.float32)
    out = soxr.resample(flat, from_rate, to_rate, quality="HQ")
    return np.ascontiguousarray(out.T).reshape(*wave.shape[:-1], -1)


def positive_rate(rate: float) -> int:
    """The sample rate as an int, or AuricleError."""
    if not rate > 0 or int(rate) != rate:
        raise AuricleError(f"a sample rate is a positive whole number of hertz, not {rate}")
    return int(rate)
