"""How spectrograms of different lengths are cut into what M2D encodes at once (specification m2d 6.3)."""

from __future__ import annotations

import torch
from torch import Tensor

Piece = tuple[int, int, int]  # clip, chunk, patch columns


class Chunks:
    """Which columns each chunk of each clip gives.

    The last chunk of a clip is completed to whole patches; with ``whole`` patches only, its incomplete column is dropped
    instead, unless it is the only one.
    """

    def __init__(self, lengths: list[int], chunk: int, patch: int, *, whole: bool = False):
        self.chunk, self.patch, self.full = chunk, patch, chunk // patch
        self.lengths, self.whole = lengths, whole
        self.pieces: list[Piece] = [
            (clip, i, self._columns(min(n - i * chunk, chunk)))
            for clip, n in enumerate(lengths)
            for i in range(-(-n // chunk))
        ]
        self.columns = [sum(c for b, _, c in self.pieces if b == clip) for clip in range(len(lengths))]
        self.total = max(self.columns)
        self.starts = list(range(0, self.total, self.full))

    def _columns(self, frames: int) -> int:
        columns = max(1, frames // self.patch) if self.whole else -(-frames // self.patch)
        return min(columns, self.full)

    def passes(self, at_most: int) -> list[list[Piece]]:
        """Groups of pieces to encode together, longest first, so that full chunks share a pass without a mask."""
        ordered = sorted(self.pieces, key=lambda piece: -piece[2])
        return [ordered[i : i + at_most] for i in range(0, len(ordered), at_most)]

    def gather(self, values: Tensor, group: list[Piece], rows: int) -> tuple[Tensor, Tensor | None]:
        """-> (pieces, F, frames) zero past each clip's end, key mask (pieces, tokens) or None when all are equally long."""
        width = group[0][2] * self.patch
        batch = values.new_zeros(len(group), values.shape[1], width)
        for row, (clip, i, _) in enumerate(group):
            start = i * self.chunk
            stop = min(start + width, self.lengths[clip], start + self.chunk)
            batch[row, :, : stop - start] = values[clip, :, start:stop]
        columns = torch.tensor([c for *_, c in group], device=values.device)
        if (columns == columns[0]).all():
            return batch, None
        valid = torch.arange(group[0][2], device=values.device) < columns[:, None]
        return batch, valid.repeat(1, rows)

    def scatter(self, grid: Tensor, tokens: Tensor, group: list[Piece]) -> None:
        """Tokens (pieces, F * columns, D) in f * T + t order -> their place in grid (B, T, F, D)."""
        stacked = tokens.unflatten(1, (grid.shape[2], -1)).transpose(1, 2)
        for row, (clip, i, columns) in enumerate(group):
            grid[clip, i * self.full : i * self.full + columns] = stacked[row, :columns]
