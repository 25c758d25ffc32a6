"""Convert rows of a table to clips and back: the names of columns, here and in other projects, and the format of cells.

A cell may be text (CSV) or a typed value (Parquet, JSON). Several labels in a cell are separated by commas, or written as
a list (``label_cells``). Events are JSON: ``[[onset, offset, "label"], ...]``; in a table with a row per event they are
the columns ``onset`` and ``offset`` (in seconds) and the label.
"""

from __future__ import annotations

import csv
import json
import math
import reprlib
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import repeat
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from auricle.core.errors import AuricleError
from auricle.data.manifest.clip_table import DEFAULTS, FIELDS, Clip, Segment
from auricle.data.manifest.columns import MISSING, Lists
from auricle.data.manifest.label_cells import joined_names, names_in, text_of

EVENT_TIMES = ("onset", "offset")  # fields of a table with a row per event, beside those of a clip
OF_ANOTHER_RECORDING = (
    "slice_file_name",
    "ytid",
    "youtube_id",
)  # UrbanSound8K, AudioSet: start and end are places in it
SYNONYMS = {
    "path": (
        *("path", "file_name", "filename", "file", "fname", "file_path", "filepath", "slice_file_name", "audio_file"),
        *(
            "audio_filename",
            "audio_file_name",
            "audio_filepath",
            "audio_path",
            "wav",
            "wav_file",
            "wav_path",
            "audio",
            "begin_file",
        ),
        *("ytid", "youtube_id", "segment_id", "itemid"),
    ),
    "labels": (
        *("label", "labels", "category", "class", "class_name", "target", "scene_label", "event_label", "event_labels"),
        *("positive_labels", "primary_label", "species", "tags", "common_name", "scientific_name"),
    ),
    "start": ("start", "start_time", "start_s", "start_sec", "start_seconds", "begin_time", "begin_time_s"),
    "end": ("end", "end_time", "end_s", "end_sec", "end_seconds", "end_time_s"),
    "onset": ("onset", "onset_s", "event_onset", "start_time_seconds"),
    "offset": ("offset", "offset_s", "event_offset", "end_time_seconds"),
    "split": ("split", "subset", "partition"),
    "group": ("group", "speaker", "speaker_id", "patient", "patient_id", "site", "fsid"),
    "rate": ("rate", "sample_rate"),
    "num_samples": ("num_samples", "samples"),
    "transcript": ("transcript", "text", "sentence", "transcription"),
}
ASCII_BLANKS = " \t\n\r\v\f\x1c\x1d\x1e\x1f"  # what str.strip removes
STORED_SUFFIXES = (".npy", ".npz")  # a path with one of these is a stored spectrogram


def find_columns(
    header: Collection[str], where: str, *, label_column: str | None = None, group_column: str | None = None
) -> dict[str, str]:
    """Map fields of a clip to columns of this table; the first synonym that occurs is taken unless a column is named.

    A table with a row per event has ``onset`` and ``offset`` too. Where they are places in a longer recording that the
    file was cut from (``spans_of_another_recording``), ``start`` and ``end`` are left out.

    Raises AuricleError for a named column that does not exist, and for a table without a column that names the clip.
    """
    known = {plain_name(name): name for name in header}
    columns = {}
    for field in (*FIELDS, *EVENT_TIMES):
        for name in SYNONYMS.get(field, (field,)):
            if name in known:
                columns[field] = known[name]
                break
    columns |= _named(header, where, {"labels": label_column, "group": group_column})
    if "events" in columns or not {"labels", *EVENT_TIMES} <= columns.keys():
        _drop(columns, EVENT_TIMES)
    if spans_of_another_recording(header):
        _drop(columns, ("start", "end"))
    if not {"id", "path", "key"} & columns.keys():
        raise AuricleError(_no_file_column(header, where))
    return columns


def _drop(columns: dict[str, str], fields: Collection[str]) -> None:
    for field in fields:
        columns.pop(field, None)


