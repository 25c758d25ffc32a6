"""Exact nearest neighbours among the vectors of spans: the same answer as comparing all of them, from a part of the reading.

    nearest = NearestSpans(ids, vectors)                 # in memory
    nearest = NearestSpans.of_index(index)               # from INDEX/search, made again when the index has changed
    found, similarities = nearest.search(queries, 10)    # (Q, 10) each

All vectors are compared by their int8 codes (``bounds.py``): first by those of a projection to few dimensions, and all
dimensions where that leaves many. Each similarity has a bound; rows whose bound is below the k-th best similarity known
cannot be among the best k. The others are compared in full. Reading the codes takes the time, so memory bandwidth limits it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from auricle.core.io import make_folder, replacing_folder, writing
from auricle.core.locks import locked
from auricle.data.stores.shards import CLIP
from auricle.index.search.bounds import CoarseVectors, projection_of
from auricle.index.search.unit_vectors import BLOCK, UnitVectors

if TYPE_CHECKING:
    from torch import Tensor

    from auricle.index.database import SoundIndex

FORMAT = 2  # of the files below INDEX/search
FEW = 16_384  # rows that are compared in full at once
PROBES = 128  # rows whose full similarity gives the first bound
GROUP_BYTES = 64 << 20  # of the similarities of a group of queries
SUM_ERROR = 1.2e-7  # of a float32 sum, for each product in it
IDS, FIRST, ALL = "ids.npy", "first", "all"


class NearestSpans:
    """Finds the spans whose vectors are most similar to a query, exactly. Threads may share it.

    Similarity is the cosine of embeddings whose mean is subtracted (``detectors/suggestions.comparable``), from -1 to 1.

    Args:
        ids: (n,) integers, one per vector.
        vectors: (n, D) embeddings.
        dtype: "float32", "float16" or "int8": how the unit vectors are kept; similarities are those of the kept vectors.

    Attributes:
        ids: (n,) int64.
        units: the unit vectors.

    Example:
        nearest = NearestSpans(*index.vectors())
        ids, similarities = nearest.search(embedding, 10)
    """

    def __init__(self, ids: Iterable[int], vectors: np.ndarray, dtype: str = "float32"):
        numbers = np.asarray(list(ids) if not isinstance(ids, np.ndarray) else ids, np.int64)
        self._set(numbers, UnitVectors.make(lambda: [vectors], len(vectors), dtype), None)

    def _set(self, ids: np.ndarray, units: UnitVectors, folder: Path | None) -> None:
        self.ids, self.units, self._folder = ids, units, folder

    @classmethod
    def of_index(cls, index: SoundIndex) -> NearestSpans:
        """Open the files for search of an index; they are made first if the index has changed. Memory stays bounded.

        Raises:
            AuricleError: for damaged vectors, and when the disk is full.
        """
        return cls.of_folder(*prepared_vectors(index))

    @classmethod
    def of_folder(cls, ids: np.ndarray, units: UnitVectors, folder: Path) -> NearestSpans:
        """Search unit vectors whose codes ``make_coarse`` wrote to a folder; without codes there, they are made when needed."""
        nearest = cls.__new__(cls)
        nearest._set(ids, units, folder)
        return nearest

    def __len__(self) -> int:
        return len(self.ids)

    def search(
        self, queries: np.ndarray, top_k: int = 10, allowed_ids: Iterable[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the most similar spans.

        Args:
            queries: (Q, D) or (D,) embeddings.
            top_k: spans per query; fewer where the index, or ``allowed_ids``, has fewer.
            allowed_ids: only these; None: all.

        Returns:
            ids (Q, k) int64 and similarities (Q, k) float32, the most similar first; equal ones in the order of the rows.

        Raises:
            AuricleError: for a query of another length, or with values that are no numbers.
        """
        return self.search_units(self.units.of(queries), top_k, allowed_ids)

    def search_units(
        self, units: np.ndarray, top_k: int = 10, allowed_ids: Iterable[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the spans whose products with directions are largest: ``search`` for vectors that are made elsewhere.

        Args:
            units: (Q, D + 1) of length 1: what ``units.of`` returns, or directions such as those of a linear classifier.
            top_k, allowed_ids: as of ``search``.

        Returns:
            As of ``search``.
        """
        allowed = None if allowed_ids is None else self.rows_of(allowed_ids)
        number = len(self) if allowed is None else len(allowed)
        top_k = max(0, min(int(top_k), number))
        found = np.zeros((len(units), top_k), np.int64)
        similarities = np.zeros((len(units), top_k), np.float32)
        if not top_k:
            return found, similarities
        if number <= max(FEW, 8 * top_k):
            rows = np.arange(len(self)) if allowed is None else allowed
            best = self._best([rows] * len(units), units, top_k)
        else:
            group = max(1, GROUP_BYTES // (4 * len(self)))
            best = iter(
                pair
                for first in range(0, len(units), group)
                for pair in self._search_group(units[first : first + group], top_k, allowed)
            )
        for q, (rows, values) in enumerate(best):
            found[q], similarities[q] = self.ids[rows], values
        return found, similarities

    def rows_of(self, ids: Iterable[int]) -> np.ndarray:
        """Return the row numbers of ids in rising order; ids that are not here are left out."""
        wanted = np.unique(np.asarray(list(ids) if not isinstance(ids, np.ndarray) else ids, np.int64))
        order, ordered = self._order
        place = np.searchsorted(ordered, wanted)
        place = place[(place < len(ordered))]
        wanted = wanted[: len(place)]
        return np.sort(order[place[ordered[place] == wanted]])

    @cached_property
    def _order(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self.ids, kind="stable")
        return order, self.ids[order]

    @cached_property
    def coarse(self) -> list[CoarseVectors]:
        """The codes that are compared first; they are made when they are first needed."""
        if self._folder is not None and (self._folder / f"{ALL}-rows.npy").exists():
            names = [name for name in (FIRST, ALL) if (self._folder / f"{name}-rows.npy").exists()]
            return [CoarseVectors.open(self._folder, name, self.units) for name in names]
        return make_coarse(self.units, None)

    # ---- one group of queries
    def _search_group(
        self, units: np.ndarray, top_k: int, allowed: np.ndarray | None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (rows, similarities) of each query."""
        import torch

        refused = None
        if allowed is not None:
            refused = torch.ones(len(self), dtype=torch.bool)
            refused[torch.from_numpy(allowed)] = False
        least = np.full(len(units), -np.inf)
        candidates: list[np.ndarray | None] = [None] * len(units)
        for level in self.coarse:
            many = [q for q, rows in enumerate(candidates) if rows is None or len(rows) > FEW]
            if not many:
                break
            for q, (about, most) in zip(many, level.bounds(units[many])):
                if refused is not None:
                    about.masked_fill_(refused, -torch.inf)
                    most.masked_fill_(refused, -torch.inf)
                least[q] = max(least[q], self._reached(about, units[q], top_k))
                reach = torch.nonzero(most >= least[q])[:, 0].numpy()
                candidates[q] = reach if allowed is None or np.isfinite(least[q]) else allowed
        yield from self._best([rows for rows in candidates if rows is not None], units, top_k)

    def _reached(self, about: Tensor, unit: np.ndarray, top_k: int) -> float:
        """Return a similarity that at least k rows reach: the k-th best among the best rows of blocks."""
        probes = max(PROBES, 4 * top_k)
        size = max(1, min(256, len(about) // (4 * probes)))
        blocks = about[: len(about) // size * size].view(-1, size)
        highest, where = blocks.max(1)
        highest, block = highest.topk(min(probes, len(blocks)))
        rows = (block * size + where[block])[highest > -float("inf")].numpy()
        if len(rows) < top_k:
            return -np.inf
        return float(np.sort(self.units.similarities(np.sort(rows), unit[None])[:, 0])[-top_k])

    def _best(
        self, candidates: Sequence[np.ndarray], units: np.ndarray, top_k: int
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Compare candidates in full, and yield the best (rows, similarities) of each query."""
        for rows, unit in zip(candidates, units):
            kept_rows, kept = np.zeros(0, np.int64), np.zeros(0, np.float32)
            for first in range(0, len(rows), BLOCK):
                part = self._hopeful(rows[first : first + BLOCK], unit, top_k)
                kept_rows = np.concatenate([kept_rows, part])
                kept = np.concatenate([kept, self.units.similarities(part, unit[None])[:, 0]])
                order = np.lexsort((kept_rows, -kept))[:top_k]
                kept_rows, kept = kept_rows[order], kept[order]
            yield kept_rows, kept

    def _hopeful(self, rows: np.ndarray, unit: np.ndarray, top_k: int) -> np.ndarray:
        """Leave out rows that products in float32, which are faster, show not to be among the best k of these rows."""
        if len(rows) <= 2 * top_k:
            return rows
        about = self.units.rows(rows) @ unit.astype(np.float32)
        error = 2 * SUM_ERROR * self.units.width
        return rows[about >= np.partition(about, -top_k)[-top_k] - error]


def make_coarse(units: UnitVectors, folder: Path | None) -> list[CoarseVectors]:
    """Compute the codes of unit vectors: of a projection where one is worth it, and of all dimensions."""
    projection = projection_of(units) if len(units) else None
    levels = [] if projection is None else [CoarseVectors.make(units, projection, folder, FIRST)]
    return [*levels, CoarseVectors.make(units, None, folder, ALL)]


# ---- the files of an index
def prepared(index: SoundIndex, kind: str, make: Callable[[Path], None]) -> Path:
    """Return a folder of files that were made from an index, after making it if the index has changed.

    Its name holds the state of the index, so that files of another state are never read; those of earlier states are removed.

    Args:
        index: the index.
        kind: the first part of the folder's name.
        make: fills a new folder.
    """
    parent = index.folder / "search"
    path = parent / f"{kind}-{FORMAT}-{index.changes()}"
    if path.is_dir():
        return path
    make_folder(parent)
    with locked(parent / f"{kind}.lock"):
        if not path.is_dir():  # another process may have made it meanwhile
            with replacing_folder(path) as folder, writing(folder, "; the index itself is whole"):
                make(folder)
            for other in parent.glob(f"{kind}-*"):
                if other != path:
                    shutil.rmtree(other, ignore_errors=True)  # who reads it has it mapped
    return path


def prepared_vectors(index: SoundIndex) -> tuple[np.ndarray, UnitVectors, Path]:
    """Return ids, unit vectors and their folder, mapped from INDEX/search; they are made first if the index has changed."""

    def make(folder: Path) -> None:
        ids = index.span_ids()
        store = index.store

        def blocks() -> Iterator[np.ndarray]:
            for first in range(0, len(ids), BLOCK):
                names = [str(id) for id in ids[first : first + BLOCK]]
                yield store.vectors(names, [CLIP]).astype(np.float32, copy=False)

        np.save(folder / IDS, ids)
        units = UnitVectors.make(blocks, len(ids), index.info.dtype, folder)
        if len(ids) > FEW:
            make_coarse(units, folder)

    folder = prepared(index, "exact", make)
    return np.load(folder / IDS), UnitVectors.open(folder), folder
