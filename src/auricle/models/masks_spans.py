"""Masks made of spans (specification mae_ast 6.3), in both polarities: the published code keeps the drawn spans visible
(``retain=True``), its text says that they are masked (``retain=False``). The drawing is the same.

All clips end with as many tokens as the smallest union of the batch has, so the ratio depends on how the batch was cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from auricle.draws import NumpyReplay, Source
from auricle.errors import AuricleError
from auricle.models.masks import Mask
from auricle.models.masks_mae_ast import mask_of

LEAST_SPANS = 2  # per clip (specification mae_ast 6.3)
REDRAWS = 1000  # of an empty union, before it is said that nothing fits


class SpanSource(Source, Protocol):
    """What spans of random length need besides; NumPy's Generator and ``NumpyReplay`` have it."""

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


def overlapping(size: int, lengths: np.ndarray, min_space: int, source: Source) -> np.ndarray:
    """(size,) bool: distinct starts, spans may overlap and are cut at the clip's end (``min_space`` does not apply)."""
    positions = max(size - int(lengths.min()), len(lengths) + 1)
    covered = np.zeros(size, dtype=bool)
    for start, length in zip(source.permutation(positions)[: len(lengths)], lengths):
        covered[start : start + length] = True
    return covered


def separate(size: int, lengths: np.ndarray, min_space: int, source: Source) -> np.ndarray:
    """(size,) bool: longest first into free stretches, chosen in proportion to their length among those that fit.

    Specification mae_ast 6.3, no_mask_overlap; what fits nowhere any more is left out.
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


def replayed(seed: int, clips: int) -> list[NumpyReplay]:
    """The sources of a batch after ``numpy.random.seed(seed)`` in the original, which throws one uniform draw away first."""
    source = NumpyReplay(seed)
    source.random()
    return [source] * clips
