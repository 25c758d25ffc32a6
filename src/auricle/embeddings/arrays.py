"""Write embeddings of a store to one file: .npy, .npz or Parquet, a part of the rows at a time.

A row is a clip, or with ``over_time`` a frame: then the rows of all clips follow each other. The bytes of .npy and .npz are
those that ``np.save`` and ``np.savez`` would write.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from auricle.core.errors import MissingExtra
from auricle.core.io import replacing
from auricle.data.stores.embeddings import EmbeddingStore
from auricle.data.stores.shards import FRAMES

CLIPS_AT_ONCE = 256
FRAMES_SUFFIX = ".times.npy"
ROUNDING = 1e-3  # another number of threads or clips in a batch changes the last bits of an embedding


@dataclass(frozen=True)
class Selection:
    """The embeddings to write: clips of a store, in this order.

    Attributes:
        store: the store.
        ids: at least one; every one is in the store.
        over_time: rows are frames, not clips.
        counts: rows of each clip.
        width: length of a row.
    """

    store: EmbeddingStore
    ids: tuple[str, ...]
    over_time: bool
    counts: tuple[int, ...]
    width: int

    @classmethod
    def of(cls, store: EmbeddingStore, ids: Sequence[str], *, over_time: bool) -> Selection:
        """Select clips of a store."""
        rows, widths = store.rows(ids), store.widths()
        counts = tuple(rows[id].frames if over_time else 1 for id in ids)
        width = widths[FRAMES] if over_time else sum(n for name, n in widths.items() if name != FRAMES)
        return cls(store, tuple(ids), over_time, counts, width)

    def parts(self) -> Iterator[tuple[tuple[str, ...], np.ndarray]]:
        """Yield ids and their rows (n, D): many clips at a time, or one with all its frames."""
        for start in range(0, len(self.ids), 1 if self.over_time else CLIPS_AT_ONCE):
            if self.over_time:
                ids = self.ids[start : start + 1]
                frames = self.store[ids[0]].frames
                assert frames is not None
                yield ids, frames
            else:
                ids = self.ids[start : start + CLIPS_AT_ONCE]
                yield ids, self.store.vectors(ids)

    def times(self, id: str) -> np.ndarray:
        """Return (T,) seconds from the start of a clip to its frames."""
        times = self.store[id].times
        assert times is not None
        return times


def times_file(out: Path) -> Path:
    """Return the file with the times of a .npy of frames."""
    return out.with_name(f"{out.stem}{FRAMES_SUFFIX}")


def write_arrays(out: Path, selection: Selection) -> None:
    """Write the file that the suffix of ``out`` names (.npy, .npz, .parquet), completely or not at all.

    Raises:
        AuricleError: when the file cannot be written.
        MissingExtra: for Parquet without pyarrow.
    """
    WRITERS[out.suffix.lower()](out, selection)


def read_rows(out: Path) -> np.ndarray | None:
    """Return the embeddings (rows, D) in a file; None if they cannot be read."""
    try:
        if out.suffix.lower() == ".npy":
            return np.load(out, mmap_mode="r")
        if out.suffix.lower() == ".npz":
            with np.load(out) as archive:
                return archive["embeddings"]
        from pyarrow import parquet

        column = parquet.read_table(out, columns=["embedding"])["embedding"].combine_chunks()
        return np.asarray(column.flatten()).reshape(len(column), -1)
    except Exception:  # what another program wrote may raise anything
        return None


def holds(out: Path, selection: Selection) -> bool:
    """Return True if a file holds these embeddings, but for rounding."""
    rows, start = read_rows(out), 0
    if rows is None or rows.shape != (sum(selection.counts), selection.width):
        return False
    for _, part in selection.parts():
        if not np.allclose(rows[start : start + len(part)], part, rtol=ROUNDING, atol=ROUNDING, equal_nan=True):
            return False
        start += len(part)
    return True


def _write_npy(out: Path, selection: Selection) -> None:
    with replacing(out) as temporary, open(temporary, "wb") as file:
        _write_rows(file, selection)
    if selection.over_time:
        with replacing(times_file(out)) as temporary, open(temporary, "wb") as file:
            _write_times(file, selection)


def _write_npz(out: Path, selection: Selection) -> None:
    with replacing(out) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        members: dict[str, Callable[[IO[bytes]], Any]] = {
            "ids": lambda file: np.lib.format.write_array(file, np.array(selection.ids)),
            "embeddings": lambda file: _write_rows(file, selection),
        }
        if selection.over_time:
            members["times"] = lambda file: _write_times(file, selection)
            members["counts"] = lambda file: np.lib.format.write_array(file, np.array(selection.counts))
        for name, write in members.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                write(file)


def _write_rows(file: IO[bytes], selection: Selection) -> None:
    _write_header(file, np.dtype(selection.store.dtype), (sum(selection.counts), selection.width))
    for _, rows in selection.parts():
        file.write(np.ascontiguousarray(rows).data)


def _write_times(file: IO[bytes], selection: Selection) -> None:
    _write_header(file, selection.times(selection.ids[0]).dtype, (sum(selection.counts),))
    for id in selection.ids:
        file.write(np.ascontiguousarray(selection.times(id)).data)


def _write_header(file: IO[bytes], dtype: np.dtype, shape: tuple[int, ...]) -> None:
    description = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(file, {"descr": description, "fortran_order": False, "shape": shape})


def _write_parquet(out: Path, selection: Selection) -> None:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise MissingExtra("writing Parquet", "data") from None
    numbers = pa.from_numpy_dtype(np.dtype(selection.store.dtype))
    fields = [("id", pa.string()), ("embedding", pa.list_(numbers, selection.width))]
    if selection.over_time:
        fields.append(("time", pa.from_numpy_dtype(selection.times(selection.ids[0]).dtype)))
    schema = pa.schema(fields)
    with replacing(out) as temporary, parquet.ParquetWriter(temporary, schema) as writer:
        for ids, rows in selection.parts():
            vectors = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), selection.width)
            repeated = np.repeat(np.array(ids, dtype=object), len(rows) // len(ids))
            columns = [pa.array(repeated, pa.string()), vectors]
            if selection.over_time:
                columns.append(pa.array(selection.times(ids[0])))
            writer.write_batch(pa.record_batch(columns, schema=schema))


WRITERS = {".npy": _write_npy, ".npz": _write_npz, ".parquet": _write_parquet}
