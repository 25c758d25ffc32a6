"""Masks of MAE-AST: random tokens, chunks of the spectrogram, and spans of time.

Source: [mae_ast 6](docs/specification/mae_ast.md#s6) and [12](docs/specification/mae_ast.md#s12).

Every function takes one source of random numbers per clip. Keyed sources give masks that depend on nothing but the clip;
``[source] * B`` with the stream of the original's generator gives the original's masks (``tests/helpers/replays.py``).
Tokens are time-major: index t * channels + c.

Spans ([mae_ast 6.3](docs/specification/mae_ast.md#s6-3)) exist in both polarities: the published code keeps the drawn spans
visible (``retain=True``), the paper says that they are masked (``retain=False``). The drawing is the same. All clips end with as
many tokens as the smallest union of the batch has, so the ratio depends on how the batch was cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomSource
from auricle.models.masking.patches import Mask

EDGES = (3, 6)  # a chunk is 3, 4 or 5 tokens wide ([mae_ast 6.4](docs/specification/mae_ast.md#s6-4))


def retained_count(tokens: int, prob: float) -> int:
    """max(1, int((1 - p) T)) in double arithmetic: 100 tokens at 0.8 keep 19 ([mae_ast 6](docs/specification/mae_ast.md#s6))."""
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


def random_mask(tokens: int, prob: float, sources: Sequence[RandomSource], sizes: Sequence[int] | None = None) -> Mask:
    """A permutation per clip, its first ``retained_count`` visible in that order.

    Source: [mae_ast 6.1](docs/specification/mae_ast.md#s6-1).

    ``sizes`` (B,) are the real tokens of clips with padding: the share is taken of those, and padding (which attention
    ignores) fills what is missing to the batch's number of visible tokens.
    """
    keep = retained_count(tokens, prob)
    return mask_of(
        [_visible(n, prob, source, keep) for n, source in zip(_sizes(sizes, tokens, sources), sources)], tokens
    )


def _sizes(sizes: Sequence[int] | None, tokens: int, sources: Sequence[RandomSource]) -> Sequence[int]:
    return [tokens] * len(sources) if sizes is None else sizes


def _visible(size: int, prob: float, source: RandomSource, keep: int) -> np.ndarray:
    real = source.permutation(size)[: min(keep, retained_count(size, prob))]
    return np.concatenate([real, np.arange(size, size + keep - len(real))])


def chunk_mask(tokens: int, prob: float, channels: int, sources: Sequence[RandomSource]) -> Mask:
    """Squares of one edge length per source, running over the channel edge as published.

    Source: [mae_ast 6.4](docs/specification/mae_ast.md#s6-4).
    """
    hidden = tokens - retained_count(tokens, prob)
    return mask_of_flags([chunk_flags(tokens, hidden, channels, source) for source in sources])


def chunk_flags(tokens: int, hidden: int, row: int, source: RandomSource, *, first: int = 0) -> np.ndarray:
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


def ssast_patch_mask(grid: tuple[int, int], prob: float, sources: Sequence[RandomSource]) -> Mask:
    """SSAST's squares on a grid of (channels, time steps): drawn frequency-major, index 0 never masked (12)."""
    channels, steps = grid
    hidden = channels * steps - retained_count(channels * steps, prob)
    flags = [chunk_flags(channels * steps, hidden, steps, source, first=1) for source in sources]
    return mask_of_flags([time_major(one, grid) for one in flags])


def ssast_frame_mask(grid: tuple[int, int], prob: float, sources: Sequence[RandomSource]) -> Mask:
    """SSAST's uniform choice without replacement, drawn frequency-major ([mae_ast 12](docs/specification/mae_ast.md#s12))."""
    tokens = grid[0] * grid[1]
    hidden = tokens - retained_count(tokens, prob)
    flags = np.zeros((len(sources), tokens), dtype=bool)
    for row, source in zip(flags, sources):
        row[source.permutation(tokens)[:hidden]] = True
    return mask_of_flags([time_major(row, grid) for row in flags])


def time_major(flags: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """(T,) in SSAST's order f * steps + t -> (T,) in ours, t * channels + f."""
    return flags.reshape(grid).T.ravel()


LEAST_SPANS = 2  # per clip ([mae_ast 6.3](docs/specification/mae_ast.md#s6-3))
REDRAWS = 1000  # of an empty union, before an error


class SpanSource(RandomSource, Protocol):
    """What spans of random length need besides; NumPy's Generator has it."""

    def normal(self, loc: float, scale: float, size: int) -> Any: ...
    def poisson(self, lam: float, size: int) -> Any: ...


@dataclass(frozen=True)
class Spans:
    """prob * tokens / length spans per clip. ``selection`` of their lengths: static (length), uniform (integers from
    ``other`` to 2 length), normal (length, deviation ``other``; at least 1), poisson (length)."""

    prob: float
    length: int = 10
    selection: str = "static"
    other: float = 0.0
    overlap: bool = True
    min_space: int = 0


def span_mask(sizes: Sequence[int], tokens: int, spans: Spans, sources: Sequence[SpanSource], *, retain: bool) -> Mask:
    """sizes (B,) real tokens per clip of T ``tokens`` -> Mask; at least one token is masked and one visible.

    With one source per clip first all spans are drawn, then unions are reduced to the smallest by dropping single tokens.
    """
    unions = [union(size, spans, source) for size, source in zip(sizes, sources)]
    least = min(tokens - 1, *(len(ids) for ids in unions))
    chosen = [_reduced(ids, least, source) for ids, source in zip(unions, sources)]
    return mask_of(chosen if retain else [np.setdiff1d(np.arange(tokens), ids) for ids in chosen], tokens)


def _reduced(ids: np.ndarray, count: int, source: SpanSource) -> np.ndarray:
    return ids if len(ids) == count else np.sort(ids[source.permutation(len(ids))[:count]])


def union(size: int, spans: Spans, source: SpanSource) -> np.ndarray:
    """Ascending tokens of one clip that lie in a span; never empty. Raises AuricleError where no span fits."""
    for _ in range(REDRAWS):
        count = max(LEAST_SPANS, int(spans.prob * size / spans.length + float(source.random())))
        lengths = span_lengths(count, spans, source)
        place = overlapping if spans.overlap else separate
        covered = place(size, lengths, spans.min_space, source)
        if covered.any():
            return np.flatnonzero(covered)
    raise AuricleError(
        f"no span of about {spans.length} tokens fits a clip of {size} tokens; use a shorter --mask-length"
    )


def span_lengths(count: int, spans: Spans, source: SpanSource) -> np.ndarray:
    """(count,) tokens."""
    if spans.selection == "uniform":
        return np.array([int(source.integers(int(spans.other), 2 * spans.length + 1)) for _ in range(count)])
    if spans.selection == "normal":
        return np.maximum(1, np.rint(source.normal(spans.length, spans.other, count))).astype(int)
    if spans.selection == "poisson":
        return np.asarray(source.poisson(spans.length, count), dtype=int)
    return np.full(count, spans.length)


def overlapping(size: int, lengths: np.ndarray, min_space: int, source: RandomSource) -> np.ndarray:
    """(size,) bool: distinct starts, spans may overlap and are cut at the clip's end (``min_space`` does not apply)."""
    positions = max(size - int(lengths.min()), len(lengths) + 1)
    covered = np.zeros(size, dtype=bool)
    for start, length in zip(source.permutation(positions)[: len(lengths)], lengths):
        covered[start : start + length] = True
    return covered


def separate(size: int, lengths: np.ndarray, min_space: int, source: RandomSource) -> np.ndarray:
    """(size,) bool: longest first into free stretches, chosen in proportion to their length among those that fit.

    [mae_ast 6.3](docs/specification/mae_ast.md#s6-3), no_mask_overlap; what fits nowhere any more is left out.
    """
    covered, shortest = np.zeros(size, dtype=bool), int(lengths.min())
    free = [(0, size)]
    for length in sorted(lengths.tolist(), reverse=True):
        room = np.array([end - start if end - start >= length + min_space else 0 for start, end in free])
        if not room.sum():
            break
        place = int(np.searchsorted(room.cumsum(), float(source.random()) * room.sum(), side="right"))
        start, end = free.pop(place)
        at = int(source.integers(start, end - length + 1))
        covered[at : at + length] = True
        left, right = (start, at - min_space), (at + length + min_space, end)
        free += [left] if left[1] - left[0] >= shortest else []
        free += [right] if right[1] - right[0] > shortest else []
    return covered
