"""Find the files that a table names: the folder that its paths start from, and names that are written in another way."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from auricle.audio.decode import AUDIO_SUFFIXES
from auricle.audio.sources import files_below
from auricle.data.manifest.clip_table import ClipTable
from auricle.data.manifest.columns import TextColumn

YOUTUBE_ID = re.compile(
    r"Y?([\w-]{11})(?:_\d+(?:\.\d+)?){0,2}"
)  # file names of AudioSet: id, Yid, id_30000, id_30.0_40.0


class NameIndex:
    """Finds the relative path that a name means: the path itself, else its file name, else that without its suffix.

    Blanks at the ends of a name, Windows separators, and letters that are composed or decomposed make no difference.
    A name that several paths have means none of them.

    Args:
        paths: Relative paths (or ids of clips).
        youtube: Names are ids of AudioSet's clips, which begin the names of files.
    """

    def __init__(self, paths: Iterable[str], youtube: bool = False):
        paths = list(paths)
        self.paths: dict[str, str] = {}
        readings: tuple[Callable[[str], str], ...] = (stem, file_name, str)
        for name_of in (youtube_id, *readings) if youtube else readings:  # a later one wins
            owners: dict[str, list[str]] = defaultdict(list)
            for path in paths:
                if name := name_of(path):
                    owners[_plain(name)].append(path)
            self.paths |= {name: same[0] for name, same in owners.items() if len(same) == 1}

    def find(self, name: str) -> str | None:
        """Return the path that a name means; None if there is none, or not exactly one."""
        for spelling in spellings(name):
            for name_of in NAMES:
                if (path := self.paths.get(_plain(name_of(spelling)))) is not None:
                    return path
        return None


def spellings(name: str) -> Iterator[str]:
    """Yield a name as it is, without blanks at its ends, and with slashes instead of Windows separators."""
    yield name
    if name.strip() != name:
        yield name.strip()
    if "\\" in name:
        yield re.sub(r"^[A-Za-z]:", "", name.strip()).replace("\\", "/")


def _plain(name: str) -> str:
    name = name.strip()
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def file_name(path: str) -> str:
    """Return the last part of a relative path."""
    return path.rpartition("/")[2]


def stem(path: str) -> str:
    """Return the file name without the suffix of an audio format."""
    name = file_name(path)
    front, _, suffix = name.rpartition(".")
    return front if front and f".{suffix.lower()}" in AUDIO_SUFFIXES else name


def youtube_id(path: str) -> str:
    """Return the id of a clip of AudioSet that a file name begins with; "" for another file name."""
    match = YOUTUBE_ID.fullmatch(stem(path))
    return match[1] if match else ""


NAMES: tuple[Callable[[str], str], ...] = (str, stem)


SAMPLE = 256  # rows whose files decide which folder the paths start from
SEARCHED = 1_000_000  # files below a folder among which names are looked for
EVERY_ROW = 100_000  # rows of a table of which each file is looked for, if files of the sample are not there
AUDIO_FOLDERS = ("audio", "wav", "wavs", "clips", "sounds")
TABLE_FOLDERS = [
    "meta",
    "metadata",
    "labels",
    "annotations",
    "evaluation_setup",
    "ground_truth",
    "lists",
    "splits",
    "csv",
]


def locate(
    table: ClipTable, folder: Path, *, fixed: bool = False, part: str = "", youtube: bool = False
) -> tuple[ClipTable, Path, tuple[str, ...]]:
    """Find the recordings of a table's rows. The order of the rows decides nothing, nor does one missing file.

    Paths start from ``folder``, or from a folder in it (or, for a table in a folder such as ``metadata``, beside it)
    where more of the files are. If none is anywhere there, files of the same names below these folders are taken.

    Args:
        table: The rows.
        folder: Folder of the table, or the root that the user chose.
        fixed: The folder was chosen: look nowhere else.
        part: Name of the part of the data that the table lists; HEAR keeps its files in ``<rate>/<part>``.
        youtube: Paths are ids of AudioSet's clips.

    Returns:
        The table with the paths as the files are spelt, the root that they start from, and notes.
    """
    if "key" in table.columns:  # of stored spectrograms the recordings may be gone
        return table, folder, ()
    if "path" not in table.columns:
        named, root, notes = locate(
            table.with_column("path", table.values("id")), folder, fixed=fixed, part=part, youtube=youtube
        )
        return (
            (named, root, notes)
            if any(map(os.path.exists, map(root.joinpath, _sample(named))))
            else (table, folder, ())
        )
    sample = _sample(table)
    roots = [folder] if fixed else list(_roots(folder, part))
    counts = [sum(_spelt_in(root, path) is not None for path in sample) for root in roots]
    root = roots[int(np.argmax(counts))]
    if max(counts, default=0) or not sample:
        return _respelt(table, root, sample), root, ()
    return (table, root, ()) if fixed else _by_name(table, root, youtube)


def _sample(table: ClipTable) -> list[str]:
    """Return the paths of rows that are evenly spread."""
    rows = np.unique(np.linspace(0, len(table) - 1, SAMPLE).astype(int))
    return [path for row in rows.tolist() if (path := table.columns["path"][row])]


def _roots(folder: Path, part: str) -> Iterator[Path]:
    """Yield folders that paths may start from, the likeliest first."""
    for base in (folder, folder.parent) if _holds_tables(folder) else (folder,):
        yield base
        yield from (base / name for name in AUDIO_FOLDERS if (base / name).is_dir())
        if part:
            rates = sorted((entry for entry in base.iterdir() if entry.name.isdecimal()), key=lambda e: -int(e.name))
            yield from (rate / part for rate in rates if (rate / part).is_dir())


def _holds_tables(folder: Path) -> bool:
    return folder.resolve().name.lower() in TABLE_FOLDERS


def _spelt_in(root: Path, path: str) -> str | None:
    """Return a path as the file is spelt (without blanks, with slashes, composed or decomposed); None if there is none."""
    for name in spellings(path):
        forms = [name] if name.isascii() else [name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD"))]
        for form in forms:
            if os.path.exists(root / form):
                return form
    return None


def _respelt(table: ClipTable, root: Path, sample: Sequence[str]) -> ClipTable:
    """Replace the paths of files that are spelt in another way, and the ids that are made of them."""
    missing = any(not os.path.exists(root / path) for path in sample)
    rows = np.arange(len(table)) if missing and len(table) <= EVERY_ROW else _unusual(table)
    changed: dict[int, str] = {}
    column = table.columns["path"]
    for row in rows.tolist():
        path = column[row]
        if path and not os.path.exists(root / path):
            spelt = _spelt_in(root, path) or next(reversed(list(spellings(path))))
            if spelt != path:
                changed[row] = spelt
    return _with_paths(table, changed)


def _unusual(table: ClipTable) -> np.ndarray:
    """Return the rows whose paths begin or end with a blank."""
    column = table.columns["path"]
    if not isinstance(column, TextColumn) or b" " not in column.data or not column.data:
        return np.zeros(0, int)
    data = np.frombuffer(column.data, np.uint8)
    present = column.starts >= 0
    first, last = np.where(present, column.starts, 0), np.where(present, column.ends - 1, 0)
    return np.flatnonzero(present & ((data[first] == ord(" ")) | (data[last] == ord(" "))))


def _with_paths(table: ClipTable, changed: dict[int, str]) -> ClipTable:
    if not changed:
        return table
    paths, ids = list(table.values("path")), list(table.values("id"))
    for row, path in changed.items():
        old, paths[row] = paths[row], path
        if ids[row] == old or ids[row].startswith(f"{old}@"):  # the default: path, or path@start-end
            ids[row] = path + ids[row][len(old) :]
    return table.with_column("path", paths).with_column("id", ids)


def _by_name(table: ClipTable, root: Path, youtube: bool) -> tuple[ClipTable, Path, tuple[str, ...]]:
    """Find files of the same names anywhere below the table's folder: fold1/a.wav for a.wav, a.wav for C:\\data\\a.wav or a."""
    base = root.parent if _holds_tables(root) else root
    index = NameIndex(islice(files_below(base, AUDIO_SUFFIXES), SEARCHED), youtube)
    if not index.paths or (len(table) > EVERY_ROW and not any(map(index.find, _sample(table)))):
        return table, root, ()
    named = enumerate(table.values("path"))
    changed = {row: there for row, path in named if path and (there := index.find(path)) is not None}
    if not changed:
        return table, root, ()
    paths = table.columns["path"]
    example = next(iter(changed))
    note = f"the files were found by their names below {base}: {paths[example]} is {changed[example]}"
    return _with_paths(table, changed), base, (note,)
