"""Read CSV and TSV files as people have them: any usual separator, ``sep=``, comments, blank rows, UTF-8 or UTF-16."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from auricle.core.errors import AuricleError
from auricle.data.manifest.rows import is_name_of_path

CHUNK = 1024  # rows in memory as Python objects at a time: they fit the processor's caches
DELIMITERS = ",;\t|"
DECIMAL_COMMA = ";\t"  # separators beside which numbers may be written as 0,5: Excel's CSV and its "Unicode text"
HEAD = 1 << 16  # bytes that decide how a file is written
BINARY = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # how spreadsheets (and archives) begin, whatever their name


class TableChunk(NamedTuple):
    """Consecutive rows of a table, column by column.

    Attributes:
        header: Names of the columns.
        columns: The cells of each column: text (CSV, TSV) or typed values (Parquet, JSON).
        num_rows: Number of rows.
        decimal_comma: True where numbers may be written as 0,5.
    """

    header: Sequence[str]
    columns: Sequence[Sequence[Any]]
    num_rows: int
    decimal_comma: bool = False

    def cells(self, name: str) -> Sequence[Any]:
        """Return the cells of a column; of several with this name, the last."""
        return self.columns[len(self.header) - 1 - list(reversed(self.header)).index(name)]


class TableLayout(NamedTuple):
    """How a text table is written.

    Attributes:
        encoding: ``utf-8-sig`` or ``utf-16``.
        skipped: Lines before the header: ``sep=``, comments, blank ones.
        delimiter: Separator of the cells.
        skip_spaces: Blanks behind a separator are no part of a cell (AudioSet's lists have some before quotes).
    """

    encoding: str
    skipped: int
    delimiter: str
    skip_spaces: bool


def layout_of(path: Path) -> TableLayout:
    """Find out how a CSV or TSV file is written. Raises AuricleError for a spreadsheet's own format."""
    with path.open("rb") as file:
        head = file.read(HEAD)
    if head.startswith(BINARY):
        raise AuricleError(f"{path} is a spreadsheet or an archive, not text; save the sheet as 'CSV UTF-8'")
    encoding = "utf-16" if head.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    lines = io.StringIO(head.decode(encoding, "ignore"), newline="").readlines() or [""]
    first = re.fullmatch(r'"?sep=(.)"?\s*', lines[0], re.IGNORECASE)
    skipped = 1 if first else 0
    while skipped + 1 < len(lines) and (_is_comment(lines[skipped]) or not lines[skipped].strip(f'{DELIMITERS}" \r\n')):
        skipped += 1
    before = lines[skipped - 1] if skipped else ""
    if _is_comment(before) and any(map(is_name_of_path, re.split(f"[{DELIMITERS}]", before))):
        skipped -= 1  # the header, as in AudioSet's "# YTID, start_seconds, …"
    delimiter = first[1] if first else _delimiter(lines[skipped], path)
    return TableLayout(encoding, skipped, delimiter, f'{delimiter} "' in "".join(lines))


def _is_comment(line: str) -> bool:
    """Return True for "# text"; a header may begin with a column that is called "#"."""
    return line.startswith("#") and line[1:2] not in DELIMITERS


def _delimiter(header: str, path: Path) -> str:
    """Return the sign that the header has most of outside quotes; DCASE's tables have tabs, and names that end in .csv."""
    plain = re.sub(r'"[^"]*"', "", header)
    return max("\t,;|" if path.suffix.lower() == ".tsv" else DELIMITERS, key=plain.count)


@contextmanager
def opened(path: Path) -> Iterator[tuple[TableLayout, Any]]:
    """Yield the layout of a text table, and a CSV reader whose first row is the header."""
    layout = layout_of(path)
    with path.open(encoding=layout.encoding, newline="") as file:
        for _ in range(layout.skipped):
            file.readline()
        header = file.readline()
        lines = chain([header.lstrip("# ") if _is_comment(header) else header], file)
        yield layout, csv.reader(lines, delimiter=layout.delimiter, skipinitialspace=layout.skip_spaces, strict=True)


def text_chunks(path: Path) -> Iterator[TableChunk]:
    """Yield the rows of a CSV or TSV file in chunks. Blank rows are skipped; missing cells at the end of a line are None."""
    with opened(path) as (layout, reader):
        yield from _chunks(reader, next(reader, []), layout, path)


def _chunks(reader: Iterator[list[str]], header: list[str], layout: TableLayout, path: Path) -> Iterator[TableChunk]:
    while rows := list(islice(reader, CHUNK)):
        if set(map(len, rows)) != {len(header)}:
            rows = [_fitted(row, len(header), path) for row in rows if row]
        columns = list(zip(*rows))
        if columns and not all(map(str.strip, columns[0])):  # a blank row begins with a blank cell
            rows = [row for row in rows if not is_blank(row)]
            columns = list(zip(*rows))
        if rows:
            yield TableChunk(header, columns, len(rows), layout.delimiter in DECIMAL_COMMA)


def is_blank(row: Sequence[Any]) -> bool:
    """Return True for a row without a value; spreadsheets write some."""
    return not any(cell.strip() if isinstance(cell, str) else cell is not None for cell in row)


def _fitted(row: list[Any], width: int, path: Path) -> list[Any]:
    """Return the row with as many cells as the header: None for missing ones, without blank ones that are too many."""
    if len(row) > width and not is_blank(row[width:]):
        _refuse_long_row(path)
    return row[:width] + [None] * (width - len(row))


def _refuse_long_row(path: Path) -> NoReturn:
    with opened(path) as (layout, reader):
        width = len(next(reader))
        next(row for row in reader if not is_blank(row[width:]))
        raise AuricleError(
            f"{path.name} line {layout.skipped + reader.line_num} has more cells than the header; "
            f"quote cells that hold the separator ('{layout.delimiter}')"
        )


def line_of_row(path: Path, number: int) -> int:
    """Return the line on which a row ends (0: the first row below the header; blank rows are not counted)."""
    with opened(path) as (layout, reader):
        rows = (row for row in islice(reader, 1, None) if not is_blank(row))
        next(islice(rows, number, None), None)
        return layout.skipped + reader.line_num


# ---- halves of a large file


class Half(NamedTuple):
    """Bytes [start, stop) of a text table whose rows they hold, without the header."""

    start: int
    stop: int


def halves_of(path: Path) -> tuple[Half, Half] | None:
    """Cut a CSV file between two rows near its middle; None where its layout is unusual.

    A line ends a row where the number of quotes before it is even. Quotes in the middle of a cell may mislead that count:
    whoever reads the first half strictly finds out.
    """
    layout = layout_of(path)
    with path.open("rb") as file:
        lines = [file.readline(HEAD) for _ in range(layout.skipped + 1)]
        plain = all(line.endswith(b"\n") and b"\r" not in line.rstrip(b"\r\n") for line in lines)
        if layout.encoding != "utf-8-sig" or lines[-1].count(b'"') % 2 or not plain:
            return None
        start, size = file.tell(), path.stat().st_size
        quotes, middle = 0, (start + size) // 2
        while (rest := middle - file.tell()) > 0:
            quotes += file.read(min(rest, 1 << 20)).count(b'"')
        for line in file:
            quotes += line.count(b'"')
            if quotes % 2 == 0:
                return Half(start, file.tell()), Half(file.tell(), size)
    return None


def half_chunks(path: Path, half: Half) -> Iterator[TableChunk]:
    """Yield the rows of a half of a CSV file in chunks. Raises csv.Error if it ends inside quotes."""
    layout = layout_of(path)
    with opened(path) as (_, reader):
        header = next(reader)
    with path.open("rb") as file:
        file.seek(half.start)
        text = io.TextIOWrapper(io.BytesIO(file.read(half.stop - half.start)), encoding="utf-8", newline="")
    rows = csv.reader(text, delimiter=layout.delimiter, skipinitialspace=layout.skip_spaces, strict=True)
    yield from _chunks(rows, header, layout, path)
