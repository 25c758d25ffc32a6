"""What the front ends share: frames of a waveform, power spectra, mel filter banks.

Frames are reflected at each clip's own end and are made in blocks of bounded memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

BLOCK_FRAMES = 4096  # frames held at once per thread, over the whole batch; 16 MB at 1024 samples a frame


def reflect(wave: Tensor, lengths: Tensor | None, pad: int) -> Tensor:
    """Reflect waves at both ends, without repeating the end sample: (B, S) -> (B, S + 2 pad).

    Args:
        lengths: (B,) samples of each clip, each above ``pad``; None: all S. Values more than ``pad`` samples past a
            clip's own end are unspecified.
    """
    padded = torch.nn.functional.pad(wave, (pad, pad), mode="reflect")
    if lengths is None:
        return padded
    step = torch.arange(pad, device=wave.device)
    source, target = lengths[:, None] - 2 - step, lengths[:, None] + pad + step  # mirrored about sample lengths - 1
    return padded.scatter(1, target, wave.gather(1, source))


def blocks_of_frames(wave: Tensor, size: int, hop: int) -> Iterator[Tensor]:
    """Yield views (B, t, size) of the T = 1 + (S - size) // hop frames of (B, S), t at most BLOCK_FRAMES * threads / B."""
    frames = wave.unfold(1, size, hop)
    if torch.compiler.is_exporting():  # a graph has no loop over blocks
        yield frames
        return
    total, block = frames.shape[1], max(1, BLOCK_FRAMES * torch.get_num_threads() // frames.shape[0])
    if total <= block:
        yield frames
        return
    for start in range(0, total, block):
        yield frames[:, start : start + block]


def power(frames: Tensor, window: Tensor, *, bins: int, support: tuple[int, int]) -> Tensor:
    """Compute the power spectrum (..., bins) of windowed frames (..., n).

    While ``torch.export`` traces, the transform is a product with Fourier matrices, because export formats have no complex
    numbers, and the graph holds no more of them than it needs (see ``folded_fourier``). Both give the same values but for
    rounding; the FFT is faster.

    Args:
        frames: (..., n) real samples, n even.
        window: (n,) weights of the samples.
        bins: number of frequencies, from 0 up.
        support: the first sample whose weight is not 0, and the one after the last; an even number of samples.
    """
    if torch.compiler.is_exporting():
        first, stop = support
        half = (stop - first) // 2
        left, right = (frames * window)[..., first:stop].split(half, dim=-1)
        left = left.flip(-1)
        cosines, sines = folded_fourier(half, frames.shape[-1], bins, frames.device)
        real, imaginary = (right + left) @ cosines, (right - left) @ sines
    else:
        spectrum = torch.fft.rfft(frames * window)[..., :bins]
        real, imaginary = spectrum.real, spectrum.imag
    return torch.addcmul(real.square(), imaginary, imaginary)


def folded_fourier(half: int, n: int, bins: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the Fourier transform of size n of frames that are folded about their centre: cosines and sines (half, bins).

    Power does not depend on the phase, so time may be counted from the centre between two samples. There, sums of the
    samples at equal distances meet cosines alone and differences sines alone: half of the Fourier matrix is enough.
    """
    turns = (2 * np.arange(half)[:, None] + 1) * np.arange(bins) % (2 * n)
    angle = turns * (np.pi / n)
    cosines, sines = (torch.from_numpy(values.astype(np.float32)) for values in (np.cos(angle), np.sin(angle)))
    return cosines.to(device), sines.to(device)


# ---- mel filter banks, and the product of a spectrum with one

# Slaney's scale: [m2d 1.2](docs/specification/m2d.md#s1-2) point 5.
HZ_PER_MEL = 200.0 / 3  # linear below 1 kHz
BREAK_HZ = 1000.0
BREAK_MEL = BREAK_HZ / HZ_PER_MEL
LOG_STEP = np.log(6.4) / 27.0  # logarithmic above

GROUP = 16  # bands multiplied together with the few bins they use: a quarter of the time of one product with all bins


class BandGroup(NamedTuple):
    """Bands next to each other: the first bin that they use, the one after the last, (bins, GROUP) weights of power, and (2 bins,
    GROUP) the same of the squares of real and imaginary parts side by side."""

    first: int
    stop: int
    weights: Tensor
    of_squares: Tensor


BandGroups = tuple[BandGroup, ...]


def hz_to_mel(hz: np.ndarray) -> np.ndarray:
    """Convert hertz to mel on Slaney's scale: 200/3 Hz per mel up to 1 kHz, then logarithmic."""
    hz = np.asarray(hz, np.float64)
    return np.where(hz < BREAK_HZ, hz / HZ_PER_MEL, BREAK_MEL + np.log(np.maximum(hz, 1e-9) / BREAK_HZ) / LOG_STEP)


def mel_to_hz(mel: np.ndarray) -> np.ndarray:
    """Convert mel to hertz on Slaney's scale."""
    mel = np.asarray(mel, np.float64)
    return np.where(mel < BREAK_MEL, mel * HZ_PER_MEL, BREAK_HZ * np.exp(LOG_STEP * (mel - BREAK_MEL)))


def slaney_centres(sample_rate: int, n_mels: int, fmin: float) -> np.ndarray:
    """Return the centres (n_mels,) in hertz of the bands of ``slaney_bank``."""
    low, high = hz_to_mel(np.array([fmin, sample_rate / 2]))
    return mel_to_hz(np.linspace(low, high, n_mels + 2))[1:-1]


def kaldi_centres(n_mels: int, fmin: float, fmax: float) -> np.ndarray:
    """Return the centres (n_mels,) in hertz of the bands of ``kaldi_bank``."""
    low, high = 1127.0 * np.log1p(np.array([fmin, fmax]) / 700.0)
    return 700.0 * np.expm1(np.linspace(low, high, n_mels + 2)[1:-1] / 1127.0)


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


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def htk_bank(sample_rate: int, n_fft: int, n_mels: int, fmin: float, device: torch.device) -> Tensor:
    """Return triangles (n_mels, n_fft / 2 + 1) float32 of height 1 from ``fmin`` to half the rate, in hertz.

    Their edges are equidistant on HTK's scale, m = 2595 log10(1 + f / 700)
    ([finetuning 9.2](docs/specification/finetuning.md#s9-2)).
    """
    low, high = 2595.0 * np.log10(1.0 + np.array([fmin, sample_rate / 2]) / 700.0)
    edges = 700.0 * (10.0 ** (np.linspace(low, high, n_mels + 2) / 2595.0) - 1.0)
    ramps = edges[:, None] - np.fft.rfftfreq(n_fft, 1.0 / sample_rate)
    widths = np.diff(edges)[:, None]
    bank = np.maximum(0.0, np.minimum(-ramps[:-2] / widths[:-1], ramps[2:] / widths[1:]))
    return torch.from_numpy(bank.astype(np.float32)).to(device)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def kaldi_bank(n_mels: int, n_fft: int, sample_rate: int, fmin: float, fmax: float, device: torch.device) -> Tensor:
    """Return Kaldi's triangles (n_mels, n_fft / 2) in the mel domain, without the Nyquist bin, whose weight is 0.

    mel(f) = 1127 ln(1 + f / 700). The float32 order of operations is the original's
    ([efficientat 4.3](docs/specification/efficientat.md#s4-3)).
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
    """Return ``kaldi_bank`` in groups of bands."""
    groups = []
    for rows in kaldi_bank(n_mels, n_fft, sample_rate, fmin, fmax, torch.device("cpu")).split(GROUP):
        used = [0, *rows.any(0).nonzero()[:, 0].tolist()]
        first, stop = used[min(1, len(used) - 1)], used[-1] + 1
        weights = rows[:, first:stop].t().contiguous().to(device)
        groups.append(BandGroup(first, stop, weights, weights.repeat_interleave(2, 0)))
    return tuple(groups)


def band_power(frames: Tensor, window: Tensor, groups: BandGroups, support: tuple[int, int]) -> Tensor:
    """Compute the power of windowed frames (B, T, n) in the bands of a bank: (B, T, n_mels).

    The bank is multiplied with the squares of real and imaginary parts, which the transform leaves side by side: adding them up
    first takes longer. ``support``, and what an exported graph holds, as for ``power``.
    """
    if torch.compiler.is_exporting():
        spectrum = power(frames, window, bins=max(group.stop for group in groups), support=support)
        return torch.cat([spectrum[..., group.first : group.stop] @ group.weights for group in groups], dim=2)
    parts = torch.view_as_real(torch.fft.rfft(frames * window)).flatten(2)
    squares = parts.square() if parts.requires_grad else parts.square_()
    return torch.cat([squares[..., 2 * group.first : 2 * group.stop] @ group.of_squares for group in groups], dim=2)
