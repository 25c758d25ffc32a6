"""The manifest of a folder of recordings: every file below it, with labels and splits from the names of sub-folders."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from auricle.audio.decode import AUDIO_SUFFIXES
from auricle.audio.sources import files_below, has_suffix
from auricle.core.console import number_of
from auricle.core.errors import AuricleError
from auricle.data.manifest.label_tracks import SUFFIX, Tracks, tracks_of
from auricle.data.manifest.manifest import BACKGROUND_NAMES, Manifest
from auricle.data.manifest.rows import STORED_SUFFIXES, clip_of
from auricle.data.manifest.tables import TABLES

SPLIT_FOLDERS = frozenset({"train", "training", "valid", "validation", "val", "dev", "test", "eval", "evaluation"})
SURROGATES = re.compile("[\ud800-\udfff]")  # how Python spells bytes of a file name that are not UTF-8


def folder_manifest(folder: Path, label_column: str | None = None) -> Manifest:
    """Read a folder: its audio, else its stored spectrograms; sub-folders name the classes, or the splits.

    Where label tracks stand beside recordings, these name the classes, and sub-folders do not. Of a recording without
    one, nothing is known, unless its sub-folder is called background, noise or the like.

    A sub-folder that cannot be listed becomes a clip that cannot be read, so that it is counted and named where clips
    are read. Files beside the class folders have no label: nothing is known of them.

    Args:
        folder: The folder.
        label_column: Column of the labels in selection tables beside the recordings.

    Raises:
        AuricleError: There is neither audio nor a stored spectrogram, a label track cannot be read, or a column is named and
            there is no selection table.
    """
    names = list(files_below(folder, (*AUDIO_SUFFIXES, SUFFIX)))
    texts = [name for name in names if has_suffix(name, (SUFFIX,))]
    names = [name for name in names if not has_suffix(name, (SUFFIX,))]
    if not any(_is_file(folder, name) for name in names):
        names = list(files_below(folder, STORED_SUFFIXES)) or names
    if not names:
        raise AuricleError(
            f"no audio in {folder}: looked for {', '.join(sorted(AUDIO_SUFFIXES))} in it and below{_tables_in(folder)}"
        )
    names, notes = spelt_in_utf8(names)
    if not names:
        raise AuricleError(f"no audio in {folder} that can be used: {notes[0]}")
    files = [name for name in names if _is_file(folder, name)]
    tracks = tracks_of(folder, files, spelt_in_utf8(texts)[0], label_column)
    if label_column is not None and not tracks.of:
        raise AuricleError(f"{folder} is not a table, so it has no columns; name the table with labels=… (--labels)")
    labels, note = _tracked(files, tracks) if tracks.of else _labels_of(files, folder)
    unlisted = sorted(set(names) - set(files))  # behind the files: some readers ask the first clip
    rows: list[dict[str, Any]] = [{"path": name, **labels.get(name, {})} for name in (*files, *unlisted)]
    clips = tuple(clip_of(row, {field: field for field in row}, row["path"]) for row in rows)
    empty = () if tracks.of or not labels else _empty_folders(folder, files)
    return Manifest(clips, folder, notes=(*notes, *tracks.notes, *note, *empty))


def _tracked(files: Sequence[str], tracks: Tracks) -> tuple[dict[str, dict[str, Any]], tuple[str, ...]]:
    """Return labels, events and splits by file where label tracks name the classes, and a note if sub-folders could have."""
    values: dict[str, dict[str, Any]] = {}
    for name in files:
        folders = name.split("/")[:-1]
        split = {"split": folders[0]} if folders and folders[0].lower() in SPLIT_FOLDERS else {}
        events = tracks.of.get(name)
        background = [part for part in folders if part.lower() in BACKGROUND_NAMES]
        if events is not None:
            known: dict[str, Any] = {"events": events, "labels": sorted({event.label for event in events})}
        else:
            known = {"labels": background[:1]} if background else {"known": ()}
        values[name] = split | known
    folders = sorted({name.split("/")[0] for name in files if "/" in name} - set(map(str.lower, SPLIT_FOLDERS)))
    if len(folders) < 2:
        return values, ()
    return values, (f"label tracks name the classes; the {len(folders)} sub-folders, such as {folders[0]}, do not",)


def _empty_folders(folder: Path, files: Sequence[str]) -> tuple[str, ...]:
    """Return a note about sub-folders without a recording beside those that name the classes."""
    used = {name.split("/")[0] for name in files}
    empty = sorted(
        entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name not in used and entry.name[:1] != "."
    )
    for split in sorted(used):
        if split.lower() in SPLIT_FOLDERS:
            inner = {name.split("/")[1] for name in files if name.startswith(f"{split}/")}
            entries = (entry for entry in (folder / split).iterdir() if entry.is_dir() and entry.name[:1] != ".")
            empty += sorted(f"{split}/{entry.name}" for entry in entries if entry.name not in inner)
    if not empty:
        return ()
    what = (
        "1 sub-folder holds no recording and names"
        if len(empty) == 1
        else f"{len(empty)} sub-folders hold no recording and name"
    )
    more = f" and {len(empty) - 12} more" if len(empty) > 12 else ""
    return (f"{what} no class: {', '.join(map(ascii_name, empty[:12]))}{more}",)


def ascii_name(name: str) -> str:
    """Return a name as it is, or in ASCII where it is not UTF-8."""
    return ascii(name) if SURROGATES.search(name) else name


def _is_file(folder: Path, name: str) -> bool:
    """Return False for a folder that cannot be listed; the disk is asked only about names without a known suffix."""
    return has_suffix(name, (*AUDIO_SUFFIXES, *STORED_SUFFIXES)) or os.path.isfile(folder / name)


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
    return labelled | {name: {**labelled.get(name, {}), "known": ()} for name in stray}, (note,)


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
    note = (
        f"left out because of names that are not UTF-8: {number_of(len(strange), 'file')}, such as {shown}; rename them"
    )
    return good, (note,) if strange else ()
