"""Mel filter banks, and the product of a spectrum with one.

Two scales are in use. Slaney's (librosa's default) is M2D's; HTK's, with Kaldi's triangles, is that of EfficientAT and
MAE-AST.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

# Slaney's scale: specification m2d 1.2 point 5.
HZ_PER_MEL = 200.0 / 3  # linear below 1 kHz
BREAK_HZ = 1000.0
BREAK_MEL = BREAK_HZ / HZ_PER_MEL
LOG_STEP = np.log(6.4) / 27.0  # logarithmic above

GROUP = 16  # bands multiplied together with the few bins they use: a quarter of the time of one product with all bins

BandGroups = tuple[tuple[int, int, Tensor], ...]


def hz_to_mel(hz: np.ndarray) -> np.ndarray:
    """Convert hertz to mel on Slaney's scale: 200/3 Hz per mel up to 1 kHz, then logarithmic."""
    hz = np.asarray(hz, np.float64)
    return np.where(hz < BREAK_HZ, hz / HZ_PER_MEL, BREAK_MEL + np.log(np.maximum(hz, 1e-9) / BREAK_HZ) / LOG_STEP)


def mel_to_hz(mel: np.ndarray) -> np.ndarray:
    """Convert mel to hertz on Slaney's scale."""
    mel = np.asarray(mel, np.float64)
    return np.where(mel < BREAK_MEL, mel * HZ_PER_MEL, BREAK_HZ * np.exp(LOG_STEP * (mel - BREAK_MEL)))


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def slaney_bank(sample_rate: int, n_fft: int, n_mels: int, fmin: float, device: torch.device) -> Tensor:
    """Return the triangles (n_mels, n_fft / 2 + 1) float32 from ``fmin`` to half the rate, in hertz.

    They stand on the exact bin frequencies, each times 2 / its width in hertz: bit-identical to librosa 0.11's default.
    """
    edges = mel_to_hz(np.linspace(hz_to_mel(np.array(fmin)), hz_to_mel(np.array(sample_rate / 2)), n_mels + 2))
    ramps = edges[:, None] - np.fft.rfftfreq(n_fft, 1.0 / sample_rate)
    widths = np.diff(edges)[:, None]
    rise, fall = -ramps[:-2] / widths[:-1], ramps[2:] / widths[1:]
    bank = np.zeros((n_mels, n_fft // 2 + 1), np.float32)
    bank[:] = np.maximum(0.0, np.minimum(rise, fall))
    bank *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return torch.from_numpy(bank).to(device)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def kaldi_bank(n_mels: int, n_fft: int, sample_rate: int, fmin: float, fmax: float, device: torch.device) -> Tensor:
    """Return Kaldi's triangles (n_mels, n_fft / 2) in the mel domain, without the Nyquist bin, whose weight is 0.

    mel(f) = 1127 ln(1 + f / 700). The float32 order of operations is the original's (specification efficientat 4.3).
    """
    low, high = (1127.0 * math.log(1.0 + f / 700.0) for f in (fmin, fmax))
    step = (high - low) / (n_mels + 1)
    band = torch.arange(n_mels, dtype=torch.float32)[:, None]
    left, centre, right = (low + (band + n) * step for n in (0.0, 1.0, 2.0))
    mel = 1127.0 * (1.0 + torch.arange(n_fft // 2, dtype=torch.float32) * (sample_rate / n_fft) / 700.0).log()
    rise, fall = (mel - left) / (centre - left), (right - mel) / (right - centre)
    return torch.minimum(rise, fall).clamp_min(0.0).to(device)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def kaldi_band_groups(
    n_mels: int, n_fft: int, sample_rate: int, fmin: float, fmax: float, device: torch.device
) -> BandGroups:
    """Return ``kaldi_bank`` in groups of bands: first bin, the one after the last, and weights (GROUP, bins) of each."""
    groups = []
    for rows in kaldi_bank(n_mels, n_fft, sample_rate, fmin, fmax, torch.device("cpu")).split(GROUP):
        used = [0, *rows.any(0).nonzero()[:, 0].tolist()]
        first, stop = used[min(1, len(used) - 1)], used[-1] + 1
        groups.append((first, stop, rows[:, first:stop].contiguous().to(device)))
    return tuple(groups)


def apply_band_groups(groups: BandGroups, spectrum: Tensor) -> Tensor:
    """Multiply a spectrum (B, bins, T) with a bank in groups, without the bank's zeros: (B, n_mels, T)."""
    return torch.cat([weights @ spectrum[:, first:stop] for first, stop, weights in groups], dim=1)
