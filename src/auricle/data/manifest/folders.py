"""The manifest of a folder of recordings: every file below it, with labels and splits from the names of sub-folders."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from auricle.audio.decode import AUDIO_SUFFIXES
from auricle.audio.sources import files_below
from auricle.core.errors import AuricleError
from auricle.data.manifest.manifest import Manifest
from auricle.data.manifest.rows import STORED_SUFFIXES, clip_of
from auricle.data.manifest.tables import TABLES

SPLIT_FOLDERS = frozenset({"train", "training", "valid", "validation", "val", "dev", "test", "eval", "evaluation"})
SURROGATES = re.compile("[\ud800-\udfff]")  # how Python spells bytes of a file name that are not UTF-8


def folder_manifest(folder: Path) -> Manifest:
    """Read a folder: its audio, else its stored spectrograms; sub-folders name the classes, or the splits.

    A sub-folder that cannot be listed becomes a clip that cannot be read, so that it is counted and named where clips
    are read. Files beside the class folders have no label.

    Raises:
        AuricleError: There is neither audio nor a stored spectrogram.
    """
    names = list(files_below(folder, AUDIO_SUFFIXES))
    if not any(map(_is_audio, names)):
        names = list(files_below(folder, STORED_SUFFIXES)) or names
    if not names:
        raise AuricleError(
            f"no audio in {folder}: looked for {', '.join(sorted(AUDIO_SUFFIXES))} in it and below{_tables_in(folder)}"
        )
    names, notes = spelt_in_utf8(names)
    if not names:
        raise AuricleError(f"no audio in {folder} that can be used: {notes[0]}")
    files = [name for name in names if name.lower().endswith((*AUDIO_SUFFIXES, *STORED_SUFFIXES))]
    labels, note = _labels_of(files, folder)
    unlisted = sorted(set(names) - set(files))  # behind the files: some readers ask the first clip
    rows: list[dict[str, Any]] = [{"path": name, **labels.get(name, {})} for name in (*files, *unlisted)]
    clips = tuple(clip_of(row, {field: field for field in row}, row["path"]) for row in rows)
    return Manifest(clips, folder, notes=(*notes, *note))


def _is_audio(name: str) -> bool:
    return name.lower().endswith(tuple(AUDIO_SUFFIXES))


def _tables_in(folder: Path) -> str:
    """Return the end of a message that names the tables in a folder."""
    tables = sorted(entry.name for entry in folder.iterdir() if entry.suffix.lower() in TABLES)
    return f"; name the table itself: {', '.join(str(folder / name) for name in tables[:3])}" if tables else ""


def _labels_of(files: Sequence[str], folder: Path) -> tuple[dict[str, dict[str, Any]], tuple[str, ...]]:
    """Return labels and splits by file, and a note about files that are in no sub-folder."""
    inside = [name for name in files if "/" in name]
    tops = {name.split("/")[0] for name in inside}
    splits = all(top.lower() in SPLIT_FOLDERS for top in tops)
    classified = [name for name in inside if name.count("/") > 1] if splits else inside
    most_classified = 2 * len(classified) > len(inside)
    if not inside or not (len(tops) > 1 or (splits and most_classified)):
        return {}, ()
    if 2 * len(inside) < len(files):
        note = (
            f"the names of the {len(tops)} sub-folders of {folder} are not taken as labels: most recordings "
            f"({len(files) - len(inside)} of {len(files)}) are in none of them"
        )
        return {}, (note,)
    labelled = {name: _folder_labels(name) for name in inside}
    if splits and not most_classified:
        return {name: {"split": values["split"]} for name, values in labelled.items()}, ()
    stray = [name for name in files if "labels" not in labelled.get(name, {})]
    if not stray:
        return labelled, ()
    note = f"{len(stray)} of {len(files)} recordings are in no class folder and have no label, such as {stray[0]}"
    return labelled, (note,)


def _folder_labels(name: str) -> dict[str, Any]:
    """Return {"labels": ["dog"]} of dog/a.wav, {"split": "train", "labels": ["dog"]} of train/dog/a.wav."""
    parts = name.split("/")
    if parts[0].lower() not in SPLIT_FOLDERS:
        return {"labels": [parts[0]]}
    return {"split": parts[0]} | ({"labels": [parts[1]]} if len(parts) > 2 else {})


def spelt_in_utf8(names: Iterable[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the names that a table can hold, and a note about the others (mostly of old archives)."""
    good: list[str] = []
    strange: list[str] = []
    for name in names:
        (strange if SURROGATES.search(name) else good).append(name)
    shown = ascii(strange[0]) if strange else ""
    note = f"{len(strange)} files are left out: their names are not UTF-8, such as {shown}; rename them"
    return good, (note,) if strange else ()
