"""What every encoder asks of its input before it looks at it: words for what cannot be, padding for what is too short."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from auricle.errors import AuricleError

Padding = Literal["exact", "published"]


def check_wave(wave: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(B, S) float32 and (B,) int64 lengths, or AuricleError saying what was found and what to do."""
    if not isinstance(wave, Tensor):
        raise AuricleError(f"expected a tensor (B, S), got {type(wave).__name__}; torch.from_numpy(array) makes one")
    if wave.ndim != 2:
        raise AuricleError(
            f"expected a waveform (B, S), got shape {tuple(wave.shape)}; use wave[None] for a single clip"
        )
    if wave.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        raise AuricleError(
            f"expected float32 samples in [-1, 1], got {wave.dtype}; convert with wave.float() and scale"
        )
    if wave.shape[0] == 0 or wave.shape[1] == 0:
        raise AuricleError(f"the waveform is empty (shape {tuple(wave.shape)}); at least one sample is needed")
    if not _all_finite(wave):
        raise AuricleError("the waveform holds NaN or infinite samples; repair or drop the clip")
    if lengths is None:
        lengths = torch.full((wave.shape[0],), wave.shape[1], device=wave.device)
    lengths = torch.as_tensor(lengths, device=wave.device).long()
    if lengths.shape != (wave.shape[0],) or lengths.min() < 1 or lengths.max() > wave.shape[1]:
        raise AuricleError(f"lengths must be ({wave.shape[0]},) between 1 and {wave.shape[1]}, got {lengths.tolist()}")
    return wave.float(), lengths


def check_padding(padding: str) -> None:
    """Raises AuricleError for what is neither "exact" nor "published"."""
    if padding not in get_args(Padding):
        raise AuricleError(f"padding is one of {', '.join(get_args(Padding))}, not {padding!r}")


def check_keep(keep: Tensor, clips: int, tokens: int) -> Tensor:
    """``keep`` as int64. Raises AuricleError unless it is (B, K), K at least 1, of token indices below ``tokens``."""
    whole = not keep.is_floating_point() and keep.dtype != torch.bool
    if keep.ndim != 2 or len(keep) != clips or keep.shape[1] < 1 or not whole:
        raise AuricleError(
            f"keep must be ({clips}, K) whole numbers, K at least 1, got {tuple(keep.shape)} {keep.dtype}"
        )
    if keep.min() < 0 or keep.max() >= tokens:
        raise AuricleError(f"keep names tokens {int(keep.min())} to {int(keep.max())}; there are 0 to {tokens - 1}")
    return keep.long()


def zero_padded(wave: Tensor, lengths: Tensor, least: int) -> tuple[Tensor, Tensor]:
    """(B, S), (B,) with every clip at least ``least`` samples long; what followed a short clip in its row becomes zero."""
    if not (lengths < least).any():
        return wave, lengths
    wave = wave * (torch.arange(wave.shape[1], device=wave.device) < lengths[:, None])
    return nn.functional.pad(wave, (0, max(0, least - wave.shape[1]))), lengths.clamp(min=least)


def _all_finite(wave: Tensor) -> bool:
    """One pass in the usual case: a sum is finite only when every term is, but finite terms may overflow."""
    return bool(torch.isfinite(wave.sum(dtype=torch.float32))) or bool(torch.isfinite(wave).all())
