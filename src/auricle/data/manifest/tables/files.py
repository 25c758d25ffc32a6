"""Read and write the rows of tables: CSV, TSV, JSON, JSONL and Parquet files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from auricle.core.errors import AuricleError, MissingExtra
from auricle.core.io import replacing
from auricle.data.manifest.tables.json_rows import json_chunks
from auricle.data.manifest.tables.text import CHUNK, TableChunk, line_of_row, text_chunks

WRITTEN = (".csv", ".tsv", ".parquet")
JSON = (".json", ".jsonl", ".ndjson")
TABLES = (*WRITTEN, *JSON)  # in lower case; files with these suffixes are read as tables
SPREADSHEETS = (".xlsx", ".xlsm", ".xls", ".ods", ".numbers")


def check_table(path: Path) -> None:
    """Raise AuricleError for a file name without the suffix of a table that can be written."""
    if path.suffix.lower() not in WRITTEN:
        raise AuricleError(f"{path}: a manifest is written as {', '.join(WRITTEN)}, not '{path.suffix}'")


def refuse_spreadsheet(path: Path) -> None:
    """Raise AuricleError for a file that may hold a table, but not one that is read."""
    if path.suffix.lower() in SPREADSHEETS:
        raise AuricleError(f"{path} is a spreadsheet; save the sheet as 'CSV UTF-8' and name that file")
    if path.suffix.lower() == ".txt":
        raise AuricleError(
            f"{path} is no audio; if it is a table, name it .csv, or .tsv where cells are separated by tabs"
        )


def read_table(path: Path) -> Iterator[Mapping[str, Any]]:
    """Iterate over the rows as mappings from column name to text (CSV, TSV) or value (Parquet, JSON).

    Raises:
        AuricleError: The file is missing, is no table, or cannot be read.
    """
    for chunk in read_chunks(path):
        for row in zip(*chunk.columns):
            yield dict(zip(chunk.header, row))


def read_chunks(path: Path) -> Iterator[TableChunk]:
    """Iterate over the rows in chunks. Raises what ``read_table`` raises."""
    if not path.is_file():
        raise AuricleError(f"the table {path} does not exist")
    suffix = path.suffix.lower()
    if suffix not in TABLES:
        raise AuricleError(f"{path} is not a table: expected one of {', '.join(TABLES)}")
    try:
        yield from (
            _parquet_chunks(path)
            if suffix == ".parquet"
            else json_chunks(path)
            if suffix in JSON
            else text_chunks(path)
        )
    except AuricleError:
        raise
    except UnicodeDecodeError as error:
        raise AuricleError(
            f"cannot read the table {path}: its text is not UTF-8 ({error.reason}); save it as 'CSV UTF-8'"
        ) from None
    except Exception as error:  # of the file system, of the reader of CSV, of PyArrow, of dates out of range
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise AuricleError(f"cannot read the table {path}: {reason}") from None


def place_of_row(path: Path, number: int) -> str:
    """Return where a row is (0: the first; blank rows are not counted), for messages: "m.csv line 2"."""
    if path.suffix.lower() in (".csv", ".tsv"):
        return f"{path.name} line {line_of_row(path, number)}"
    return f"{path.name} row {number + 1}"


def _parquet_chunks(path: Path) -> Iterator[TableChunk]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra(f"reading {path.name}", "data") from None
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            classes = _class_names(file.schema_arrow.metadata or {})
            for batch in file.iter_batches(CHUNK):
                names = batch.schema.names
                columns = [
                    [named_class(cell, classes.get(name, ())) for cell in column.to_pylist()]
                    if name in classes
                    else column.to_pylist()
                    for name, column in zip(names, batch.columns)
                ]
                yield TableChunk(names, columns, batch.num_rows)
    except pyarrow.ArrowException as error:
        raise AuricleError(f"cannot read the table {path}: {error}") from None


def _class_names(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """Return the names of the classes that Hugging Face's data sets number, by column."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        lists = {name: feature.get("feature") or feature for name, feature in features.items()}
        return {name: list(feature["names"]) for name, feature in lists.items() if "names" in feature}
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}


def named_class(cell: Any, names: Sequence[str]) -> Any:
    """Return the name of a class instead of its number, also in a list; other cells as they are."""
    if isinstance(cell, (list, tuple)):
        return [named_class(item, names) for item in cell]
    return names[cell] if isinstance(cell, int) and 0 <= cell < len(names) else None if cell == -1 else cell


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
