"""Resampling in one call. "soxr" is its HQ setting (20-bit precision), which librosa and most published programs use;
"sinc" is torchaudio's windowed sinc, MAE-AST's own (``signal/sinc.py``).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import soxr

from auricle.errors import AuricleError, nearest
from auricle.signal.sinc import sinc_resample

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
