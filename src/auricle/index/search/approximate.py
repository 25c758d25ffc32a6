"""Approximate nearest neighbours among the vectors of spans, with faiss (extra [search]): faster, and now and then one is missed.

    nearest = ApproximateSpans.of_index(index)           # from INDEX/search, made again when the index has changed
    ids, similarities = nearest.search(queries, 10)      # as NearestSpans.search

k-means puts projections of the vectors to few dimensions into cells (faiss's IVF, 8 bits a number), of which a search reads a part.
The best candidates are compared in full, so that the similarities are exact. benchmarks/RESULTS.md has times and recall. A graph
(HNSW) finds as many as fast and takes fifty times as long to build.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from auricle.core.errors import AuricleError, MissingExtra, first_line
from auricle.index.search.bounds import projection_of
from auricle.index.search.nearest import FEW, NearestSpans, prepared

if TYPE_CHECKING:
    from auricle.index.database import SoundIndex

FILE, PROJECTION = "vectors.faiss", "projection.npy"
CELLS_READ = 1 / 12  # of the 2 sqrt(n) cells
TRAINING_ROWS, ROUNDS = 40, 10  # rows per cell that k-means learns from, and its iterations
KEPT = 0.93  # of the squared length, by the projection
STEP = 16  # faiss reads numbers of 8 bits in steps of 16
CANDIDATES = 4  # times top_k, that are compared in full
ADDED = 65_536  # rows at a time
SEED = 1234  # of k-means


def import_faiss() -> Any:
    """Import faiss.

    Raises:
        MissingExtra: if it is not installed.
    """
    try:
        import faiss
    except ImportError as error:
        raise MissingExtra("approximate search", "search") from error
    return faiss


class ApproximateSpans:
    """Finds the spans whose vectors are most similar to a query, approximately. Threads may share it.

    A search among a few allowed spans is exact, because approximate methods find few of a small part.

    Args:
        exact: the spans. Up to 16,384 are always searched exactly: that takes a few milliseconds.

    Raises:
        MissingExtra: without faiss.
    """

    def __init__(self, exact: NearestSpans):
        import_faiss()
        self.exact = exact
        self._cells = build_cells(exact) if len(exact) > FEW else None

    @classmethod
    def of_index(cls, index: SoundIndex) -> ApproximateSpans:
        """Open the files for approximate search of an index; they are made first if the index has changed.

        Raises:
            AuricleError: without faiss, for damaged vectors, and when the disk is full.
        """
        faiss, exact = import_faiss(), NearestSpans.of_index(index)

        def make(folder: Path) -> None:
            cells, projection = build_cells(exact)
            np.save(folder / PROJECTION, projection)
            try:
                faiss.write_index(cells, str(folder / FILE))
            except RuntimeError as error:
                raise AuricleError(f"cannot write {folder / FILE}: {first_line(error)}") from None

        nearest = cls.__new__(cls)
        nearest.exact, nearest._cells = exact, None
        if len(exact) > FEW:
            folder = prepared(index, "approximate", make)
            advice = f"remove the folder {folder}: it is made again"
            try:
                projection = np.load(folder / PROJECTION)
                cells = faiss.read_index(str(folder / FILE), faiss.IO_FLAG_MMAP)
            except (RuntimeError, ValueError, OSError) as error:
                raise AuricleError(f"{folder} cannot be read ({first_line(error)}); {advice}") from None
            if cells.ntotal != len(exact):
                raise AuricleError(f"{folder} has {cells.ntotal} vectors and the index {len(exact)}; {advice}")
            nearest._cells = cells, projection
        return nearest

    def __len__(self) -> int:
        return len(self.exact)

    def search(
        self, queries: np.ndarray, top_k: int = 10, allowed_ids: Iterable[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find similar spans: ``NearestSpans.search``, of which a few answers may be missing."""
        return self.search_units(self.exact.units.of(queries), top_k, allowed_ids)

    def search_units(
        self, units: np.ndarray, top_k: int = 10, allowed_ids: Iterable[int] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the spans whose products with directions are large: ``NearestSpans.search_units``, approximately."""
        wanted = CANDIDATES * top_k
        if allowed_ids is not None or self._cells is None or wanted * 8 > len(self.exact):
            return self.exact.search_units(units, top_k, allowed_ids)
        cells, projection = self._cells
        # given with each search, so that threads do not change each other's
        reading = import_faiss().SearchParametersIVF(nprobe=max(1, round(CELLS_READ * cells.nlist)))
        _, rows = cells.search(np.ascontiguousarray(units @ projection, np.float32), wanted, params=reading)
        found = np.zeros((len(units), top_k), np.int64)
        similarities = np.zeros((len(units), top_k), np.float32)
        for q, candidates in enumerate(rows):
            candidates = np.unique(candidates[candidates >= 0])
            if len(candidates) < top_k:  # few in the cells that were read
                found[q : q + 1], similarities[q : q + 1] = self.exact.search_units(units[q : q + 1], top_k)
                continue
            values = self.exact.units.similarities(candidates, units[q : q + 1])[:, 0]
            order = np.lexsort((candidates, -values))[:top_k]
            found[q], similarities[q] = self.exact.ids[candidates[order]], values[order]
        return found, similarities


def build_cells(exact: NearestSpans) -> tuple[Any, np.ndarray]:
    """Put unit vectors into cells, block by block: memory holds the 8-bit projections and one block.

    Returns:
        The faiss index, and the projection (D + 1, W) float32 that its vectors went through.
    """
    faiss, units, count = import_faiss(), exact.units, len(exact)
    projection = projection_of(units, KEPT)
    if projection is None:  # all dimensions, with columns of zeros to the next step
        projection = np.eye(units.width, -(-units.width // STEP) * STEP)
    projection = projection.astype(np.float32)
    number = round(2 * math.sqrt(count))
    cells = faiss.index_factory(projection.shape[1], f"IVF{number},SQ8", faiss.METRIC_INNER_PRODUCT)
    cells.cp.niter, cells.cp.seed, cells.cp.min_points_per_centroid = ROUNDS, SEED, 1
    sample = np.linspace(0, count - 1, min(count, TRAINING_ROWS * number)).astype(np.int64)
    cells.train(units.rows(sample) @ projection)
    for first in range(0, count, ADDED):
        cells.add(units.rows(slice(first, first + ADDED)) @ projection)
    return cells, projection
