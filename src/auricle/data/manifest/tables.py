"""Read and write the rows of CSV, TSV and Parquet files."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TextIO

from auricle.core.errors import AuricleError, MissingExtra
from auricle.core.io import replacing

TABLES = (".csv", ".tsv", ".parquet")
CHUNK = 1024  # rows in memory as Python objects at a time: they fit the processor's caches


def check_table(path: Path) -> None:
    """Raise AuricleError for a file name without the suffix of a table."""
    if path.suffix.lower() not in TABLES:
        raise AuricleError(f"{path}: a manifest is written as {', '.join(TABLES)}, not '{path.suffix}'")


class Chunk(NamedTuple):
    """Consecutive rows of a table, column by column: text (CSV, TSV) or typed values (Parquet)."""

    header: Sequence[str]
    columns: Sequence[Sequence[Any]]
    num_rows: int

    def cells(self, name: str) -> Sequence[Any]:
        """Return the cells of a column; of several with this name, the last."""
        return self.columns[len(self.header) - 1 - list(reversed(self.header)).index(name)]


def read_table(path: Path) -> Iterator[Mapping[str, Any]]:
    """Iterate over the rows as mappings from column name to text (CSV, TSV) or value (Parquet).

    Raises:
        AuricleError: The file is missing, is no table, or cannot be read.
    """
    for chunk in read_chunks(path):
        for row in zip(*chunk.columns):
            yield dict(zip(chunk.header, row))


def read_chunks(path: Path) -> Iterator[Chunk]:
    """Iterate over the rows in chunks. Raises what ``read_table`` raises."""
    if not path.is_file():
        raise AuricleError(f"the table {path} does not exist")
    if path.suffix.lower() not in TABLES:
        raise AuricleError(f"{path} is not a table: expected one of {', '.join(TABLES)}")
    try:
        yield from _parquet_chunks(path) if path.suffix.lower() == ".parquet" else _text_chunks(path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AuricleError(f"cannot read the table {path}: {error}") from None


def _text_chunks(path: Path) -> Iterator[Chunk]:
    """Yield the chunks of a CSV or TSV file. Empty lines are skipped, and missing cells at the end of a line are None."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = _reader(file, path)
        header: list[str] = next(reader, [])
        while lines := list(islice(reader, CHUNK)):
            rows: list[list[Any]] = lines  # type: ignore[assignment]
            lengths = set(map(len, rows))
            if max(lengths) > len(header):
                _refuse_long_row(path)
            if lengths != {len(header)}:
                rows = [row + [None] * (len(header) - len(row)) for row in rows if row]
            if rows:
                yield Chunk(header, list(zip(*rows)), len(rows))


def _reader(file: TextIO, path: Path) -> Any:
    """Return a CSV reader with the delimiter of this file: DCASE's tables have tabs, and names that end in .csv."""
    header = file.readline()
    file.seek(0)
    tabs = path.suffix.lower() == ".tsv" or ("\t" in header and "," not in header)
    return csv.reader(file, delimiter="\t" if tabs else ",", strict=True)


def _refuse_long_row(path: Path) -> NoReturn:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = _reader(file, path)
        width = len(next(reader))
        next(row for row in reader if len(row) > width)
        raise AuricleError(
            f"{path.name} line {reader.line_num} has more cells than the header; quote cells with commas"
        )


def _parquet_chunks(path: Path) -> Iterator[Chunk]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra(f"reading {path.name}", "data") from None
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(CHUNK):
                yield Chunk(batch.schema.names, [column.to_pylist() for column in batch.columns], batch.num_rows)
    except pyarrow.ArrowException as error:
        raise AuricleError(f"cannot read the table {path}: {error}") from None


def write_parquet(columns: Mapping[str, Sequence[str | None]], path: Path) -> None:
    """Write columns of text, under a temporary name until the file is complete."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra(f"writing {path.name}", "data") from None
    with replacing(path) as temporary:
        pyarrow.parquet.write_table(pyarrow.table(dict(columns)), temporary)


@contextmanager
def text_file(path: Path) -> Iterator[TextIO]:
    """Open a text file for writing, under a temporary name until it is complete."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        yield file
