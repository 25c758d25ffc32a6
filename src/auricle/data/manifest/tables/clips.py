"""Read the clips of a table, and say how it was understood. The halves of a large CSV file are read by two processes."""

from __future__ import annotations

import csv
import gc
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from auricle.core.devices import free_cores
from auricle.core.errors import AuricleError
from auricle.data.manifest.clip_table import Clip, ClipTable, TableBuilder, merged_rows
from auricle.data.manifest.label_cells import LabelNote, comma_note, is_doubtful, name_notes
from auricle.data.manifest.rows import (
    EVENT_TIMES,
    IMPOSSIBLE,
    clip_columns,
    clip_of,
    find_columns,
    plain_name,
    spans_of_another_recording,
)
from auricle.data.manifest.tables.files import place_of_row, read_chunks
from auricle.data.manifest.tables.text import Half, TableChunk, half_chunks, halves_of

DOUBTED = 20_000  # rows of a table up to which it is asked whether commas are parts of labels
MAX_NAMED = 8  # columns that a note names
DECIMALS = ("start", "end", "weight", *EVENT_TIMES)  # fields whose cells may have a decimal comma
LARGE = 64 << 20  # bytes of a file that is read by two processes; starting the second one takes half a second


class ReadTable(NamedTuple):
    """The clips of a table, notes about how it was understood, and True if its rows are named by ids of AudioSet's clips."""

    clips: ClipTable
    notes: tuple[str, ...]
    youtube: bool


def read_clips(path: Path, **named: str | None) -> ReadTable:
    """Read the clips of a table with a header.

    Args:
        path: CSV, TSV, JSON, JSONL or Parquet.
        named: ``label_column`` and ``group_column``, where they have unusual names.

    Raises:
        AuricleError: The table cannot be read; the message names the line and the column.
    """
    with _without_garbage_collection():
        rows = _read_by_two(path, named) or _read(read_chunks(path), path, named)
    if not rows.columns:
        raise AuricleError(f"{path.name} has no rows: it lists no clips")
    table, notes = merged_rows(rows.clips, path.name)
    notes = (*_column_notes(rows.header, rows.columns, path.name), *notes)
    if spans_of_another_recording(rows.header):
        notes = (f"the spans in {path.name} are not used: its rows are taken to be about whole files", *notes)
    if len(table) <= DOUBTED and "labels" in rows.columns:
        notes = (*notes, *name_notes(table.distinct("labels"), path.name))
        notes = (*notes, *comma_note(rows.doubtful, (labels or () for labels in table.values("labels")), path.name))
    return ReadTable(table, notes, not {"ytid", "youtube_id"}.isdisjoint(map(plain_name, rows.header)))


def _column_notes(header: Sequence[str], columns: Mapping[str, str], where: str) -> Iterator[str]:
    """Say which of several columns of one name is used, and which columns are there if none holds labels."""
    plain = [plain_name(name) for name in header]
    for name in columns.values():
        if (count := plain.count(plain_name(name))) > 1:
            yield f"{where} has {count} columns called '{name.strip()}'; the last one is used"
    other = [name.strip() for name in header if name.strip() and name not in columns.values()]
    if other and "labels" not in columns:
        rest = ", …" if len(other) > MAX_NAMED else ""
        yield LabelNote(
            f"{where} has no column of labels; columns that are not used: {', '.join(other[:MAX_NAMED])}{rest}; "
            "--label-column NAME reads one of them"
        )


class Rows(NamedTuple):
    """The rows of a table or of a half of one; columns by field; and label cells whose commas may be parts of names."""

    clips: ClipTable
    header: Sequence[str]
    columns: Mapping[str, str]
    doubtful: set[str]


def _read(chunks: Iterable[TableChunk], path: Path, named: Mapping[str, str | None]) -> Rows:
    builder = TableBuilder()
    header: Sequence[str] = ()
    columns: dict[str, str] = {}
    doubtful: set[str] = set()
    for chunk in chunks:
        if not columns:
            header, columns = chunk.header, find_columns(chunk.header, path.name, **named)
        _add(builder, chunk, columns, path)
        if builder.count <= DOUBTED and "labels" in columns:
            doubtful |= set(filter(is_doubtful, chunk.cells(columns["labels"])))
    return Rows(builder.table(), header, columns, doubtful)


def _add(builder: TableBuilder, chunk: TableChunk, columns: Mapping[str, str], path: Path) -> None:
    cells = {field: chunk.cells(column) for field, column in columns.items()}
    if chunk.decimal_comma:
        cells |= {field: [_with_point(cell) for cell in cells[field]] for field in DECIMALS if field in cells}
    try:
        if EVENT_TIMES[0] in columns:
            raise ValueError("a row per event")
        builder.add(chunk.num_rows, clip_columns(cells, chunk.num_rows))
    except IMPOSSIBLE:  # row by row, for an error that names the row and the column
        builder.add_clips(_clips_of(cells, columns, path, builder.count))


def _with_point(cell: Any) -> Any:
    return cell.replace(",", ".") if isinstance(cell, str) else cell


def _clips_of(cells: Mapping[str, Sequence[Any]], columns: Mapping[str, str], path: Path, first: int) -> Iterator[Clip]:
    for number, row in enumerate(zip(*cells.values()), start=first):
        try:
            yield clip_of(dict(zip(columns.values(), row)), columns)
        except AuricleError as error:
            raise AuricleError(f"{place_of_row(path, number)}: {error}") from None


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Pause the garbage collector: millions of short lists without cycles would start it again and again, a tenth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


# ---- two processes


def _read_by_two(path: Path, named: Mapping[str, str | None]) -> Rows | None:
    """Read the halves of a large CSV file at the same time; None where that does not pay or anything is unusual.

    The first half is read from the beginning and strictly: if it ends inside quotes, it is refused, and the whole file is
    read in one piece. So the second half begins with a row.
    """
    if path.suffix.lower() != ".csv" or not path.is_file() or path.stat().st_size < LARGE or free_cores() < 2:
        return None
    halves = halves_of(path)
    if halves is None:
        return None
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-P", "-m", __name__, json.dumps([str(path.absolute()), halves[1], named])]
    nothing = subprocess.DEVNULL
    try:
        with subprocess.Popen(command, stdin=nothing, stdout=subprocess.PIPE, stderr=nothing, env=environment) as other:
            try:
                assert other.stdout is not None
                first = _read(half_chunks(path, halves[0]), path, named)
                return first._replace(clips=first.clips.followed_by(pickle.load(other.stdout)))
            finally:
                other.kill()
    except (AuricleError, ValueError, TypeError, csv.Error, EOFError, OSError, pickle.UnpicklingError):
        return None


def main() -> None:
    """Read the second half of a file and write its clips to standard output, for the process that reads the first."""
    path, half, named = json.loads(sys.argv[1])
    with _without_garbage_collection():
        rows = _read(half_chunks(Path(path), Half(*half)), Path(path), named)
        pickle.dump(rows.clips, sys.stdout.buffer, protocol=pickle.HIGHEST_PROTOCOL)


if __name__ == "__main__":
    main()
