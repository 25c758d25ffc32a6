"""Convert user input (files, folders, tables, windows of recordings) to a Manifest."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from auricle.audio.decode import AUDIO_SUFFIXES
from auricle.audio.sources import as_list, files_below, is_path
from auricle.audio.windows import LEAST_NEW
from auricle.core.errors import AuricleError
from auricle.core.io import path_of
from auricle.data.manifest.clip_table import ARCHIVES
from auricle.data.manifest.folders import spelt_in_utf8
from auricle.data.manifest.formats import read_manifest
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.manifest.tables import TABLES
from auricle.data.stores.base import ClipStore, StoredAudio, archive_manifest, open_store, seconds_of

ROUNDING = 1e-9  # seconds: 9 * 0.6 is a little more than 5.4


def as_manifest(source: Manifest | str | Path | Sequence[str | Path]) -> Manifest:
    """Return a Manifest as it is, or read one from a folder, a table or files.

    Several sources become one manifest with the clips of all folders and tables; a file named twice comes once. A folder
    without audio becomes a clip that cannot be read.

    Raises:
        AuricleError: when nothing is named, and for anything but paths.
    """
    if isinstance(source, Manifest):
        return source
    given: list[Any] = as_list(source) if isinstance(source, Iterable) else [source]
    wrong = [type(item).__name__ for item in given if not is_path(item)]
    if wrong:
        raise AuricleError(f"expected paths of files, folders or tables, or a Manifest; got {wrong[0]}")
    items = [str(path_of(item)) for item in given]
    _, strange = spelt_in_utf8(items)
    items = [item for item in items if not spelt_in_utf8([item])[1]]
    if strange and not items:
        raise AuricleError(strange[0])
    if len(items) == 1 and not strange and is_archive(items[0]):
        return archive_manifest(Path(items[0]))
    if len(items) == 1 and not strange:
        return read_manifest(items[0] if is_path(source) or os.path.exists(items[0]) else items, label_notes=False)
    notes: list[str] = [*strange]
    clips: dict[str, Clip] = {}
    for item in map(Path, items):
        if (os.path.isdir(item) and not _is_empty(item)) or item.suffix.lower() in TABLES or is_archive(item):
            inner = archive_manifest(item) if is_archive(item) else read_manifest(item, label_notes=False)
            clips |= {clip.id: clip for clip in (_spread(clip, inner.root, item) for clip in inner)}
            notes += inner.notes_but_leaks()
        else:
            clips[str(item)] = Clip(id=str(item), path=str(item))
    if not clips:
        raise AuricleError("no audio was named: give files, folders or tables")
    return Manifest(tuple(clips.values()), notes=tuple(notes))


def is_archive(path: str | Path) -> bool:
    """Return True for an HDF5 file or a tar shard of recordings, by its suffix."""
    return str(path).lower().endswith(ARCHIVES) and os.path.isfile(path)


def _spread(clip: Clip, root: Path, source: Path) -> Clip:
    """A clip of one of several sources: named by the source, with paths that need no root."""
    store = str(root / clip.store) if clip.store is not None else None
    return replace(clip, id=f"{source}/{clip.id}", path=clip.path and str(root / clip.path), store=store)


def _is_empty(folder: Path) -> bool:
    """True for a folder without anything that clips are made of; reading it as a file gives the reason."""
    suffixes = (*AUDIO_SUFFIXES, *TABLES, ".npy")
    return next(files_below(folder, suffixes), None) is None


def cut_into_windows(manifest: Manifest, window: float | None, hop: float | None = None) -> Manifest:
    """Cut every clip into windows, each a clip of its own with an id such as ``a.wav@2.5-7.5``.

    The last window is moved back so that it ends where the clip ends. A shorter clip stays whole, and so does a file
    that cannot be opened (reading it later gives the reason).

    Args:
        window: seconds.
        hop: seconds between the starts of two windows; None: half a window.

    Raises:
        AuricleError: for a window or hop that is not above 0.
    """
    window, hop = check_window(window, hop)
    store = open_store(manifest, "audio")
    return replace(manifest, clips=tuple(part for clip in manifest for part in _windows(store, clip, window, hop)))


def cut_into_distinct_windows(manifest: Manifest, window: float, hop: float) -> Manifest:
    """Cut every clip into windows, without a last one that adds less than a tenth of the hop (``audio.windows.covering_enough``).

    Args:
        window, hop: seconds.

    Raises:
        AuricleError: as ``cut_into_windows``.
    """
    cut = cut_into_windows(manifest, window, hop)
    pairs = zip((None, *cut.clips), cut.clips)
    return replace(
        cut, clips=tuple(clip for before, clip in pairs if not _hardly_differs(before, clip, LEAST_NEW * hop))
    )


def _hardly_differs(before: Clip | None, clip: Clip, least: float) -> bool:
    """Whether a window holds less than ``least`` seconds that the one before does not: the rest of 5.001 s is no second clip."""
    if before is None or before.path != clip.path or before.start is None or clip.start is None:
        return False
    return 0 < clip.start - before.start < least


def check_window(window: float | None, hop: float | None) -> tuple[float, float]:
    """Return window and hop in seconds; a hop of None is half a window. Raises AuricleError unless both are above 0."""
    window = window or 0.0
    hop = hop or window / 2
    if not (0 < window < float("inf") and 0 < hop < float("inf")):
        raise AuricleError(f"--window and --hop are seconds above 0, got {window} and {hop}")
    return window, hop


def _windows(store: ClipStore[StoredAudio], clip: Clip, window: float, hop: float) -> Iterator[Clip]:
    first, seconds = clip.start or 0.0, seconds_of(store, clip)
    if clip.end is not None and isinstance(seconds, float) and seconds >= window:  # it may end far behind the recording
        present = seconds_of(store, replace(clip, end=None, num_samples=None))
        seconds = present if isinstance(present, str) else min(seconds, present)
    if isinstance(seconds, str) or seconds <= 0:
        yield clip
        return
    for start, end in window_spans(seconds, window, hop):
        start, end = first + start, first + end
        yield replace(clip, id=f"{clip.id}@{start:.12g}-{end:.12g}", start=start, end=end)


def window_spans(seconds: float, window: float, hop: float) -> Iterator[tuple[float, float]]:
    """Yield (start, end) of the windows that cover ``seconds``, as ``audio.windows`` cuts them."""
    count = 0
    while count * hop + window <= seconds + ROUNDING:
        yield count * hop, min(seconds, count * hop + window)
        count += 1
    covered = (count - 1) * hop + window if count else 0.0
    if seconds > max(covered, count * hop) + ROUNDING:
        yield max(0.0, seconds - window), seconds