def plain_name(column: str) -> str:
    """Return the name of a column as it is compared: "begin_time_s" of "Begin Time (s)"."""
    return "_".join("".join(" " if sign in "()-_#" else sign for sign in column).lower().split())


def is_name_of_path(column: str) -> bool:
    """Return True if a column of this name holds file names."""
    return plain_name(column) in SYNONYMS["path"]


def spans_of_another_recording(header: Collection[str]) -> bool:
    """Return True for a table of files cut from longer recordings, whose start and end are not places in the file."""
    known = set(map(plain_name, header))
    return bool(known & set(OF_ANOTHER_RECORDING)) and bool(known & {*SYNONYMS["start"], *SYNONYMS["end"]})


def _no_file_column(header: Collection[str], where: str) -> str:
    from auricle.audio.decode import AUDIO_SUFFIXES

    names = ", ".join(SYNONYMS["path"][:7])
    if any(PurePosixPath(name.strip()).suffix.lower() in AUDIO_SUFFIXES for name in header):
        return (
            f"{where} begins with a clip ({', '.join(header)}) instead of the names of its columns; "
            "write them into its first line, such as filename,label"
        )
    return f"{where} has no column for the file; found {', '.join(header) or 'none'}; expected one of {names} in the first line"


def _named(header: Collection[str], where: str, wanted: Mapping[str, str | None]) -> dict[str, str]:
    stripped = {name.strip(): name for name in header} | {name: name for name in header}
    named = {field: column for field, column in wanted.items() if column is not None}
    for column in named.values():
        if column not in stripped:
            raise AuricleError(f"{where} has no column '{column}'; its columns are {', '.join(header)}")
    return {field: stripped[column] for field, column in named.items()}


def clip_of(row: Mapping[str, Any], columns: Mapping[str, str], where: str = "") -> Clip:
    """Convert one row. Raises AuricleError with the row (``where``) and the column of an impossible value."""
    try:
        return _clip(row, columns)
    except AuricleError as error:
        raise AuricleError(f"{where}: {error}" if where else str(error)) from None


def _clip(row: Mapping[str, Any], columns: Mapping[str, str]) -> Clip:
    values: dict[str, Any] = {}
    for field, column in columns.items():
        cell = row.get(column)
        if not _blank(cell):
            try:
                values[field] = READERS[field](cell)
            except IMPOSSIBLE:
                shown = reprlib.repr(cell) if len(repr(cell)) > 200 else repr(cell)
                raise AuricleError(f"column '{column}' holds {shown}; expected {EXPECTED[field]}") from None
    if str(values.get("path", "")).rstrip().endswith(STORED_SUFFIXES):
        values["key"] = values.pop("path").rstrip()
    if "id" in values and _is_end_of(raw := row[columns["id"]], values.get("path")):
        values["id"] = raw
    if "key" in values:
        values.setdefault("store", ".")
    if values.keys() & set(EVENT_TIMES):
        values["events"] = _row_events(values)
    id = values.pop("id", None) or _default_id(values)
    if not id:
        raise AuricleError("neither an id nor a file name")
    if values.get("end") is not None and values["end"] <= values.get("start", 0.0):
        raise AuricleError(f"the clip ends at {values['end']} s but starts at {values.get('start', 0.0)} s")
    return Clip(id=id, **values)


def _is_end_of(id: Any, path: str | None) -> bool:
    """Return True if an id with blanks at its ends is the end of a path (with a span): the blanks belong to the file name."""
    return path is not None and isinstance(id, str) and path.endswith((id, id.rpartition("@")[0] or id))


