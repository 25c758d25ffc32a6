"""Similarities from int8 codes, with how far each may be off: what exact search reads of all vectors.

A vector x is its code c times a scale, plus an error e: |x.q - scale (c.q')| <= |e| |q| + |q - q'| |x - e|, where q' is the
query's code. Where the code is that of a projection Px to fewer dimensions (P has orthonormal columns), what the projection
leaves adds sqrt(1 - |Px|^2) sqrt(1 - |Pq|^2) (Cauchy-Schwarz). The errors are computed in float64 from the codes that are
kept, so that the bounds hold for any vectors. Products of codes are integers: exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from auricle.data.stores.shards import LARGEST_CODE, int8_codes
from auricle.index.search.unit_vectors import BLOCK, UnitVectors, keep_array, map_array, new_array

if TYPE_CHECKING:
    from torch import Tensor

KERNEL_ROWS = 1 << 16  # that a thread multiplies at a time: the processor's cache holds the products
ROUNDING = 1e-5  # of float32 sums over the parts of a bound, and of the length of unit vectors
SAMPLE = 20_000  # rows that decide the projection
STEP = 32  # widths of projections are multiples of it
ENOUGH = (
    0.85  # of the squared length, that projections for exact search keep: few rows remain then (benchmarks/RESULTS.md)
)
EXACT_COLUMNS = 1024  # products of int8 codes that float32 adds up without rounding (1024 x 127 x 127 < 2^24)


@dataclass(frozen=True)
class CoarseVectors:
    """Codes of n unit vectors or of their projections.

    Attributes:
        codes: (n, W) int8.
        rows: (3, n) float32: scale, length of the error, length of what the projection leaves.
        projection: (D + 1, W) float64 with orthonormal columns; None: the vectors themselves.
    """

    codes: np.ndarray
    rows: np.ndarray
    projection: np.ndarray | None

    @classmethod
    def make(cls, units: UnitVectors, projection: np.ndarray | None, folder: Path | None, name: str) -> CoarseVectors:
        """Compute the codes of all rows, block by block; with a folder, into its files ``name``-*.npy.

        Vectors of int8 are codes already; their files serve.
        """
        width = units.width if projection is None else projection.shape[1]
        own = projection is None and units.scales is not None
        codes = units.values if own else new_array(folder, f"{name}-codes.npy", (len(units), width), np.int8)
        numbers = new_array(folder, f"{name}-rows.npy", (3, len(units)), np.float32)
        for first in range(0, len(units), BLOCK):
            here = slice(first, first + BLOCK)
            whole = units.rows(here).astype(np.float64)
            part = whole if projection is None else whole @ projection
            if own:
                scales = units.scales[here]  # type: ignore[index]
            else:
                codes[here], scales = int8_codes(part)
            error = np.linalg.norm(part - codes[here].astype(np.float64) * scales[:, None].astype(np.float64), axis=1)
            left = (whole**2).sum(1) - (part**2).sum(1) if projection is not None else np.zeros(len(whole))
            numbers[:, here] = scales, error * (1 + 1e-6) + 1e-9, np.sqrt(np.maximum(left, 0.0) + 1e-12) * (1 + 1e-6)
        if not own:
            keep_array(folder, f"{name}-codes.npy", codes)
        keep_array(folder, f"{name}-rows.npy", numbers)
        if projection is not None:
            keep_array(folder, f"{name}-projection.npy", projection)
        return cls(codes, numbers, projection)

    @classmethod
    def open(cls, folder: Path, name: str, units: UnitVectors) -> CoarseVectors:
        """Map what ``make`` wrote to a folder."""
        file, codes = folder / f"{name}-projection.npy", f"{name}-codes.npy"
        projection = np.load(file) if file.exists() else None
        mapped = map_array(folder, codes) if (folder / codes).exists() else units.values
        return cls(mapped, map_array(folder, f"{name}-rows.npy"), projection)

    def bounds(self, units: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
        """Bound the similarities of all rows with queries.

        Args:
            units: (Q, D + 1), vectors of length 1.

        Yields:
            For each query: about the similarities (n,), and what they may be at most (n,), float32.
        """
        import torch

        whole = units.astype(np.float64)
        part = whole if self.projection is None else whole @ self.projection
        codes, scales = int8_codes(part)
        off = np.linalg.norm(part - codes.astype(np.float64) * scales[:, None], axis=1)
        length = np.linalg.norm(part, axis=1)
        left = np.sqrt(np.maximum((whole**2).sum(1) - length**2, 0.0) + 1e-12)
        row_scale, row_error, row_left = torch.from_numpy(self.rows)
        for q, products in enumerate(int8_products(self.codes, codes)):
            about = products.mul(row_scale).mul_(float(scales[q]))
            most = torch.add(about, row_error, alpha=float(length[q] + off[q]))  # |x - e| <= 1 + |e|
            if self.projection is not None:
                most.add_(row_left, alpha=float(left[q]))
            yield about, most.add_(float(off[q]) + ROUNDING)


def projection_of(units: UnitVectors, kept: float = ENOUGH) -> np.ndarray | None:
    """Choose a projection to fewer dimensions: the leading directions of a sample.

    Args:
        units: the vectors.
        kept: share of the squared length that the projections keep.

    Returns:
        (D + 1, W) float64; None where more than half the dimensions are needed, so that reading projections saves little.
    """
    sample = units.rows(np.linspace(0, len(units) - 1, min(SAMPLE, len(units))).astype(np.int64)).astype(np.float64)
    values, directions = np.linalg.eigh(sample.T @ sample)
    shares = np.cumsum(values[::-1]) / max(float(values.sum()), 1e-300)
    width = -(-(int(np.searchsorted(shares, kept)) + 1) // STEP) * STEP
    return np.ascontiguousarray(directions[:, ::-1][:, :width]) if 2 * width <= units.width else None


def int8_products(rows: np.ndarray, queries: np.ndarray) -> Tensor:
    """Multiply int8 codes exactly.

    Args:
        rows: (n, W).
        queries: (Q, W).

    Returns:
        (Q, n) int32 or float32, integers.
    """
    import torch

    if len(rows) and len(queries) and torch_multiplies_exactly():
        # a copy has the strides of its shape; the kernel misreads a row that is a view of a column
        return _torch_products(torch.from_numpy(rows), torch.from_numpy(queries.T.copy()))
    products = np.zeros((len(queries), len(rows)), np.float32)
    for first in range(0, len(rows), BLOCK):
        here = slice(first, first + BLOCK)
        for column in range(0, rows.shape[1], EXACT_COLUMNS):
            columns = slice(column, column + EXACT_COLUMNS)
            products[:, here] += queries[:, columns].astype(np.float32) @ rows[here, columns].astype(np.float32).T
    return torch.from_numpy(products)


def _torch_products(rows: Tensor, columns: Tensor) -> Tensor:
    """(n, W) and (W, Q) int8 -> (Q, n) int32. PyTorch has no public product of int8; this one reads at the memory's speed."""
    import torch

    products = torch.empty(columns.shape[1], len(rows), dtype=torch.int32)

    def multiply(first: int) -> None:
        here = slice(first, first + KERNEL_ROWS)
        products[:, here] = torch._int_mm(rows[here], columns).T

    with ThreadPoolExecutor(torch.get_num_threads()) as threads:  # the kernel itself uses one for a single query
        list(threads.map(multiply, range(0, len(rows), KERNEL_ROWS)))
    return products


@cache
def torch_multiplies_exactly() -> bool:
    """Return True if the int8 product of this PyTorch exists and does not saturate, as it may on processors without VNNI."""
    import torch

    rows = torch.full((64, 512), LARGEST_CODE, dtype=torch.int8)
    rows[1::2] = -LARGEST_CODE
    try:
        for queries in (1, 16):
            for value in (LARGEST_CODE, -LARGEST_CODE):
                columns = torch.full((512, queries), value, dtype=torch.int8)
                if not torch.equal(torch._int_mm(rows, columns).long(), rows.long() @ columns.long()):
                    return False
    except Exception:  # whatever a release or a processor without it answers
        return False
    return True
