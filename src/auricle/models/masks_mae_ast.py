"""Which tokens a MAE-AST encoder may see (specification mae_ast 6 and 12): random and chunked masks; spans stand beside.

Every function takes one source of random numbers per clip. ``[source] * B`` with a replay of CPython's generator
(``PythonShuffleReplay`` for random masks, ``PythonReplay`` for the others) gives the original program's masks to the token;
keyed sources give masks that depend on nothing but the clip. Tokens are time-major: index t * channels + c.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from auricle.draws import Source
from auricle.models.masks import Mask

EDGES = (3, 6)  # a chunk is 3, 4 or 5 tokens wide (specification mae_ast 6.4)


def retained_count(tokens: int, prob: float) -> int:
    """max(1, int((1 - p) T)) in double arithmetic: 100 tokens at 0.8 keep 19 (specification mae_ast 6)."""
    return max(1, int((1 - prob) * tokens))


def mask_of(visible: Sequence[np.ndarray], tokens: int) -> Mask:
    """Equally many visible token indices per clip, in the order in which they enter the encoder; the others ascending."""
    orders = []
    for ids in visible:
        hidden = np.ones(tokens, dtype=bool)
        hidden[ids] = False
        orders.append(np.concatenate([ids, np.flatnonzero(hidden)]))
    return Mask(torch.from_numpy(np.stack(orders).astype(np.int64)), len(visible[0]))


def mask_of_flags(hidden: Sequence[np.ndarray]) -> Mask:
    """(T,) bool per clip, True where masked, equally many in each -> Mask with everything in ascending order."""
    return mask_of([np.flatnonzero(~flags) for flags in hidden], len(hidden[0]))


def same_for_all(mask: Mask, clips: int) -> Mask:
    """A mask drawn for one clip as the mask of the whole batch."""
    return Mask(mask.ids_shuffle.expand(clips, -1), mask.len_keep)


def random_mask(tokens: int, prob: float, sources: Sequence[Source], sizes: Sequence[int] | None = None) -> Mask:
    """A permutation per clip, its first ``retained_count`` visible in that order (specification mae_ast 6.1).

    ``sizes`` (B,) are the real tokens of clips with padding: the share is taken of those, and padding (which attention
    ignores) fills what is missing to the batch's number of visible tokens.
    """
    keep = retained_count(tokens, prob)
    return mask_of(
        [_visible(n, prob, source, keep) for n, source in zip(_sizes(sizes, tokens, sources), sources)], tokens
    )


def _sizes(sizes: Sequence[int] | None, tokens: int, sources: Sequence[Source]) -> Sequence[int]:
    return [tokens] * len(sources) if sizes is None else sizes


def _visible(size: int, prob: float, source: Source, keep: int) -> np.ndarray:
    real = source.permutation(size)[: min(keep, retained_count(size, prob))]
    return np.concatenate([real, np.arange(size, size + keep - len(real))])


def chunk_mask(tokens: int, prob: float, channels: int, sources: Sequence[Source]) -> Mask:
    """Squares of one edge length per source, running over the channel edge as published (specification mae_ast 6.4)."""
    hidden = tokens - retained_count(tokens, prob)
    return mask_of_flags([chunk_flags(tokens, hidden, channels, source) for source in sources])


def chunk_flags(tokens: int, hidden: int, row: int, source: Source, *, first: int = 0) -> np.ndarray:
    """(T,) bool with ``hidden`` tokens True: squares at random starts until there are more, the surplus cut at the end.

    A square is start + a + row * b for a and b below its edge; indices below ``first`` or past the end are ignored.
    """
    hidden = min(hidden, tokens - first - 1)
    edge = int(source.integers(*EDGES))
    square = (np.arange(edge)[:, None] + row * np.arange(edge)).ravel()
    flags = np.zeros(tokens, dtype=bool)
    while np.count_nonzero(flags) <= hidden:
        ids = int(source.integers(0, tokens)) + square
        flags[ids[(ids >= first) & (ids < tokens)]] = True
    flags[np.flatnonzero(flags)[hidden:]] = False
    return flags


def ssast_patch_mask(grid: tuple[int, int], prob: float, sources: Sequence[Source]) -> Mask:
    """SSAST's squares on a grid of (channels, time steps): drawn frequency-major, index 0 never masked (12)."""
    channels, steps = grid
    hidden = channels * steps - retained_count(channels * steps, prob)
    flags = [chunk_flags(channels * steps, hidden, steps, source, first=1) for source in sources]
    return mask_of_flags([time_major(one, grid) for one in flags])


def ssast_frame_mask(grid: tuple[int, int], prob: float, sources: Sequence[Source]) -> Mask:
    """SSAST's uniform choice without replacement, drawn frequency-major (specification mae_ast 12)."""
    tokens = grid[0] * grid[1]
    hidden = tokens - retained_count(tokens, prob)
    flags = np.zeros((len(sources), tokens), dtype=bool)
    for row, source in zip(flags, sources):
        row[source.permutation(tokens)[:hidden]] = True
    return mask_of_flags([time_major(row, grid) for row in flags])


def time_major(flags: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """(T,) in SSAST's order f * steps + t -> (T,) in ours, t * channels + f."""
    return flags.reshape(grid).T.ravel()