def _row_events(values: dict[str, Any]) -> tuple[Segment, ...]:
    """Take onset and offset out of the values of a row; return the event that they and the label are."""
    onset, offset, labels = values.pop("onset", None), values.pop("offset", None), values.get("labels", ())
    if onset is None or offset is None or not labels:
        raise AuricleError(f"an event needs onset, offset and label; found {onset}, {offset} and {labels}")
    if offset < onset:
        raise AuricleError(f"the event '{labels[0]}' ends at {offset} s but starts at {onset} s")
    return tuple(Segment(onset, offset, label) for label in labels)


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
    if {"id", "path"} <= values.keys() and values["id"] is not cells["id"]:
        rows = zip(cells["id"], values["id"], values["path"])
        values["id"] = [raw if id and _is_end_of(raw, path) else id for raw, id, path in rows]
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
        stored = [path is not None and path.rstrip().endswith(STORED_SUFFIXES) for path in values["path"]]
        keys = values.get("key", [None] * count)
        values["key"] = [path.rstrip() if move else key for path, key, move in zip(values["path"], keys, stored)]
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


def _path(cell: Any) -> str:
    """Read a file name, from text or Hugging Face's mapping. Blanks at its ends may be part of it (``locate`` finds out)."""
    if isinstance(cell, Mapping):
        if cell.get("bytes") is not None or not cell.get("path"):
            raise ValueError("sound that is no file")
        cell = cell["path"]
    text = cell if isinstance(cell, str) else text_of(cell)
    if "\0" in text:
        raise ValueError("no name of a file")
    return str(PurePosixPath(text))


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


def _events(cell: Any) -> tuple[Segment, ...]:
    items = json.loads(cell) if isinstance(cell, str) else cell
    return tuple(Segment(_number(onset), _number(offset), str(label)) for onset, offset, label in items)


IMPOSSIBLE = (ValueError, TypeError, OverflowError, RecursionError, csv.Error)  # what readers raise for a cell
READERS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("id", "store", "transcript", "split", "group"), text_of),
    **dict.fromkeys(("path", "key"), _path),
    **dict.fromkeys(("start", "end", "weight", *EVENT_TIMES), _number),
    **dict.fromkeys(("rate", "num_samples", "fold"), _whole),
    **dict.fromkeys(("labels", "known"), names_in),
    "events": _events,
}
WRITERS: dict[str, Callable[[Any], str]] = {
    **dict.fromkeys(("start", "end", "weight"), repr),
    **dict.fromkeys(("labels", "known"), joined_names),
    "events": json.dumps,
}
EXPECTED = {
    **dict.fromkeys(("id", "store", "transcript", "split", "group"), "text"),
    **dict.fromkeys(("path", "key"), "the name of a file (sound inside a table is not read; write it to files)"),
    **dict.fromkeys(("start", "end", *EVENT_TIMES), "seconds, 0 or more"),
    "weight": "a number, 0 or more",
    **dict.fromkeys(("rate", "num_samples"), "a whole number, 0 or more"),
    "fold": "a whole number (a part that has a name belongs in 'split' or 'group')",
    **dict.fromkeys(("labels", "known"), 'labels separated by commas, or one list such as ["dog", "rain"]'),
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
    try:
        joined = "\n".join(["", *cells, ""])
    except TypeError:  # not all cells are text
        return _read_each(field, cells)
    texts = [None if _blank(cell) else cell for cell in cells] if not all(map(str.strip, cells)) else cells
    unusual = ("//", "/./", "/\n", "/.\n", "\n./", "\n.\n", "\0")  # what PurePosixPath writes in another way
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
    if "" in names or any(sign in joined for sign in '"[({' + ASCII_BLANKS) or not joined.isascii():
        return _read_each(field, cells)
    return Lists(1 + np.fromiter(map(str.count, cells, repeat(",")), np.int64, len(cells)), names)


_COLUMN_READERS: dict[Callable[[Any], Any], Callable[[str, Sequence[Any]], Any]] = {
    text_of: _read_texts,
    _path: _read_paths,
    _number: _read_numbers,
    _whole: _read_numbers,
    names_in: _read_lists,
}
COLUMN_READERS = {field: partial(_COLUMN_READERS.get(READERS[field], _read_each), field) for field in FIELDS}
