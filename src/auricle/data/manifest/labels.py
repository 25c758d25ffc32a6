"""Joining a table of labels to the clips of a folder, by name."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from auricle.audio.decode import AUDIO_SUFFIXES
from auricle.core.errors import AuricleError, nearest
from auricle.data.manifest.manifest import Manifest
from auricle.data.manifest.tables import TABLES, read_table


def join_labels(manifest: Manifest, table: Manifest, where: str) -> Manifest:
    """What the table says (labels, fold, group, ...) joined to the clips, never by order.

    A row is about the clip of the same id, else of the same file name, else of the same name without its suffix, where
    that is unambiguous; where none is, about the file that it names, whatever its id and span. Rows and clips
    without a partner are counted in ``notes``; labels from folder names go.
    Raises AuricleError when no row is about any clip, or two rows are about the same one.
    """
    names = _names_of(manifest)
    ids, spans = _partners(names, {clip.id: clip.id for clip in table}), []
    if not ids:  # spans that say something else, such as where a clip was cut from (UrbanSound8K)
        ids = _partners(names, {clip.id: clip.path for clip in table if clip.path})
        if any(clip.start is not None or clip.end is not None for clip in table):
            spans = [f"the spans in {where} are not used: its rows are taken to be about whole files"]
        table = replace(table, clips=tuple(replace(clip, start=None, end=None) for clip in table))
    if not ids:
        first = table.clips[0].id
        near = nearest(first, list(manifest.ids))
        raise AuricleError(f"no row of {where} is about a clip of {manifest.root}: its first is '{first}'{near}")
    said = Manifest(tuple(replace(clip, id=ids[clip.id]) for clip in table if clip.id in ids))
    notes = _unmatched(len(table) - len(said), len(manifest) - len(said), where)
    plain = replace(manifest, clips=tuple(replace(clip, labels=()) for clip in manifest))
    return replace(plain.joined(said), notes=(*manifest.notes, *spans, *notes))


def _partners(names: dict[str, str], said: dict[str, str]) -> dict[str, str]:
    """Row id -> clip id, of rows whose ``said`` name is one of ``names``."""
    return {row: id for row, name in said.items() if (id := names.get(name) or names.get(_stem(name))) is not None}


def _names_of(manifest: Manifest) -> dict[str, str]:
    """Every unambiguous name of a clip -> its id; an id wins over a file name, a file name over a stem."""
    names: dict[str, str] = {}
    for name_of in (_stem, _file_name, str):
        owners = defaultdict(list)
        for id in manifest.ids:
            owners[name_of(id)].append(id)
        names |= {name: ids[0] for name, ids in owners.items() if len(ids) == 1}
    return names


def _file_name(id: str) -> str:
    return id.rpartition("/")[2]


def _stem(id: str) -> str:
    name = _file_name(id)
    return name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in AUDIO_SUFFIXES else name


def _unmatched(rows: int, files: int, where: str) -> list[str]:
    notes = [f"{rows} rows of {where} are about no clip here"] if rows else []
    return notes + ([f"{files} clips have no row in {where} and stay without labels"] if files else [])


# The list of classes of a task, in the order of the logits.

CLASS_COLUMNS = ("mid", "id", "label", "class", "name")


def read_class_list(classes: str | Path | Sequence[str]) -> tuple[str, ...]:
    """Names from a sequence, a text file with one per line, or a table (its first column of CLASS_COLUMNS).

    Raises AuricleError for an unreadable file, an empty list and repeated names.
    """
    if not isinstance(classes, (str, Path)):
        names = tuple(str(name) for name in classes)
    elif Path(classes).suffix.lower() in TABLES:
        names = tuple(_class_column(list(read_table(Path(classes))), Path(classes).name))
    else:
        names = tuple(line.strip() for line in _text(Path(classes)).splitlines() if line.strip())
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice or not names:
        raise AuricleError(f"the class list {'repeats ' + ', '.join(twice[:5]) if twice else 'is empty'}")
    return names


def _class_column(rows: list[Mapping[str, Any]], where: str) -> list[str]:
    header = list(rows[0]) if rows else []
    for name in ("mid", "id", "label", "class", "name"):
        if name in header:
            return [str(row[name]) for row in rows]
    raise AuricleError(
        f"{where} has no column for class names: found {', '.join(header)}; expected mid, id, label, class or name"
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise AuricleError(f"cannot read the class list {path}: {error}") from None
