"""Near duplicates: groups of spans whose vectors are almost the same, such as copies of recordings and repeated calls.

    groups = near_duplicates(nearest.ids, nearest.units, 0.98)
    groups = duplicates_of_index(index)                 # of different recordings

All pairs are compared, in blocks. Two things leave most work out without changing the answer: unit vectors with a similarity
of at least t are at most sqrt(2 - 2t) apart, so they are near each other along any direction, and rows are sorted along one;
and products in few dimensions bound the others (``bounds.py``). The time still grows with the square of the number of spans.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from auricle.core.errors import AuricleError
from auricle.index.search.bounds import ROUNDING, projection_of
from auricle.index.search.nearest import NearestSpans
from auricle.index.search.unit_vectors import BLOCK, UnitVectors

if TYPE_CHECKING:
    from auricle.index.database import SoundIndex

THRESHOLD = 0.98  # similarity of near duplicates
EQUAL = 1e-6  # by which the product of equal unit vectors may be below 1
SIDE = 2048  # rows and columns of a block of pairs
PAIRS = 65_536  # pairs that are compared in full at once


@dataclass(frozen=True)
class DuplicateGroup:
    """Spans that are near duplicates, each of at least one other of the group.

    Attributes:
        ids: of the spans, in the order of the rows; two or more.
        similarities: of each with the first one.
    """

    ids: tuple[int, ...]
    similarities: tuple[float, ...]


def near_duplicates(
    ids: np.ndarray,
    units: UnitVectors,
    threshold: float = THRESHOLD,
    *,
    recordings: np.ndarray | None = None,
    on_rows: Callable[[int], None] | None = None,
) -> list[DuplicateGroup]:
    """Find groups of near duplicates.

    Args:
        ids: (n,) of the rows.
        units: n unit vectors.
        threshold: spans with at least this similarity are duplicates, from 0 to 1.
        recordings: (n,) numbers of the recordings; two spans of one recording are then no duplicates of each other, though a
            third span may put them into one group. None: all pairs count.
        on_rows: called with the number of rows that are done since the last call.

    Returns:
        Groups, the largest first; equally large ones in the order of their first rows.

    Raises:
        AuricleError: for an impossible threshold.
    """
    if not 0.0 < threshold <= 1.0:
        raise AuricleError(f"the similarity of near duplicates lies above 0 and up to 1, got {threshold}")
    parents = np.arange(len(units))
    for first, second in _pairs(units, threshold, recordings, on_rows):
        _join(parents, first, second)
    roots = _roots(parents, parents)
    order = np.argsort(roots, kind="stable")
    starts = np.flatnonzero(np.diff(roots[order], prepend=-1))
    members = [rows for rows in np.split(order, starts[1:]) if len(rows) > 1]
    members.sort(key=lambda rows: (-len(rows), rows[0]))
    return [DuplicateGroup(tuple(ids[rows].tolist()), tuple(_with_first(units, rows).tolist())) for rows in members]


def duplicates_of_index(
    index: SoundIndex,
    threshold: float = THRESHOLD,
    *,
    within_recordings: bool = False,
    on_rows: Callable[[int], None] | None = None,
) -> list[DuplicateGroup]:
    """Find groups of near duplicates among the spans of an index.

    Args:
        index: the index.
        threshold, on_rows: as of ``near_duplicates``.
        within_recordings: also compare the spans of one recording with each other; neighbouring windows overlap and are often
            alike.

    Returns:
        Groups of span ids.
    """
    nearest, recordings = NearestSpans.of_index(index), None
    if not within_recordings:
        number: dict[str, int] = {}
        known = {span.id: number.setdefault(span.path, len(number)) for span in index.spans()}
        recordings = np.array([known.get(int(id), -1) for id in nearest.ids], np.int64)
    return near_duplicates(nearest.ids, nearest.units, threshold, recordings=recordings, on_rows=on_rows)


def _pairs(
    units: UnitVectors, threshold: float, recordings: np.ndarray | None, on_rows: Callable[[int], None] | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield rows (m,) and rows (m,) of all pairs that are duplicates."""
    count = len(units)
    projection = projection_of(units) if count else None
    if projection is None:
        projection = np.eye(units.width)
    parts = np.empty((count, projection.shape[1]), np.float32)
    left = np.empty(count, np.float32)  # length of what the projection leaves
    for first in range(0, count, BLOCK):
        whole = units.rows(slice(first, first + BLOCK)).astype(np.float64)
        part = whole @ projection
        parts[first : first + BLOCK] = part
        left[first : first + BLOCK] = np.sqrt(np.maximum((whole**2).sum(1) - (part**2).sum(1), 0.0) + 1e-6)
    order = np.argsort(parts[:, 0], kind="stable")
    parts, left = parts[order], left[order]
    apart = np.sqrt(2.0 - 2.0 * threshold) + ROUNDING + 1e-3  # unit vectors of float16 and int8 have about the length 1
    for first in range(0, count, SIDE):
        rows = slice(first, min(first + SIDE, count))
        end = int(np.searchsorted(parts[:, 0], parts[rows.stop - 1, 0] + apart, side="right"))
        for other in range(first, end, SIDE):
            columns = slice(other, min(other + SIDE, end))
            most = parts[rows] @ parts[columns].T
            most += left[rows, None] * left[columns]
            a, b = np.nonzero(most >= threshold - ROUNDING)
            a, b = order[a + first], order[b + other]
            keep = a < b if recordings is None else (a < b) & (recordings[a] != recordings[b])
            if other > first:
                keep = np.ones(len(a), bool) if recordings is None else recordings[a] != recordings[b]
            yield from _confirmed(units, a[keep], b[keep], threshold)
        if on_rows is not None:
            on_rows(rows.stop - rows.start)


def _confirmed(
    units: UnitVectors, first: np.ndarray, second: np.ndarray, threshold: float
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield those pairs whose full similarity reaches the threshold."""
    for start in range(0, len(first), PAIRS):
        a, b = first[start : start + PAIRS], second[start : start + PAIRS]
        products = np.einsum("nd,nd->n", units.rows(a), units.rows(b), dtype=np.float64)
        similar = products >= threshold - EQUAL
        yield a[similar], b[similar]


def _with_first(units: UnitVectors, rows: np.ndarray) -> np.ndarray:
    return units.similarities(rows, units.rows(rows[:1]))[:, 0]


# ---- union-find over arrays: the parent of a row is a smaller one of its group, or itself
def _roots(parents: np.ndarray, rows: np.ndarray) -> np.ndarray:
    roots = parents[rows]
    while not np.array_equal(above := parents[roots], roots):
        roots = above
    parents[rows] = roots
    return roots


def _join(parents: np.ndarray, first: np.ndarray, second: np.ndarray) -> None:
    """Put the groups of each pair of rows together."""
    while len(first):
        a, b = _roots(parents, first), _roots(parents, second)
        different = a != b
        first, second, a, b = (values[different] for values in (first, second, a, b))
        np.minimum.at(parents, np.maximum(a, b), np.minimum(a, b))
