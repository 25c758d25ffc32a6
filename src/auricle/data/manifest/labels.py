"""Labels from a table of their own, joined to clips by name; and class lists."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from auricle.core.errors import AuricleError, nearest
from auricle.data.manifest.columns import ListColumn
from auricle.data.manifest.label_cells import CommaNote
from auricle.data.manifest.locate import NameIndex
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.manifest.tables import TABLES, read_table


def join_labels(manifest: Manifest, table: Manifest, where: str, youtube: bool = False) -> Manifest:
    """Join the fields of a table (labels, fold, group, ...) to clips by name, never by order.

    A row belongs to the clip of the same id, else of the same file name, else of the same name without its suffix, where
    that is unambiguous (``NameIndex``). Where no row has such a clip, a row belongs to the file that it names, whatever
    its id and span.
    Labels from the names of folders are dropped. Of clips without a row, nothing is known.

    Args:
        manifest: The clips.
        table: The rows, as a manifest.
        where: Name of the table, for messages.
        youtube: Rows are named by ids of AudioSet's clips, which begin the names of files.

    Returns:
        The clips with the fields of the table; rows and clips without a partner are counted in ``notes``.

    Raises:
        AuricleError: No row belongs to a clip, or two rows belong to the same clip.
    """
    names = NameIndex(manifest.ids, youtube)
    ids, notes = _partners(names, {clip.id: clip.id for clip in table}), []
    if not ids:  # spans with another meaning, such as where a clip was cut from (UrbanSound8K)
        ids = _partners(names, {clip.id: clip.path for clip in table if clip.path})
        if any(clip.start is not None or clip.end is not None for clip in table):
            notes = [f"the spans in {where} are not used: its rows are taken to be about whole files"]
        table = replace(table, clips=tuple(replace(clip, start=None, end=None) for clip in table))
    if not ids:
        first = table.clips[0].id
        near = nearest(first, list(manifest.ids))
        raise AuricleError(f"no row of {where} is about a clip of {manifest.root}: its first is '{first}'{near}")
    matched = Manifest(tuple(replace(clip, id=ids[clip.id]) for clip in table if clip.id in ids))
    notes += _unmatched(len(table) - len(matched), len(manifest) - len(matched), where)
    plain = replace(manifest, clips=tuple(_not_annotated(clip, clip.id in matched) for clip in manifest))
    return replace(plain.joined(matched), notes=(*manifest.notes, *notes))


def _not_annotated(clip: Clip, has_row: bool) -> Clip:
    return replace(clip, labels=(), events=(), known=None if has_row else ())


def _partners(names: NameIndex, rows: dict[str, str]) -> dict[str, str]:
    """Return the clip id of every row id whose name is one of ``names``."""
    return {row: id for row, name in rows.items() if (id := names.find(name)) is not None}


def _unmatched(rows: int, files: int, where: str) -> list[str]:
    notes = [f"{rows} rows of {where} are about no clip here"] if rows else []
    return notes + ([f"{files} clips have no row in {where} and stay without labels"] if files else [])


def keep_whole_names(manifest: Manifest) -> Manifest:
    """Put labels together again that were separated at a comma, where the class list has the whole: "Rain, heavy"."""
    whole = {tuple(part.strip() for part in name.split(",")): name for name in manifest.classes or () if "," in name}
    column = manifest.table.columns.get("labels")
    if not whole or not isinstance(column, ListColumn):
        return manifest
    longest = max(map(len, whole))

    def joined(labels: tuple[str, ...]) -> tuple[str, ...]:
        names, at = [], 0
        while at < len(labels):
            sizes = (size for size in range(longest, 1, -1) if labels[at : at + size] in whole)
            size = next(sizes, 1)
            names.append(whole[labels[at : at + size]] if size > 1 else labels[at])
            at += size
        return tuple(names)

    labels = (joined(labels or ()) for labels in column.values(0, len(column)))
    notes = tuple(note for note in manifest.notes if not isinstance(note, CommaNote))
    return replace(manifest, clips=manifest.table.with_column("labels", labels), notes=notes)


CLASS_COLUMNS = ("mid", "id", "label", "class", "name")


def read_class_list(classes: str | Path | Sequence[str]) -> tuple[str, ...]:
    """Read the class list of a task, in the order of the logits.

    Args:
        classes: Names; a text file with one name per line; or a table, of which the first of ``CLASS_COLUMNS`` is taken.

    Raises:
        AuricleError: The file cannot be read, the list is empty, or names repeat.
    """
    if not isinstance(classes, (str, os.PathLike)):
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
    for name in CLASS_COLUMNS:
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
