"""Which recordings of some folders an index lacks, which changed, moved or were deleted since."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path

from auricle.audio.sources import find_audio
from auricle.core.console import printable
from auricle.core.io import path_of, sha256_of
from auricle.data.manifest.folders import spelt_in_utf8
from auricle.index.database import SoundIndex
from auricle.index.schema import COMPLETE
from auricle.index.writer import FileStamp, stamp_of


@dataclass(frozen=True)
class KnownFile:
    """A row of the index: state, stamp and checksum of a recording."""

    state: str
    stamp: FileStamp
    sha256: str


@dataclass
class Changes:
    """What an index is to be told about some recordings; paths are absolute.

    Attributes:
        unchanged: files that are in the index as they are.
        touched: with their stamps, files with another time and the same content.
        new, changed: files to be read.
        moved: (old path, new path, stamp): files with the content of one that is gone.
        deleted: recordings whose files are gone.
        failed: {path: reason} of what cannot be looked at.
    """

    unchanged: list[str] = field(default_factory=list)
    touched: list[tuple[str, FileStamp]] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    moved: list[tuple[str, str, FileStamp]] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FoundFiles:
    """The recordings that are named by files and folders.

    Attributes:
        paths: absolute, each once, in order.
        folders: those whose recordings are all in ``paths``: what the index has below them beside these is gone.
        unseen: folders below them that cannot be looked into.
        failed: {path: reason}.
    """

    paths: tuple[str, ...]
    folders: tuple[str, ...]
    unseen: tuple[str, ...]
    failed: dict[str, str]


def find_recordings(sources: Sequence[str]) -> FoundFiles:
    """Find the recordings of files and folders.

    Raises:
        AuricleError: for anything but paths.
    """
    paths: dict[str, None] = {}
    folders, unseen, failed = list[str](), list[str](), dict[str, str]()
    for given in sources:
        folder = os.path.abspath(path_of(given))
        is_folder = os.path.isdir(folder)
        names = [str(source.content) for source in find_audio(folder)]
        for name in names:
            path = os.path.abspath(name)
            if os.path.isdir(path):
                unseen.append(path)
                failed[path] = _of_folder(path, whole=path == folder)
            elif spelt_in_utf8([path])[1]:
                failed[path] = f"{printable(path)}: the name is not UTF-8; rename the file or its folder"
            else:
                paths[path] = None
        if is_folder and folder not in unseen:
            folders.append(folder)
    return FoundFiles(tuple(paths), tuple(folders), tuple(unseen), failed)


def find_changes(index: SoundIndex, found: FoundFiles, pool: Executor) -> Changes:
    """Compare recordings with what an index holds.

    Files with the size and time of their row are taken to be unchanged; others are compared by their checksums before they are
    read again.

    Args:
        index: the index.
        found: the recordings.
        pool: computes checksums.
    """
    known, changes = _known_files(index), Changes(failed=dict(found.failed))
    new: list[tuple[str, FileStamp]] = []
    doubtful: list[tuple[str, FileStamp]] = []
    for path in found.paths:
        try:
            stamp = stamp_of(path)
        except (OSError, ValueError) as error:
            changes.failed[path] = f"{path}: {getattr(error, 'strerror', None) or error}"
            continue
        row = known.get(path)
        if row is None or row.state != COMPLETE:
            new.append((path, stamp))
        elif row.stamp == stamp:
            changes.unchanged.append(path)
        elif row.stamp.size == stamp.size:
            doubtful.append((path, stamp))
        else:
            changes.changed.append(path)
    sums = pool.map(checksum, [path for path, _ in doubtful])
    for (path, stamp), own in zip(doubtful, sums):
        if own == known[path].sha256:
            changes.touched.append((path, stamp))
        else:
            changes.changed.append(path)
    _add_moves(changes, known, new, pool)
    _add_deletions(changes, known, found)
    return changes


def _known_files(index: SoundIndex) -> dict[str, KnownFile]:
    """The rows by path; of a path with several, the complete one."""
    query = "SELECT path, state, size, modified, sha256 FROM files ORDER BY state = ?"
    rows = index.database.read(lambda db: db.execute(query, (COMPLETE,)).fetchall())
    return {path: KnownFile(state, FileStamp(size, modified), sha) for path, state, size, modified, sha in rows}


def _add_moves(
    changes: Changes, known: dict[str, KnownFile], new: Sequence[tuple[str, FileStamp]], pool: Executor
) -> None:
    """Sort new files into moved ones, which have the content of one that is gone, and those to be read."""
    gone: dict[tuple[int, str], list[str]] = {}
    sizes = {stamp.size for _, stamp in new}
    for path, row in known.items():
        if row.state == COMPLETE and row.stamp.size in sizes and not os.path.lexists(path):
            gone.setdefault((row.stamp.size, row.sha256), []).append(path)
    sizes = {size for size, _ in gone}
    candidates = [(path, stamp) for path, stamp in new if stamp.size in sizes]
    checksums = dict(zip((path for path, _ in candidates), pool.map(checksum, [path for path, _ in candidates])))
    for path, stamp in new:
        before = gone.get((stamp.size, checksums.get(path, "")))
        if before:
            changes.moved.append((_likeliest(before, path), path, stamp))
            before.remove(changes.moved[-1][0])
        else:
            changes.new.append(path)


def _likeliest(before: Sequence[str], path: str) -> str:
    """Of several files with one content, the one with the same name."""
    return next((old for old in before if os.path.basename(old) == os.path.basename(path)), before[0])


def _add_deletions(changes: Changes, known: dict[str, KnownFile], found: FoundFiles) -> None:
    moved = {old for old, _, _ in changes.moved}
    present = set(found.paths)
    for path in known:
        searched = _is_below(path, found.folders) and not _is_below(path, found.unseen)
        if searched and path not in present and path not in moved and not os.path.lexists(path):
            changes.deleted.append(path)


def _is_below(path: str, folders: Iterable[str]) -> bool:
    return any(path.startswith(folder.rstrip(os.sep) + os.sep) for folder in folders)


def checksum(path: str) -> str:
    """Return the SHA-256 of a file; "" of what is no file (a pipe would wait) or cannot be read: reading it says why."""
    try:
        return sha256_of(Path(path)) if os.path.isfile(path) else ""
    except OSError:
        return ""


def _of_folder(path: str, *, whole: bool) -> str:
    """Why a folder gave no recordings."""
    try:
        os.listdir(path)
    except OSError as error:
        return f"the folder {path} cannot be listed ({error.strerror})"
    return f"the folder {path} holds no audio{'; what the index knows of it stays' if whole else ''}"
