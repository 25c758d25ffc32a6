"""The list of classes of a task, in the order of the logits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from auricle.data.tables import TABLES, read_table
from auricle.errors import AuricleError

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
