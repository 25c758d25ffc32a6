"""Rows of CSV, TSV and Parquet files."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from auricle.core.errors import AuricleError, MissingExtra
from auricle.core.io import replacing

TABLES = (".csv", ".tsv", ".parquet")


def check_table(path: Path) -> None:
    if path.suffix.lower() not in TABLES:
        raise AuricleError(f"{path}: a manifest is written as {', '.join(TABLES)}, not '{path.suffix}'")


def read_table(path: Path) -> Iterator[Mapping[str, Any]]:
    """The rows as mappings from column name to text (CSV, TSV) or value (Parquet). Raises AuricleError."""
    if not path.is_file():
        raise AuricleError(f"the table {path} does not exist")
    if path.suffix.lower() not in TABLES:
        raise AuricleError(f"{path} is not a table: expected one of {', '.join(TABLES)}")
    try:
        yield from _parquet_rows(path) if path.suffix.lower() == ".parquet" else _text_rows(path)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AuricleError(f"cannot read the table {path}: {error}") from None


def _text_rows(path: Path) -> Iterator[Mapping[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        header = file.readline()
        file.seek(0)
        tabs = path.suffix.lower() == ".tsv" or ("\t" in header and "," not in header)  # DCASE's tables end in .csv
        reader = csv.DictReader(file, delimiter="\t" if tabs else ",", strict=True)
        for row in reader:
            if None in row:
                raise AuricleError(
                    f"{path.name} line {reader.line_num} has more cells than the header; quote cells with commas"
                )
            yield row


def _parquet_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra(f"reading {path.name}", "data") from None
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for batch in file.iter_batches():
                yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise AuricleError(f"cannot read the table {path}: {error}") from None


def write_parquet(rows: list[dict[str, Any]], path: Path) -> None:
    """Rows of text, all with the same keys, through a temporary name."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra(f"writing {path.name}", "data") from None
    with replacing(path) as temporary:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), temporary)


@contextmanager
def text_file(path: Path) -> Iterator[TextIO]:
    """A text file for writing that takes its name only when it is complete."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        yield file
