"""Mirrored padding and the cutting into frames as slices and concatenations, with the same values.

Converters of graphs of one length turn both into tables of indices: megabytes in the file, and a single read for every sample of
every frame. ``in_slices`` rewrites a traced graph before it is converted.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.export import ExportedProgram


def mirrored(values: Tensor, pad: list[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """``torch.nn.functional.pad``; mirrored padding of the last dimension as slices."""
    if mode == "constant":
        return torch.ops.aten.constant_pad_nd(values, pad, value or 0.0)
    if mode != "reflect" or len(pad) != 2:
        return NotImplemented
    before, after = pad
    size = values.shape[-1]
    left, right = values[..., 1 : before + 1], values[..., size - 1 - after : size - 1]
    return torch.cat([left.flip(-1), values, right.flip(-1)], dim=-1)


def framed(values: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """``Tensor.unfold`` of the last dimension, (..., S) -> (..., T, size): blocks of ``step`` samples, side by side."""
    if dimension % values.ndim != values.ndim - 1 or step > size:
        return NotImplemented
    count = 1 + (values.shape[-1] - size) // step
    parts = -(-size // step)
    whole = (count + parts - 1) * step
    values = torch.nn.functional.pad(values, (0, max(0, whole - values.shape[-1])))[..., :whole]
    blocks = values.reshape(*values.shape[:-1], -1, step)
    beside = [blocks[..., part : part + count, :] for part in range(parts)]
    return torch.cat(beside, dim=-1)[..., :size]


REWRITTEN = {torch.ops.aten.pad.default: mirrored, torch.ops.aten.unfold.default: framed}


def in_slices(program: ExportedProgram) -> ExportedProgram:
    """Return a traced graph with paddings and frames as slices, where they can be."""
    return program.run_decompositions(dict(REWRITTEN))
