"""Convert rows of a table to clips and back: the names of columns, here and in other projects, and the format of cells.

A cell may be text (CSV) or a typed value (Parquet). Several labels in a cell are separated by commas; a label that
holds a comma itself is quoted inside the cell. Events are JSON: ``[[onset, offset, "label"], ...]``.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import repeat
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from auricle.core.errors import AuricleError
from auricle.data.manifest.clip import DEFAULTS, FIELDS, Clip, Segment
from auricle.data.manifest.columns import MISSING, Lists

SYNONYMS = {
    "path": ("path", "file_name", "filename", "file", "fname", "file_path", "filepath"),
    "labels": ("label", "labels", "category", "class", "class_name", "target"),
    "group": ("group", "speaker", "speaker_id", "patient", "patient_id", "site"),
    "rate": ("rate", "sample_rate"),
    "num_samples": ("num_samples", "samples"),
    "transcript": ("transcript", "text", "sentence"),
}
ASCII_BLANKS = " \t\n\r\v\f\x1c\x1d\x1e\x1f"  # what str.strip removes
STORED_SUFFIXES = (".npy", ".npz")  # a path with one of these is a stored spectrogram


def find_columns(
    header: Collection[str], where: str, *, label_column: str | None = None, group_column: str | None = None
) -> dict[str, str]:
    """Map fields of a clip to columns of this table; the first synonym that occurs is taken unless a column is named.

    Raises AuricleError for a named column that does not exist, and for a table without a column that names the clip.
    """
    known = {name.strip().lower(): name for name in header}
    found = {}
    for field in FIELDS:
        for name in SYNONYMS.get(field, (field,)):
            if name in known:
                found[field] = known[name]
                break
    found |= _named(header, where, {"labels": label_column, "group": group_column})
    if not {"id", "path", "key"} & found.keys():
        raise AuricleError(
            f"{where} has no column for the file; found {', '.join(header) or 'none'}; "
            f"expected one of {', '.join(SYNONYMS['path'])} in the first line"
        )
    return found


def _named(header: Collection[str], where: str, wanted: Mapping[str, str | None]) -> dict[str, str]:
    named = {field: column for field, column in wanted.items() if column is not None}
    for column in named.values():
        if column not in header:
            raise AuricleError(f"{where} has no column '{column}'; its columns are {', '.join(header)}")
    return named


def clip_of(row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> Clip:
    """Convert one row. Raises AuricleError with the row and the column of an impossible value."""
    values: dict[str, Any] = {}
    for field, column in columns.items():
        cell = row.get(column)
        if not _blank(cell):
            try:
                values[field] = READERS[field](cell)
            except (ValueError, TypeError, csv.Error):
                raise AuricleError(f"{where}: column '{column}' holds {cell!r}; expected {EXPECTED[field]}") from None
    if str(values.get("path", "")).endswith((".npy", ".npz")):
        values["key"] = values.pop("path")
    if "key" in values:
        values.setdefault("store", ".")
    id = values.pop("id", None) or _default_id(values)
    if not id:
        raise AuricleError(f"{where}: neither an id nor a file name")
    if values.get("end") is not None and values["end"] <= values.get("start", 0.0):
        raise AuricleError(f"{where}: the clip ends at {values['end']} s but starts at {values.get('start', 0.0)} s")
    return Clip(id=id, **values)


def _default_id(values: Mapping[str, Any]) -> str | None:
    name = values.get("path") or values.get("key")
    if name is None or ("start" not in values and "end" not in values):
        return name
    end = f"{values['end']:.12g}" if "end" in values else ""  # to a picosecond: spans that differ have other ids
    return f"{name}@{values.get('start', 0.0):.12g}-{end}"


def clip_columns(cells: Mapping[str, Sequence[Any]], count: int) -> dict[str, Any]:
    """Convert many rows at once to the columns of a ``ClipTable``, with the same result as ``clip_of`` for each row.

    Args:
        cells: The ``count`` cells of each clip field.
        count: Number of rows.

    Returns:
        Values by field name, as ``TableBuilder.add`` takes them.

    Raises:
        ValueError, TypeError, csv.Error: A cell cannot be converted; ``clip_of`` of its row names it.
    """
    values: dict[str, Any] = {field: COLUMN_READERS[field](column) for field, column in cells.items()}
    if "path" in values:
        _move_stored(values, count)
    if "key" in values:
        stores = values.get("store", [None] * count)
        values["store"] = ["." if key and not store else store for key, store in zip(values["key"], stores)]
    start, end = (values.get(name, np.full(count, np.nan)) for name in ("start", "end"))
    if (end <= np.nan_to_num(start)).any():
        raise ValueError("a clip ends before it starts")
    if "id" not in values or None in values["id"]:
        values["id"] = _filled_ids(values, start, end, count)
    return values


def _move_stored(values: dict[str, Any], count: int) -> None:
    """Move paths of stored spectrograms to the field ``key``."""
    if any(suffix in "\n".join(filter(None, values["path"])) for suffix in STORED_SUFFIXES):
        stored = [path is not None and path.endswith(STORED_SUFFIXES) for path in values["path"]]
        keys = values.get("key", [None] * count)
        values["key"] = [path if move else key for path, key, move in zip(values["path"], keys, stored)]
        values["path"] = [None if move else path for path, move in zip(values["path"], stored)]


def _filled_ids(values: dict[str, Any], start: np.ndarray, end: np.ndarray, count: int) -> Sequence[str]:
    """Return the ids; by default made from the path or key and the span."""
    nothing = [None] * count
    paths, keys = values.get("path", nothing), values.get("key", nothing)
    names = paths if None not in paths else [path or key for path, key in zip(paths, keys)]
    for row in np.flatnonzero(~(np.isnan(start) & np.isnan(end))):
        if names is paths:
            names = list(paths)
        span = {
            name: float(column[row]) for name, column in (("start", start), ("end", end)) if column[row] == column[row]
        }
        names[row] = _default_id({"path": names[row], **span})
    ids = values.get("id", nothing)
    filled = names if ids is nothing else [id or name for id, name in zip(ids, names)]
    if None in filled:
        raise ValueError("neither an id nor a file name")
    return filled


def cell_of(field: str, value: Any) -> str:
    """Return the CSV text of a clip's field; empty for the default."""
    if value is None or value == DEFAULTS[field]:
        return ""
    return WRITERS.get(field, str)(value)


