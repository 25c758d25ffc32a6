"""Centred frames of a waveform: reflection at each clip's own end, blocks of bounded memory, power spectra."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK_FRAMES = 4096  # frames held at once per thread, over the whole batch; 16 MB at 1024 samples a frame


def reflect(wave: Tensor, ends: Tensor | None, pad: int) -> Tensor:
    """(B, S) -> (B, S + 2 pad), reflected at both ends (the end sample is not repeated).

    ``ends`` (B,) are the clips' own lengths, each above ``pad``; None when all are S. What lies more than ``pad``
    samples past a clip's own end is unspecified.
    """
    padded = torch.nn.functional.pad(wave, (pad, pad), mode="reflect")
    if ends is None:
        return padded
    step = torch.arange(pad, device=wave.device)
    before, behind = ends[:, None] - 2 - step, ends[:, None] + pad + step  # mirrored about the sample ends - 1
    return padded.scatter(1, behind, wave.gather(1, before))


def blocks_of_frames(wave: Tensor, size: int, hop: int) -> Iterator[Tensor]:
    """(B, S) -> views (B, t, size), t at most BLOCK_FRAMES * threads / B, T = 1 + (S - size) // hop frames in all."""
    frames = wave.unfold(1, size, hop)
    total, block = frames.shape[1], max(1, BLOCK_FRAMES * torch.get_num_threads() // frames.shape[0])
    if total <= block:
        yield frames
        return
    for start in range(0, total, block):
        yield frames[:, start : start + block]


def power(frames: Tensor) -> Tensor:
    """(..., n) real -> (..., n / 2 + 1) re² + im², real-valued."""
    spectrum = torch.fft.rfft(frames)
    return torch.addcmul(spectrum.real.square(), spectrum.imag, spectrum.imag)
