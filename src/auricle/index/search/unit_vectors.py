"""The vectors of spans as unit vectors, whose products are similarities: in memory, or mapped from files.

    units = UnitVectors.make(blocks, count, "float16", folder)   # blocks() yields the embeddings in order, twice
    units.similarities(np.arange(100), units.of(queries))        # (100, Q)

The unit vectors are those of ``detectors/suggestions.comparable``: the mean of all vectors is subtracted, so that similarity
is about what differs between sounds. The same functions serve exact search, approximate search and near duplicates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auricle.core.errors import AuricleError
from auricle.data.stores.shards import int8_codes
from auricle.detectors.suggestions import comparable

BLOCK = 8192  # rows that are converted at a time
VALUES, SCALES, CENTRE = "units.npy", "scales.npy", "centre.npy"
Blocks = Callable[[], Iterable[np.ndarray]]


def new_array(folder: Path | None, name: str, shape: tuple[int, ...], dtype: np.dtype | type | str) -> np.ndarray:
    """Return an array to fill: in memory, or in the file ``name`` of a folder."""
    if folder is None or 0 in shape:  # an empty file cannot be mapped
        return np.empty(shape, dtype)
    return np.lib.format.open_memmap(folder / name, "w+", np.dtype(dtype), shape)


def keep_array(folder: Path | None, name: str, array: np.ndarray) -> None:
    """Finish an array of ``new_array``, or write another one to the folder."""
    if isinstance(array, np.memmap):
        array.flush()
    elif folder is not None:
        np.save(folder / name, array)


def map_array(folder: Path, name: str) -> np.ndarray:
    """Map an array of a folder; nothing is read yet. Changes would stay in memory (PyTorch refuses arrays without them)."""
    file = folder / name
    return np.load(file, mmap_mode="c") if file.stat().st_size > 1024 else np.load(file)


@dataclass(frozen=True)
class UnitVectors:
    """Unit vectors of n spans.

    Attributes:
        values: (n, D + 1) float32, float16 or int8.
        scales: (n,) float32, by which int8 values are multiplied; None for the others.
        centre: (D,) float64, the mean of the embeddings.
    """

    values: np.ndarray
    scales: np.ndarray | None
    centre: np.ndarray

    @classmethod
    def make(cls, blocks: Blocks, count: int, dtype: str = "float32", folder: Path | None = None) -> UnitVectors:
        """Convert embeddings, block by block.

        Args:
            blocks: called twice; each time yields the embeddings (m, D) in the same order.
            count: n, the sum of all m.
            dtype: "float32", "float16" or "int8".
            folder: where the arrays are written; None: they stay in memory.

        Raises:
            AuricleError: for an embedding with values that are no numbers.
        """
        total, seen = np.zeros(0), 0
        for block in blocks():
            if not np.isfinite(block).all():
                row = seen + int(np.flatnonzero(~np.isfinite(block).all(1))[0])
                raise AuricleError(
                    f"vector {row} of {count} holds values that are no numbers, so that nothing can be similar to it; "
                    "make the index again"
                )
            total = total + block.sum(0, dtype=np.float64) if seen else block.sum(0, dtype=np.float64)
            seen += len(block)
        centre = total / max(seen, 1)
        values = new_array(folder, VALUES, (count, len(centre) + 1), dtype)
        scales = new_array(folder, SCALES, (count,), np.float32) if dtype == "int8" else None
        first = 0
        for block in blocks():
            units = comparable(block, centre)
            here = slice(first, first + len(block))
            if scales is None:
                values[here] = units
            else:
                values[here], scales[here] = int8_codes(units)
            first += len(block)
        keep_array(folder, VALUES, values)
        keep_array(folder, CENTRE, centre)
        if scales is not None:
            keep_array(folder, SCALES, scales)
        return cls(values, scales, centre)

    @classmethod
    def open(cls, folder: Path) -> UnitVectors:
        """Map the arrays that ``make`` wrote to a folder."""
        scales = map_array(folder, SCALES) if (folder / SCALES).exists() else None
        return cls(map_array(folder, VALUES), scales, np.load(folder / CENTRE))

    def __len__(self) -> int:
        return len(self.values)

    @property
    def width(self) -> int:
        """D + 1."""
        return int(self.values.shape[1])

    def of(self, vectors: np.ndarray) -> np.ndarray:
        """Return the unit vectors (Q, D + 1) float32 of embeddings (Q, D) or (D,), such as queries.

        Raises:
            AuricleError: for embeddings of another length, and for values that are no numbers.
        """
        vectors = np.atleast_2d(np.asarray(vectors, np.float32))
        if vectors.ndim != 2 or (vectors.shape[1] != len(self.centre) and len(self)):
            raise AuricleError(
                f"a query has the shape {vectors.shape[1:]}, and the vectors of the index have {len(self.centre)} numbers; "
                "embed it with the model of the index"
            )
        if not np.isfinite(vectors).all():
            raise AuricleError("a query holds values that are no numbers; check its recording")
        return comparable(vectors, self.centre) if len(self) else np.zeros((len(vectors), self.width), np.float32)

    def rows(self, rows: np.ndarray | slice) -> np.ndarray:
        """Return unit vectors (m, D + 1) float32 by row number."""
        values = np.asarray(self.values[rows], np.float32)
        return values if self.scales is None else values * np.asarray(self.scales[rows])[:, None]

    def similarities(self, rows: np.ndarray | slice, units: np.ndarray) -> np.ndarray:
        """Return the similarities (m, Q) float32 of rows with other unit vectors (Q, D + 1).

        They are computed in float64, so that equal vectors have equal similarities wherever they are.
        """
        return (self.rows(rows).astype(np.float64) @ units.T.astype(np.float64)).astype(np.float32)