def _blank(cell: Any) -> bool:
    return (
        cell is None or (isinstance(cell, str) and not cell.strip()) or (isinstance(cell, float) and math.isnan(cell))
    )


def _text(cell: Any) -> str:
    return str(int(cell) if isinstance(cell, float) and cell.is_integer() else cell).strip()


def _path(cell: Any) -> str:
    return str(PurePosixPath(_text(cell)))


def _whole(cell: Any) -> int:
    value = float(cell)
    if not value.is_integer() or not 0 <= value < 2**63:
        raise ValueError
    return int(value)


def _number(cell: Any) -> float:
    value = float(cell)
    if not math.isfinite(value) or value < 0:
        raise ValueError
    return value


def _names(cell: Any) -> tuple[str, ...]:
    """('a', 'b') of "a,b"; a quoted empty text ('""') is the empty list, as opposed to no cell at all."""
    if isinstance(cell, str):
        cell = next(csv.reader(io.StringIO(cell, newline=""), skipinitialspace=True), [])
    elif not isinstance(cell, Iterable):
        cell = [cell]
    return tuple(text for item in cell if item is not None and (text := _text(item)))


def _events(cell: Any) -> tuple[Segment, ...]:
    items = json.loads(cell) if isinstance(cell, str) else cell
    return tuple(Segment(_number(onset), _number(offset), str(label)) for onset, offset, label in items)


