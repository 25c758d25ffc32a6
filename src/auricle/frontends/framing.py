"""Frames of a waveform: reflection at each clip's own end, blocks of bounded memory, power spectra."""

from __future__ import annotations

from collections.abc import Iterator

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


def power(frames: Tensor) -> Tensor:
    """Compute the power spectrum (..., n / 2 + 1) of real frames (..., n).

    While ``torch.export`` traces, the transform is a product with the real and imaginary parts of the Fourier matrix,
    because export formats have no complex numbers. Both give the same values but for rounding; the FFT is faster.
    """
    if torch.compiler.is_exporting():
        real, imaginary = (frames @ matrix for matrix in fourier_matrix(frames.shape[-1], frames.device))
    else:
        spectrum = torch.fft.rfft(frames)
        real, imaginary = spectrum.real, spectrum.imag
    return torch.addcmul(real.square(), imaginary, imaginary)


def fourier_matrix(n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the real and the imaginary part (n, n / 2 + 1) of the Fourier transform of n real samples."""
    turns = torch.arange(n, device=device)[:, None] * torch.arange(n // 2 + 1, device=device) % n
    angle = turns.double() * (2 * torch.pi / n)
    return angle.cos().float(), -angle.sin().float()
