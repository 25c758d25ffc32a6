"""Which patches an encoder may see. A mask is an order of the tokens: the first ones are visible.

Source: [m2d 3](docs/specification/m2d.md#s3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from auricle.core.randomness import RandomSource


@dataclass(frozen=True)
class Mask:
    """ids_shuffle (B, N): a permutation of the token indices per clip; its first ``len_keep`` are visible."""

    ids_shuffle: Tensor
    len_keep: int

    @property
    def visible(self) -> Tensor:
        """(B, len_keep) indices of the visible tokens, in shuffled order."""
        return self.ids_shuffle[:, : self.len_keep]

    @property
    def hidden(self) -> Tensor:
        """(B, N - len_keep) indices of the masked tokens, in shuffled order."""
        return self.ids_shuffle[:, self.len_keep :]

    @property
    def ids_restore(self) -> Tensor:
        """(B, N) inverse permutation: where each token went."""
        return torch.argsort(self.ids_shuffle, dim=1)

    @property
    def binary(self) -> Tensor:
        """(B, N) float, 1 where masked, in token order."""
        flags = torch.zeros(self.ids_shuffle.shape, device=self.ids_shuffle.device)
        return flags.scatter_(1, self.hidden, 1.0)

    def to(self, device: torch.device | str) -> Mask:
        return Mask(self.ids_shuffle.to(device, non_blocking=True), self.len_keep)


def visible_count(tokens: int, ratio: float) -> int:
    """int(N (1 - ratio)) in ordinary double arithmetic: 250 tokens at 0.8 keep 49 ([m2d 3.1](docs/specification/m2d.md#s3-1))."""
    return int(tokens * (1 - ratio))


def unstructured(noise: np.ndarray | Tensor, ratio: float) -> Mask:
    """Uniform noise (B, N) -> Mask: the tokens with the smallest noise stay visible. A ratio of 0 shows all, unshuffled."""
    noise = torch.as_tensor(noise)
    if ratio == 0:
        return Mask(torch.arange(noise.shape[1]).expand(noise.shape[0], -1), noise.shape[1])
    return Mask(torch.argsort(noise, dim=1), visible_count(noise.shape[1], ratio))


def structured_counts(grid: tuple[int, int], ratio: float, u: float) -> tuple[int, int]:
    """(rows NF, columns NT) to flag for one uniform draw u ([m2d 3.2](docs/specification/m2d.md#s3-2))."""
    rows, columns = grid
    flagged_rows = min(rows - 1, int(rows * (ratio + 1.0 / rows) * u))
    rest = max(ratio + 0.5 / columns - flagged_rows / rows, 0.0)
    return flagged_rows, int(columns * rest)


def structured_flags(clips: int, grid: tuple[int, int], ratio: float, u: float, source: RandomSource) -> np.ndarray:
    """(B, F, T) bool: whole rows and whole columns flagged, another choice per clip, the same number for all.

    ``source`` gives the row permutations of all clips first, then their column permutations.
    """
    (rows, columns), (n_rows, n_columns) = grid, structured_counts(grid, ratio, u)
    flags = np.zeros((clips, rows, columns), dtype=bool)
    for flag in flags:
        flag[source.permutation(rows)[:n_rows]] = True
    for flag in flags:
        flag[:, source.permutation(columns)[:n_columns]] = True
    return flags


def mask_from_flags(flags: np.ndarray, *, published: bool = False) -> Mask:
    """(B, F, T) flags -> Mask that hides the flagged tokens; every clip must flag the same number.

    ``published=True`` sorts as the original program does: it hides as many tokens, but keeps flagged ones first
    ([m2d 3.2](docs/specification/m2d.md#s3-2), a quirk the published fine-tuned weights were made with).
    """
    flat = torch.from_numpy(flags.reshape(len(flags), -1))
    keep = int((~flat[0]).sum())
    return Mask(torch.argsort(flat.int(), dim=1, descending=published, stable=True), keep)


def continuous_flags(grid: tuple[int, int], ratio: float, span: int, source: RandomSource) -> np.ndarray:
    """(F, T) bool for one clip: spans of ``span`` frames until int(T ratio) are hidden, the surplus cut from the tail.

    Source: [m2d 3.3](docs/specification/m2d.md#s3-3); every frequency row gets the same frames.
    """
    rows, columns = grid
    wanted, hidden = int(columns * ratio), np.zeros(columns, dtype=bool)
    while hidden.sum() < wanted:
        start = int(source.integers(0, columns))
        hidden[start : start + span] = True
    surplus = int(hidden.sum()) - wanted
    if surplus:
        hidden[np.flatnonzero(hidden)[-surplus:]] = False
    return np.broadcast_to(hidden, (rows, columns)).copy()
