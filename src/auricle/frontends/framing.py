"""What the front ends share: frames of a waveform, power spectra, mel filter banks, and the power in their bands.

Frames are reflected at each clip's own end and are made in blocks of bounded memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

BLOCK_FRAMES = 4096  # frames held at once per thread, over the whole batch; 16 MB at 1024 samples a frame
CACHED_SAMPLES = 1 << 18  # of frames that a thread transforms at once: they and their spectra stay in its cache
FEWEST_FRAMES = 16  # with fewer, products take another kernel, and the last bit of a frame depends on their number


def reflect(wave: Tensor, lengths: Tensor | None, pad: int) -> Tensor:
    """Reflect waves at both ends, without repeating the end sample: (B, S) -> (B, S + 2 pad).

    Args:
        lengths: (B,) samples of each clip, each above ``pad``; None: all S. Values more than ``pad`` samples past a
            clip's own end are unspecified.
    """
    if torch.compiler.is_exporting():  # formats know this operation
        padded = torch.nn.functional.pad(wave, (pad, pad), mode="reflect")
    else:  # a fifth of its time
        last = wave.shape[1] - 1
        padded = torch.cat([wave[:, 1 : pad + 1].flip(1), wave, wave[:, last - pad : last].flip(1)], dim=1)
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
WIDE = 64  # groups that use more bins are halved


class BandGroup(NamedTuple):
    """Bands next to each other: the first bin that they use, the one after the last, weights (bands, bins) of power, and the
    same (bands, 2 bins) of the squares of real and imaginary parts side by side."""

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
def band_groups(bank: Callable[..., Tensor], *settings: float, device: torch.device) -> BandGroups:
    """Return the bank ``bank(*settings, device)`` in groups of bands."""
    weights = bank(*settings, torch.device("cpu"))
    groups = [part for rows in weights.split(GROUP) for part in halves(rows)]
    return tuple(
        BandGroup(first, stop, rows.contiguous().to(device), rows.repeat_interleave(2, 1).to(device))
        for first, stop, rows in groups
    )


def halves(rows: Tensor) -> list[tuple[int, int, Tensor]]:
    """Return the bins [first, stop) that bands use and their weights (bands, bins), by halves of the bands if these are many."""
    used = rows.any(0).nonzero()[:, 0].tolist() or [0]
    first, stop = used[0], used[-1] + 1
    if stop - first > WIDE and len(rows) > GROUP // 2:
        return [part for half in rows.split(GROUP // 2) for part in halves(half)]
    return [(first, stop, rows[:, first:stop])]


# ---- from a padded wave to the power in the bands of a bank


def band_power(
    wave: Tensor,
    window: Tensor,
    hop: int,
    groups: BandGroups,
    *,
    support: tuple[int, int],
    offset: Tensor | None = None,
) -> Tensor:
    """Compute the power of the frames of padded waves in the bands of a bank: (B, S) -> (B, F, T), T = 1 + (S - n) // hop.

    On a CPU this runs in blocks that stay in the cache. With gradients, on a GPU and while PyTorch traces, it is a chain of
    operations on many frames. Both give the same values but for rounding.

    Args:
        wave: (B, S) float32.
        window: (n,) weights of the samples of a frame, n even.
        hop: samples from one frame to the next.
        groups: of ``band_groups``.
        support: the first sample whose weight is not 0, and the one after the last; an even number of samples.
        offset: (B, T, 1) is subtracted from the samples of each frame; None: nothing.
    """
    traced = torch.compiler.is_exporting() or torch.compiler.is_compiling()
    if wave.is_cpu and not wave.requires_grad and not traced:
        return band_power_cached(wave.unfold(1, len(window), hop), window, groups, offset)
    parts, start, bins = [], 0, max(group.stop for group in groups)
    for frames in blocks_of_frames(wave, len(window), hop):
        stop = start + frames.shape[1]
        level = frames if offset is None else frames - offset[:, start:stop]
        spectrum = power(level, window, bins=bins, support=support).transpose(1, 2)
        parts.append(torch.cat([group.weights @ spectrum[:, group.first : group.stop] for group in groups], dim=1))
        start = stop
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)


def band_power_cached(frames: Tensor, window: Tensor, groups: BandGroups, offset: Tensor | None) -> Tensor:
    """Compute the power of frames (B, T, n) in the bands of a bank, (B, F, T), block by block.

    The bank is multiplied with the squares of real and imaginary parts, which the transform leaves side by side: adding them up
    first takes longer.
    """
    clips, total, size = frames.shape
    bands = [len(group.weights) for group in groups]
    mel = frames.new_empty(clips, sum(bands), total)
    for clip, frame in cached_blocks(clips, total, size):
        block = frames[clip, frame]
        windowed = block * window if offset is None else (block - offset[clip, frame]).mul_(window)
        rows = windowed.flatten(0, 1)
        count = len(rows)
        if count < FEWEST_FRAMES:
            rows = torch.nn.functional.pad(rows, (0, 0, 0, FEWEST_FRAMES - count))
        squares = torch.view_as_real(torch.fft.rfft(rows)).flatten(1).square_().t()
        power = rows.new_empty(sum(bands), len(rows))
        for group, out in zip(groups, power.split(bands)):
            torch.mm(group.of_squares, squares[2 * group.first : 2 * group.stop], out=out)
        mel[clip, :, frame] = power[:, :count].unflatten(1, block.shape[:2]).transpose(0, 1)
    return mel


def cached_blocks(clips: int, total: int, size: int) -> Iterator[tuple[slice, slice]]:
    """Yield which clips and which of their frames belong to a block: whole clips, or a part of one."""
    most = max(1, CACHED_SAMPLES * torch.get_num_threads() // size)
    together = max(1, most // total)
    length = -(-total // -(-total // most))  # of equal parts
    for clip in range(0, clips, together):
        for frame in range(0, total, length):
            yield slice(clip, clip + together), slice(frame, frame + length)
