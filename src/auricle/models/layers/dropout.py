"""Dropout that costs little on a CPU: PyTorch's draws one float per value in one thread, this one 16 bits of a fast stream."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

LEVELS = 2**16  # of the rate: a 16-bit number decides
INTEGERS = {torch.bfloat16: torch.int16, torch.float16: torch.int16, torch.float32: torch.int32}


def dropped(x: Tensor, rate: float, training: bool) -> Tensor:
    """Dropout, and nothing at all where there is none; drawn from a stream that PyTorch's default generator seeds.

    On the CPU the rate is rounded to a multiple of 2^-16 and the values kept are scaled by that rate; there it takes
    about a fifth of the time of PyTorch's own, forward and backward (4 x 12 x 496 x 496 bfloat16: 17 ms, not 85).
    """
    if not training or rate == 0:
        return x
    if x.device.type != "cpu" or x.dtype not in INTEGERS:
        return functional.dropout(x, rate, True)
    return _Dropout.apply(x, round(LEVELS * (1 - rate)))


class _Dropout(torch.autograd.Function):
    """Keeps a value with probability ``kept`` / LEVELS. The mask is an integer of the value's own size, all ones or zero."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kept: int) -> Tensor:
        mask = _mask(x, kept)
        ctx.save_for_backward(mask)
        ctx.scale = LEVELS / kept
        return _masked(x, mask, ctx.scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        return _masked(grad, ctx.saved_tensors[0], ctx.scale), None


def _mask(x: Tensor, kept: int) -> Tensor:
    """All ones where 16 random bits, read as a signed number, lie below ``kept`` - LEVELS / 2."""
    bound = kept - LEVELS // 2
    seed = int(torch.randint(2**62, ()))
    words = np.random.SFC64(seed).random_raw(-(-x.numel() // 4))
    bits = torch.from_numpy(words.view(np.int16))[: x.numel()].view(x.shape)
    mask = bits.clamp_(bound - 1, bound).sub_(bound) if bound < LEVELS // 2 else bits.fill_(-1)
    return mask.to(INTEGERS[x.dtype])


def _masked(x: Tensor, mask: Tensor, scale: float) -> Tensor:
    scaled = x.contiguous() * scale
    scaled.view(mask.dtype).bitwise_and_(mask)
    return scaled
