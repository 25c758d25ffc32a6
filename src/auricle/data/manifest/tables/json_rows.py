"""Read tables in JSON: rows, a row per line, columns, and HEAR's files from name to labels or events."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from auricle.audio.decode import AUDIO_SUFFIXES
from auricle.core.errors import AuricleError
from auricle.data.manifest.rows import is_name_of_path
from auricle.data.manifest.tables.text import CHUNK, TableChunk, is_blank

FORMS = (
    'rows ([{"file_name": "a.wav", "label": "dog"}, …]), one such row per line (.jsonl), columns ({"file_name": […], '
    '"label": […]}), or labels by file ({"a.wav": ["dog"], …})'
)
HEAR_SECONDS = 0.001  # times in HEAR's files are milliseconds


def json_chunks(path: Path) -> Iterator[TableChunk]:
    """Yield the rows of a JSON or JSONL file in chunks of typed values."""
    rows = [row for row in _rows(path) if not is_blank(list(row.values()))]
    header = list(dict.fromkeys(name for row in rows for name in row))
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        yield TableChunk(header, [[row.get(name) for row in part] for name in header], len(part))


def _rows(path: Path) -> list[Mapping[str, Any]]:
    text = _text(path)
    if path.suffix.lower() == ".json":
        return rows_of(_parsed(text, path), path)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    rows = [_parsed(line, path, number) for number, line in lines]
    for (number, _), row in zip(lines, rows):
        if not isinstance(row, Mapping):
            raise AuricleError(f'{path.name} line {number}: expected a row such as {{"file_name": "a.wav"}}')
    return rows


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise AuricleError(f"cannot read the table {path}: it is not UTF-8 ({error.reason})") from None


def _parsed(text: str, path: Path, first_line: int = 1) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise AuricleError(f"cannot read the table {path}: its JSON is nested too deeply") from None
    except ValueError as error:
        line, reason = first_line - 1 + getattr(error, "lineno", 1), getattr(error, "msg", str(error))
        raise AuricleError(f"cannot read the table {path}: line {line} is no JSON ({reason})") from None


def rows_of(value: Any, path: Path) -> list[Mapping[str, Any]]:
    """Convert parsed JSON to rows. Raises AuricleError, with the forms that are understood, for any other."""
    if isinstance(value, Mapping) and any(map(_is_audio, value)):
        return [{"file_name": name, **part_of(path), **_annotation(entry, path)} for name, entry in value.items()]
    if isinstance(value, Mapping) and len(value) == 1 and _is_rows(*value.values()):  # {"data": rows}
        value = next(iter(value.values()))
    if _is_rows(value):
        return value
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return [
            {"file_name" if all(map(_is_audio, value)) else "name": item} for item in value
        ]  # files, or a class list
    if isinstance(value, Mapping) and any(map(is_name_of_path, value)):
        return _from_columns(value, path)
    _refuse(value, path)


def _is_audio(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in AUDIO_SUFFIXES


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _from_columns(value: Mapping[str, Any], path: Path) -> list[Mapping[str, Any]]:
    """Return the rows of columns: lists, or mappings from row number to cell as pandas writes them."""
    columns = [list(cells.values()) if isinstance(cells, Mapping) else cells for cells in value.values()]
    if not all(isinstance(cells, list) and len(cells) == len(columns[0]) for cells in columns):
        _refuse(value, path)
    return [dict(zip(value, row)) for row in zip(*columns)]


def _annotation(entry: Any, path: Path) -> Mapping[str, Any]:
    """Return the cells of one file: its labels, HEAR's events, or a row of its own."""
    if isinstance(entry, Mapping):
        return entry
    if isinstance(entry, list) and any(isinstance(item, Mapping) for item in entry):
        try:
            times = [(HEAR_SECONDS * item["start"], HEAR_SECONDS * item["end"], str(item["label"])) for item in entry]
        except (KeyError, TypeError):
            _refuse(entry, path)
        return {"events": times, "labels": list(dict.fromkeys(label for _, _, label in times))}
    return {"labels": entry}


def part_of(path: Path) -> dict[str, Any]:
    """Return the split or fold that a list of HEAR is named by ({"fold": 3} of fold03.json); {} for another name."""
    number = path.stem.lower().removeprefix("fold")
    if number.isdecimal() and number != path.stem.lower():
        return {"fold": int(number)}
    return {"split": path.stem} if path.stem.lower() in HEAR_PARTS else {}


HEAR_PARTS = ("train", "valid", "test")


def _refuse(value: Any, path: Path) -> NoReturn:
    raise AuricleError(f"{path} holds {reprlib.repr(value)}; expected {FORMS}")
