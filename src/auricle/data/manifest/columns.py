"""How a row of a table becomes a Clip, and a Clip a row: column names of this project and of others, and cell formats.

A cell may be text (CSV) or a typed value (Parquet). Several labels in a cell are separated by commas; a label that
holds a comma itself is quoted inside the cell. Events are JSON: ``[[onset, offset, "label"], ...]``.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import fields
from pathlib import PurePosixPath
from typing import Any

from auricle.core.errors import AuricleError
from auricle.data.manifest.manifest import Clip, Segment

SYNONYMS = {
    "path": ("path", "file_name", "filename", "file", "fname", "file_path", "filepath"),
    "labels": ("label", "labels", "category", "class", "class_name", "target"),
    "group": ("group", "speaker", "speaker_id", "patient", "patient_id", "site"),
    "rate": ("rate", "sample_rate"),
    "num_samples": ("num_samples", "samples"),
    "transcript": ("transcript", "text", "sentence"),
}
FIELDS = tuple(f.name for f in fields(Clip))


def find_columns(
    header: Collection[str], where: str, *, label_column: str | None = None, group_column: str | None = None
) -> dict[str, str]:
    """Clip field -> column of this table; the first synonym present wins unless a column is named.

    Raises AuricleError for a named column that does not exist, and when nothing says which clip a row is about.
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
    """The Clip of one row. Raises AuricleError naming the row and the column of a value that cannot be."""
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


def row_of(clip: Clip) -> dict[str, str]:
    """The Clip as CSV text; what is not set is left out."""
    return {
        name: WRITERS.get(name, str)(value)
        for name, value in ((name, getattr(clip, name)) for name in FIELDS)
        if value is not None and (value != DEFAULTS[name] or name == "id")
    }


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
    if not value.is_integer() or value < 0:
        raise ValueError
    return int(value)


def _number(cell: Any) -> float:
    value = float(cell)
    if not math.isfinite(value) or value < 0:
        raise ValueError
    return value


def _names(cell: Any) -> tuple[str, ...]:
    """('a', 'b') of "a,b"; a quoted empty text ('""') is the empty list, as opposed to nothing said."""
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
DEFAULTS = {f.name: f.default for f in fields(Clip)}
