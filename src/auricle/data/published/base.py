"""A published data set: what is known of it, and how its folder becomes a manifest.

A reader returns every clip that the data set's own tables list. ``read_published`` calls it, leaves out the clips whose files
are not there, and compares the counts with the published ones.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.console import listed
from auricle.core.errors import AuricleError
from auricle.data.manifest.clip_table import Clip
from auricle.data.manifest.locate import NameIndex
from auricle.data.manifest.manifest import Manifest
from auricle.data.manifest.tables import read_table

SHOWN = 5  # names in a message


class LayoutError(AuricleError):
    """A folder does not hold what the layout of a data set has. ``read_published`` adds what was expected."""


@dataclass(frozen=True)
class PublishedDataset:
    """What is known of a published data set.

    Attributes:
        name: The word on the command line.
        title: The name in print.
        url: Where it is published.
        licence: Under which terms.
        layout: What its folder must hold, in one line.
        read: Converts the folder to a manifest of all clips that are listed. It raises LayoutError for another folder.
        expected: Published number of clips of each part: ``train``, ``valid``, ``test``, ``fold 1``, … or ``all``.
        multilabel: True if a clip has any number of labels, False for exactly one.
        note: What a user should know before training, such as a split that is not published with the data.
        pack: Writes the recordings of a manifest as archives into a folder, and returns the manifest that names them; None where
            the data set is not passed on in archives. Its last argument is the spelling of the archives' names.
    """

    name: str
    title: str
    url: str
    licence: str
    layout: str
    read: Callable[[Path], Manifest]
    expected: Mapping[str, int] = field(default_factory=dict)
    multilabel: bool = False
    note: str = ""
    pack: Callable[[Manifest, Path, str], Manifest] | None = None

    def expected_text(self) -> str:
        """Return the published number of clips: "train 36,796, valid 4,170"; folds of one size together."""
        folds = [count for part, count in self.expected.items() if part.startswith("fold ")]
        parts = [f"{part} {count:,}" for part, count in self.expected.items() if not part.startswith("fold ")]
        if folds:
            sizes = f"{folds[0]:,}" if len(set(folds)) == 1 else f"{min(folds):,} to {max(folds):,}"
            parts.append(f"{len(folds)} folds of {sizes}")
        return ", ".join(parts) or "not published"

    def as_plain(self) -> dict[str, Any]:
        """Return what is known as JSON values."""
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.name not in ("read", "pack")}
        return values | {"expected": dict(self.expected)}


@dataclass(frozen=True)
class PublishedClips:
    """The clips of a data set's folder.

    Attributes:
        manifest: The clips whose files are there; ``notes`` hold missing files and counts that differ.
        missing: Ids and paths of the clips that are listed without a file.
    """

    manifest: Manifest
    missing: tuple[tuple[str, str], ...] = ()


def read_published(dataset: PublishedDataset, folder: str | Path) -> PublishedClips:
    """Read the folder of a published data set.

    Args:
        dataset: The data set.
        folder: Its folder, in the official layout.

    Returns:
        The clips with labels, splits, folds and groups as published.

    Raises:
        AuricleError: The folder has another layout, or holds none of the listed recordings.

    Example:
        >>> clips = read_published(DATASETS["esc50"], "ESC-50-master")
        >>> clips.manifest.select(fold=[1, 2, 3, 4])
    """
    folder = Path(folder)
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "does not exist"
        raise AuricleError(f"{folder} {found}; expected the folder of {dataset.title}: {dataset.layout}")
    try:
        listed = dataset.read(folder)
    except LayoutError as error:
        raise AuricleError(
            f"{folder} is not laid out as {dataset.title}: {error}; it holds {contents(folder)}. Expected: {dataset.layout}"
        ) from None
    present = present_rows(listed)
    rows = listed.table.rows("id", "path")
    missing = tuple((id, path or "") for (id, path), there in zip(rows, present.tolist()) if not there)
    if not present.any():
        first = listed.root / missing[0][1]
        raise AuricleError(
            f"none of the {len(listed):,} recordings that the tables of {dataset.title} list is in {folder}; the first would "
            f"be {first}. Expected: {dataset.layout}"
        )
    manifest = replace(
        listed,
        clips=listed.table.take(present) if missing else listed.table,
        classes=listed.label_classes() or None,
    )
    notes = (*listed.notes, *missing_notes(missing, len(listed)), *count_notes(dataset, manifest))
    return PublishedClips(replace(manifest, notes=notes), missing)


def present_rows(manifest: Manifest) -> np.ndarray:
    """Return a mask (N,) of the clips whose files are there. Clips in an archive are: their reader has seen them."""
    listings: dict[str, frozenset[str]] = {}

    def there(path: str | None) -> bool:
        if path is None:
            return True
        parent, name = os.path.split(os.path.join(manifest.root, path))
        if parent not in listings:
            listings[parent] = _listing(parent)
        return name in listings[parent]

    return np.fromiter(map(there, manifest.table.values("path")), bool, len(manifest))


def _listing(folder: str) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except OSError:
        return frozenset()


def missing_notes(missing: tuple[tuple[str, str], ...], listed: int) -> tuple[str, ...]:
    """Return a line about the listed files that are not there."""
    if not missing:
        return ()
    names = ", ".join(path for _, path in missing[:SHOWN]) + (", …" if len(missing) > SHOWN else "")
    are = "file is" if len(missing) == 1 else "files are"
    return (f"{len(missing):,} of {listed:,} listed {are} missing and left out: {names}",)


def count_notes(dataset: PublishedDataset, manifest: Manifest) -> tuple[str, ...]:
    """Return a line about the parts whose number of clips is not the published one."""
    counts = part_counts(manifest)
    different = [
        f"{part} has {counts.get(part, 0):,} of {wanted:,} clips"
        for part, wanted in dataset.expected.items()
        if counts.get(part, 0) != wanted
    ]
    return (f"the counts differ from the published ones: {', '.join(different)}",) if different else ()


def part_counts(manifest: Manifest) -> dict[str, int]:
    """Return the number of clips of every split and fold, and of ``all``."""
    counts = Counter[str]({"all": len(manifest)})
    for split, fold in manifest.table.rows("split", "fold"):
        counts[f"fold {fold}" if fold is not None else split or ""] += 1
    return dict(counts)


def contents(folder: Path) -> str:
    """Return the first names in a folder, for a message."""
    names = sorted(name for name in _listing(str(folder)) if not name.startswith("."))
    return listed(names, SHOWN) or "nothing"


# ---- for readers
def find(folder: Path, *names: str) -> Path:
    """Return the first of several files or folders that is there. Raises LayoutError when none is."""
    for name in names:
        if (folder / name).exists():
            return folder / name
    raise LayoutError(f"there is no {' or '.join(names)}")


def rows_of(table: Path, *columns: str) -> list[Mapping[str, Any]]:
    """Read a table of a data set, whatever separates its cells.

    Args:
        table: CSV or TSV file with a header.
        columns: Columns that the reader needs.

    Raises:
        LayoutError: The table has no rows, or lacks a column.
        AuricleError: The table cannot be read.
    """
    rows = list(read_table(table))
    if not rows:
        raise LayoutError(f"{table} has no rows")
    lacking = [name for name in columns if name not in rows[0]]
    if lacking:
        raise LayoutError(f"{table} has no column {' and '.join(lacking)}; its columns are {', '.join(rows[0])}")
    return rows


def number(cell: Any, column: str, table: Path) -> int:
    """Return a cell as a whole number. Raises LayoutError for anything else."""
    try:
        return int(cell)
    except (TypeError, ValueError):
        raise LayoutError(f"column {column} of {table} holds {cell!r}; expected a whole number") from None


def in_order(names: Iterable[tuple[int, str]]) -> tuple[str, ...]:
    """Return class names in the order of their published numbers."""
    return tuple(name for _, name in sorted(set(names)))


def with_split_table(clips: list[Clip], folder: Path, name: str) -> tuple[list[Clip], tuple[str, ...]]:
    """Give clips the splits of a table of EVAR (``file_name``, ``label``, ``split``), for data published without a split.

    Args:
        clips: Clips with paths.
        folder: Folder that may hold the table, itself or in ``metadata`` or ``evar/metadata``.
        name: Name of the table without its suffix, such as ``cremad``.

    Returns:
        The clips of the table with their splits, or all clips without one where there is no table; and a note about it.
    """
    places = [folder / inner / f"{name}.csv" for inner in ("", "metadata", "evar/metadata")]
    table = next((place for place in places if place.is_file()), None)
    if table is None:
        return clips, (
            f"no split is published with these recordings and there is no {name}.csv of EVAR: the clips have groups, and parts "
            "are drawn from them",
        )
    index = NameIndex(clip.path for clip in clips if clip.path is not None)
    splits, lacking = {}, 0
    for row in rows_of(table, "file_name", "split"):
        path = index.find(row["file_name"])
        lacking += path is None
        splits[path] = row["split"]
    chosen = [replace(clip, split=splits[clip.path]) for clip in clips if clip.path in splits]
    if not chosen:
        raise LayoutError(f"{table} names none of the recordings")
    parts = Counter(clip.split for clip in chosen)
    counts = ", ".join(f"{split} {count:,}" for split, count in parts.items())
    notes = [f"split of {table.name}: {counts}"]
    if len(chosen) < len(clips):
        notes.append(f"{len(clips) - len(chosen):,} recordings are not in {table.name} and left out")
    if lacking:
        notes.append(f"{lacking:,} rows of {table.name} name no recording that is there")
    return chosen, tuple(notes)