def _joined_names(names: Collection[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(names or [""])  # names with either are quoted
    return out.getvalue().removesuffix("\r\n")


READERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("id", "store", "transcript", "split", "group"), _text),
    **dict.fromkeys(("path", "key"), _path),
    **dict.fromkeys(("start", "end", "weight"), _number),
    **dict.fromkeys(("rate", "num_samples", "fold"), _whole),
    **dict.fromkeys(("labels", "known"), _names),
    "events": _events,
}
WRITERS: dict[str, Callable[[Any], str]] = {
    **dict.fromkeys(("start", "end", "weight"), repr),
    **dict.fromkeys(("labels", "known"), _joined_names),
    "events": json.dumps,
}
EXPECTED = {
    **dict.fromkeys(("id", "store", "transcript", "split", "group", "path", "key"), "text"),
    **dict.fromkeys(("start", "end"), "seconds, 0 or more"),
    "weight": "a number, 0 or more",
    **dict.fromkeys(("rate", "num_samples"), "a whole number, 0 or more"),
    "fold": "a whole number (a part that has a name belongs in 'split' or 'group')",
    **dict.fromkeys(("labels", "known"), "labels separated by commas"),
    "events": 'JSON such as [[0.5, 1.25, "dog"]]',
}


# The same readers for whole columns: the common case without a Python function call per cell.


def _read_each(field: str, cells: Sequence[Any]) -> list[Any]:
    read, default = READERS[field], DEFAULTS[field]
    return [default if cell == "" or _blank(cell) else read(cell) for cell in cells]


def _read_texts(field: str, cells: Sequence[Any]) -> Sequence[Any]:
    try:
        joined = "".join(cells)
    except TypeError:  # not all cells are text
        return _read_each(field, cells)
    if joined.isascii() and not any(blank in joined for blank in ASCII_BLANKS):
        return [cell or None for cell in cells] if "" in cells else cells
    return [cell.strip() or None for cell in cells]


def _read_paths(field: str, cells: Sequence[Any]) -> Sequence[Any]:
    texts = _read_texts(field, cells)
    joined = "\n".join(["", *filter(None, texts), ""])
    unusual = ("//", "/./", "/\n", "/.\n", "\n./", "\n.\n")  # what PurePosixPath writes in another way
    return [text and _path(text) for text in texts] if any(part in joined for part in unusual) else texts


def _read_numbers(field: str, cells: Sequence[Any]) -> np.ndarray:
    whole = READERS[field] is _whole
    if len(cells) > 1 and cells.count(cells[0]) == len(cells):  # one value, such as the rate of all clips
        return np.repeat(_read_numbers(field, cells[:1]), len(cells))
    try:
        numbers = np.fromiter(map(float, cells), np.float64, len(cells))
    except (ValueError, TypeError):
        numbers = np.full(1, np.nan)
    if ((numbers >= 0) & (numbers < 2**53) & (not whole or numbers == np.floor(numbers))).all():
        return numbers.astype(np.int64 if whole else np.float64)
    default = DEFAULTS[field]
    missing = default if default is not None else MISSING if whole else np.nan
    read = READERS[field]
    values = [missing if cell == "" or _blank(cell) else read(cell) for cell in cells]
    return np.array(values, np.int64 if whole else np.float64)


def _read_lists(field: str, cells: Sequence[Any]) -> Sequence[Any] | Lists:
    """Split all cells as one text, if they hold no quotes, empty cells or blanks."""
    try:
        joined = ",".join(cells)
    except TypeError:  # not all cells are text
        return _read_each(field, cells)
    names = joined.split(",")
    if "" in names or any(sign in joined for sign in '"' + ASCII_BLANKS) or not joined.isascii():
        return _read_each(field, cells)
    return Lists(1 + np.fromiter(map(str.count, cells, repeat(",")), np.int64, len(cells)), names)


_COLUMN_READERS: dict[Callable[[Any], Any], Callable[[str, Sequence[Any]], Any]] = {
    _text: _read_texts,
    _path: _read_paths,
    _number: _read_numbers,
    _whole: _read_numbers,
    _names: _read_lists,
}
COLUMN_READERS = {field: partial(_COLUMN_READERS.get(READERS[field], _read_each), field) for field in FIELDS}
