"""Fixed sine/cosine position tables: M2D's grids (specification m2d 2.3) and their resizing (6.5), MAE-AST's lines."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def sincos(embed_dim: int, positions: np.ndarray) -> np.ndarray:
    """(n,) -> (n, embed_dim) float64: all sines first, then all cosines, at frequencies 10000^(-j / (embed_dim/2))."""
    half = embed_dim // 2
    angles = np.outer(positions, 10000.0 ** (-np.arange(half, dtype=np.float64) / half))
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1)


def grid_table(embed_dim: int, grid: tuple[int, int]) -> Tensor:
    """(1, 1 + F*T, embed_dim) float32. Row 0, the class token's, is zero; token f*T + t is [e(t), e(f)]."""
    rows, columns = grid
    f, t = np.repeat(np.arange(rows), columns), np.tile(np.arange(columns), rows)
    table = np.concatenate([sincos(embed_dim // 2, t), sincos(embed_dim // 2, f)], axis=1)
    return torch.from_numpy(np.concatenate([np.zeros((1, embed_dim)), table])).float()[None]


def resized(table: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """A table for another grid. Wider: bicubic over (F, T); not wider: the first columns (specification m2d 6.5)."""
    head, body = table[:, :1], table[:, 1:].reshape(1, *old, -1)
    if new[1] > old[1] or new[0] != old[0]:
        body = functional.interpolate(body.permute(0, 3, 1, 2), size=new, mode="bicubic", align_corners=False)
        body = body.permute(0, 2, 3, 1)
    return torch.cat([head, body[:, :, : new[1]].reshape(1, new[0] * new[1], -1)], dim=1)


FEWEST_ROWS = 1024  # of a cached table; longer ones grow by doubling


def line_rows(embed_dim: int, count: int, device: torch.device) -> Tensor:
    """(count, embed_dim) float32: the first rows of MAE-AST's table (specification mae_ast 4.1), from a cached one."""
    if torch.compiler.is_compiling():  # a cached tensor must not be a part of two graphs
        return line_table(embed_dim, count).to(device)
    return _line(embed_dim, max(FEWEST_ROWS, 1 << (count - 1).bit_length()), device)[:count]


def line_table(embed_dim: int, length: int) -> Tensor:
    """(length, embed_dim) float32: sine and cosine interleaved, column pair i at the rate exp(-2 i ln(10000) / embed_dim).

    All in float32, as the published tables are: far rows differ from exact ones by up to 3e-3.
    """
    rates = torch.exp(torch.arange(0, embed_dim, 2) * (-math.log(10000.0) / embed_dim))
    angles = torch.arange(length)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _line(embed_dim: int, length: int, device: torch.device) -> Tensor:
    return line_table(embed_dim, length).to(device)
