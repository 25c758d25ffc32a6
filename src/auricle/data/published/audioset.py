"""AudioSet: HDF5 files of mp3, or folders of recordings with the official segment lists.

Layouts and names: [efficientat_training 3](docs/specification/efficientat_training.md#s3) and
[evaluation 1.3](docs/specification/evaluation.md#s1-3). Counts: the headers of the segment lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from auricle.audio.decode import AUDIO_SUFFIXES
from auricle.audio.sources import files_below
from auricle.core.errors import AuricleError
from auricle.data.audioset import ID_LENGTH, audioset_classes, read_segments
from auricle.data.manifest.clip_table import Clip, ClipTable
from auricle.data.manifest.manifest import Manifest
from auricle.data.published.base import LayoutError, PublishedDataset

BALANCED, UNBALANCED, EVALUATION = "balanced_train", "unbalanced_train", "eval"
SPLITS = {BALANCED: "train", UNBALANCED: "train", EVALUATION: "test"}
LISTED = {BALANCED: 22_160, UNBALANCED: 2_041_789, EVALUATION: 20_371}  # of num_ytids in the lists
SPELLINGS = ("segments", "segmenets")  # of the code, and of EfficientAT's read-me
ARCHIVE_FOLDERS = ("", "mp3", "hdf", "hdf5", "audioset_hdf5s/mp3")  # where the files lie in the folder
LIST_FOLDERS = ("", "metadata", "meta", "lists", "csv")
LAYOUT = (
    "balanced_train_segments_mp3.hdf, unbalanced_train_segments_mp3.hdf and eval_segments_mp3.hdf (also spelt segmenets); or "
    "recordings named by their ids in balanced_train_segments/, unbalanced_train_segments/ and eval_segments/ with the lists "
    "balanced_train_segments.csv, … here or in metadata/"
)


def read_audioset(folder: Path, parts: Sequence[str]) -> Manifest:
    """Read these parts of AudioSet: from HDF5 files where there are any, else from folders. Ids are those of the segments."""
    archives = {part: file for part in parts if (file := find_archive(folder, part)) is not None}
    if archives:
        present: Iterable[str] = archives
        clips = ClipTable.of(clip for part, file in archives.items() for clip in _clips_of_archive(folder, file, part))
    else:
        lists = {part: files for part in parts if (files := find_lists(folder, part))}
        present = lists
        clips = ClipTable.of(clip for part, files in lists.items() for clip in _clips_of_folder(folder, files, part))
    absent = [part for part in parts if part not in present]
    needed = [part for part in parts if SPLITS[part] == "train"] or parts
    if not any(part in present for part in needed):
        raise LayoutError(f"there is neither an HDF5 file nor a segment list of {' and '.join(absent)}")
    notes = (f"{', '.join(absent)}: there is neither an HDF5 file nor a list; left out",) if absent else ()
    return Manifest(clips, folder, tuple(name for _, name in audioset_classes()), notes)


def find_archive(folder: Path, part: str) -> Path | None:
    """Return the HDF5 file of a part, in either spelling of its name; None where there is none."""
    names = [f"{part}_{spelling}_mp3.hdf" for spelling in SPELLINGS]
    return next(
        (file for inner in ARCHIVE_FOLDERS for name in names if (file := folder / inner / name).is_file()), None
    )


def find_lists(folder: Path, part: str) -> list[Path]:
    """Return the segment lists of a part: the official one, else the 41 pieces of the unbalanced list."""
    for inner in LIST_FOLDERS:
        if (whole := folder / inner / f"{part}_segments.csv").is_file():
            return [whole]
        if pieces := sorted((folder / inner).glob(f"*partial_csvs/{part}_segments_part*.csv")):
            return pieces
    return []


def _clips_of_archive(folder: Path, file: Path, part: str) -> Iterator[Clip]:
    from auricle.data.stores.hdf5 import archive_rows

    names = [name for _, name in audioset_classes()]
    store = file.relative_to(folder).as_posix()
    for key, target in archive_rows(file, len(names)):
        labels = tuple(names[i] for i in target.nonzero()[0].tolist())
        yield Clip(id_of_name(key), store=store, key=key, labels=labels, split=SPLITS[part])


def id_of_name(name: str) -> str:
    """Return the id in a name of the HDF5 files: what follows the first Y of "03/YAJXxNMTRvpY.mp3"."""
    return name.removesuffix(".mp3").partition("Y")[2]


def _clips_of_folder(folder: Path, lists: list[Path], part: str) -> Iterator[Clip]:
    segments = read_segments(lists)
    names, inner = dict(audioset_classes()), _audio_folder(folder, part)
    files = {id: name for name in files_below(folder / inner, AUDIO_SUFFIXES) if (id := _id_of_file(name, segments))}
    for id, mids in segments.items():
        if unknown := [mid for mid in mids if mid not in names]:
            raise AuricleError(
                f"the segment {id} of {lists[0]} has the class '{unknown[0]}', which is not one of the 527"
            )
        yield Clip(id, f"{inner}/{files.get(id, id)}", labels=tuple(names[mid] for mid in mids), split=SPLITS[part])


def _audio_folder(folder: Path, part: str) -> str:
    """Return the folder of the recordings of a part, relative to that of the data set."""
    tried = [f"{above}{part}{end}" for end in ("_segments", "") for above in ("", "audio/", "wav/", "mp3/")]
    for inner in tried:
        if (folder / inner).is_dir():
            return inner
    raise LayoutError(f"there is a list of {part}, but no folder {tried[0]} of its recordings")


def _id_of_file(name: str, segments: dict[str, tuple[str, ...]]) -> str | None:
    """Return the id that a file name begins with, also after the letter Y; None where the lists do not have it."""
    stem = PurePosixPath(name).stem
    candidates = (stem[:ID_LENGTH], stem[1 : ID_LENGTH + 1] if stem.startswith("Y") else "")
    return next((id for id in candidates if id in segments), None)


# ---- writing the HDF5 files

PIECE = 50_000  # segments of each piece of the unbalanced list


def pack_audioset(manifest: Manifest, out: Path, spelling: str, parts: Sequence[str]) -> Manifest:
    """Write the mp3 files of a manifest as one HDF5 file per part into ``out``, in the order of the lists.

    A file that already holds these names is kept.

    Args:
        manifest: Clips with paths, read from folders.
        out: Folder of the HDF5 files.
        spelling: ``segments`` or ``segmenets``, in the names of the files.
        parts: Parts of AudioSet.

    Returns:
        The same clips with the HDF5 file as ``store`` and the name in it as ``key``.

    Raises:
        MissingExtra: h5py is not installed.
        AuricleError: A recording is no mp3 file.
    """
    from auricle.data.stores.hdf5 import ArchiveEntry, archive_names, write_archive

    if other := next((clip for clip in manifest if not (clip.path or "").lower().endswith(".mp3")), None):
        raise AuricleError(
            f"{other.path or other.store} is no mp3 file, and only mp3 files are copied into HDF5 files; make them with "
            "ffmpeg -i IN.wav -codec:a mp3 -ar 32000 OUT.mp3"
        )
    index = {name: i for i, (_, name) in enumerate(audioset_classes())}
    packed = []
    for part in parts:
        names = _names_in_archive(find_lists(manifest.root, part), part)
        clips = [clip for clip in manifest if clip.id in names]
        if not clips:
            continue
        path = out / f"{part}_{spelling}_mp3.hdf"
        if not path.is_file() or archive_names(path) != [names[clip.id] for clip in clips]:
            targets = (_multi_hot(clip, index) for clip in clips)
            entries = (
                ArchiveEntry(names[clip.id], manifest.audio(clip), target) for clip, target in zip(clips, targets)
            )
            write_archive(path, entries, len(clips), len(index))
        store = str(path.resolve())
        packed += [replace(clip, path=None, store=store, key=names[clip.id]) for clip in clips]
    return replace(manifest, clips=packed)


def _names_in_archive(lists: list[Path], part: str) -> dict[str, str]:
    """Return the name of every segment: Y<id>.mp3, below the number of its piece for the unbalanced list."""
    names = {}
    for number, file in enumerate(lists):
        for row, id in enumerate(read_segments([file])):
            piece = number if len(lists) > 1 else row // PIECE
            names[id] = f"{piece:02d}/Y{id}.mp3" if part == UNBALANCED else f"Y{id}.mp3"
    return names


def _multi_hot(clip: Clip, index: dict[str, int]) -> np.ndarray:
    target = np.zeros(len(index), np.uint8)
    target[[index[name] for name in clip.labels]] = 1
    return target


def _dataset(name: str, title: str, parts: tuple[str, ...], note: str) -> PublishedDataset:
    expected: dict[str, int] = {}
    for part in parts:
        expected[SPLITS[part]] = expected.get(SPLITS[part], 0) + LISTED[part]
    return PublishedDataset(
        name=name,
        title=title,
        url="https://research.google.com/audioset/",
        licence="labels CC BY 4.0; the recordings are their authors'",
        layout=LAYOUT,
        read=partial(read_audioset, parts=parts),
        expected=expected,
        multilabel=True,
        note=note,
        pack=partial(pack_audioset, parts=parts),
    )


DELETED = "Counts are those of the segment lists; many recordings are no longer available to anyone."
AUDIOSET = _dataset("audioset", "AudioSet", (BALANCED, UNBALANCED, EVALUATION), DELETED)
AUDIOSET_BALANCED = _dataset(
    "audioset-balanced", "AudioSet, balanced training part (AS20K)", (BALANCED, EVALUATION), DELETED
)
