"""HDF5 files of encoded audio, in the layout in which AudioSet, FSD50K and OpenMIC are passed on for PaSST and EfficientAT.

A file holds ``audio_name`` (n names of at most 20 bytes), ``mp3`` (n complete mp3 files) and ``target`` (n rows)
([efficientat_training 3](docs/specification/efficientat_training.md#s3)). h5py is needed ([data] extra).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from auricle.audio.sources import NamedBytes
from auricle.core.errors import AudioError, AuricleError, MissingExtra
from auricle.core.io import replacing
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.stores.base import StoredAudio

NAMES, AUDIO, TARGETS = "audio_name", "mp3", "target"
NAME_BYTES = 20
ROWS = 8192  # read at a time


class OpenArchive(NamedTuple):
    """An open file: the process that opened it, its names sorted, and the rows of these."""

    process: int
    file: Any
    names: np.ndarray
    rows: np.ndarray


@dataclass(frozen=True)
class HDF5Audio:
    """Recordings inside HDF5 files: ``key`` of every clip in the file ``store``. A clip with a path is a loose file.

    Every process opens a file for itself, when it reads the first clip of it: handles that a forked process inherits are not used,
    and none is sent to another process.
    """

    manifest: Manifest
    _archives: dict[str, OpenArchive] = field(default_factory=dict, init=False, repr=False, compare=False)

    def open(self, clip: Clip) -> StoredAudio:
        """Read the encoded audio of a clip."""
        if clip.path is not None or not clip.in_archive:
            return StoredAudio(self.manifest.audio(clip))
        path, key = self.manifest.root / str(clip.store), str(clip.key)
        archive = self._archive(path)
        name = np.array(key.encode(), archive.names.dtype if len(archive.names) else f"S{NAME_BYTES}")
        place = int(np.searchsorted(archive.names, name))
        if place == len(archive.names) or archive.names[place] != name or name.item() != key.encode():
            raise AudioError(f"{path} holds no '{key}'")
        try:
            content = archive.file[AUDIO][int(archive.rows[place])]
        except (OSError, KeyError) as error:
            raise AudioError(f"{key} in {path} cannot be read: {error}") from None
        return StoredAudio(NamedBytes(content.tobytes(), f"{path}/{key}"))

    def _archive(self, path: Path) -> OpenArchive:
        archive = self._archives.get(str(path))
        if archive is None or archive.process != os.getpid():
            file = open_archive(path)
            names = file[NAMES][:]
            order = np.argsort(names, kind="stable")
            archive = self._archives[str(path)] = OpenArchive(os.getpid(), file, names[order], order)
        return archive

    def __getstate__(self) -> dict[str, Any]:
        return {"manifest": self.manifest}

    def __setstate__(self, state: dict[str, Any]) -> None:
        object.__setattr__(self, "manifest", state["manifest"])
        object.__setattr__(self, "_archives", {})


def h5py_module() -> Any:
    """Import h5py. Raises MissingExtra where it is not installed."""
    try:
        import h5py
    except ImportError:
        raise MissingExtra("reading and writing HDF5 files of audio", "data") from None
    return h5py


def open_archive(path: Path) -> Any:
    """Open a file for reading.

    Raises:
        MissingExtra: h5py is not installed.
        AudioError: The file is missing or damaged, or has other fields.
    """
    h5py = h5py_module()
    try:
        file = h5py.File(path, "r", locking=False)  # no lock: the file may lie on a disk that cannot be written
    except OSError as error:
        reason = error.strerror or str(error).partition("(")[0].strip()
        raise AudioError(f"{path} cannot be opened as HDF5: {reason}") from None
    if not {NAMES, AUDIO, TARGETS} <= set(file):
        found = ", ".join(file) or "nothing"
        file.close()
        raise AudioError(f"{path} holds {found}; expected the fields {NAMES}, {AUDIO} and {TARGETS}")
    return file


@contextmanager
def opened_archive(path: Path) -> Iterator[Any]:
    """Open a file and close it at the end. Raises what ``open_archive`` raises."""
    file = open_archive(path)
    try:
        yield file
    finally:
        file.close()


def archive_names(path: Path) -> list[str]:
    """Return the names in a file, in its order. Raises what ``open_archive`` raises."""
    with opened_archive(path) as file:
        return [name.decode("utf-8", "replace") for name in file[NAMES][:].tolist()]


def hdf5_manifest(path: Path) -> Manifest:
    """Return the recordings in a file as clips that are read from it; ids are their names. Raises what ``open_archive`` raises."""
    return Manifest([Clip(name, store=path.name, key=name) for name in archive_names(path)], path.parent)


def archive_rows(path: Path, classes: int) -> Iterator[tuple[str, np.ndarray]]:
    """Iterate over the names and targets of a file, in its order.

    Args:
        path: The file.
        classes: Number of classes, C.

    Yields:
        The name, and the target: (C,) 0 and 1 where they are packed 8 to a byte, the first class in the highest bit; other
        targets as they are stored.

    Raises:
        AuricleError: The file cannot be opened, or holds targets of another number of classes.
    """
    with opened_archive(path) as file:
        count = len(file[NAMES])
        for start in range(0, count, ROWS):
            stop = min(start + ROWS, count)
            names, targets = file[NAMES][start:stop].tolist(), file[TARGETS][start:stop]
            yield from zip((name.decode("utf-8", "replace") for name in names), _unpacked(targets, classes, path))


def _unpacked(targets: np.ndarray, classes: int, path: Path) -> np.ndarray:
    if targets.dtype != np.uint8:
        return targets
    if targets.ndim != 2 or targets.shape[1] != -(-classes // 8):
        raise AuricleError(
            f"{path} holds targets {targets.shape}; expected {-(-classes // 8)} bytes for {classes} classes"
        )
    return np.unpackbits(targets, axis=1, count=classes)


class ArchiveEntry(NamedTuple):
    """One row of a file: its name, the mp3 file that is copied, and its target (C,) of 0 and 1."""

    name: str
    file: Path
    target: np.ndarray


def write_archive(
    path: Path, entries: Sequence[ArchiveEntry] | Iterable[ArchiveEntry], count: int, classes: int
) -> None:
    """Write a file of ``count`` mp3 files; their bytes are copied. The file gets its name when it is complete.

    Args:
        path: The file to write.
        entries: Its rows, ``count`` of them.
        count: Number of rows.
        classes: Number of classes, C; targets are packed 8 classes to a byte.

    Raises:
        AuricleError: A name is too long, or a file cannot be read.
    """
    h5py = h5py_module()
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        names = file.create_dataset(NAMES, (count,), f"S{NAME_BYTES}")
        audio = file.create_dataset(AUDIO, (count,), h5py.vlen_dtype(np.dtype("uint8")))
        targets = file.create_dataset(TARGETS, (count, -(-classes // 8)), "uint8")
        for row, entry in enumerate(entries):
            if len(entry.name.encode()) > NAME_BYTES:
                raise AuricleError(f"the name '{entry.name}' has more than the {NAME_BYTES} bytes of {path.name}")
            try:
                content = entry.file.read_bytes()
            except OSError as error:
                raise AuricleError(f"cannot read {entry.file}: {error.strerror or error}") from None
            names[row], audio[row] = entry.name.encode(), np.frombuffer(content, np.uint8)
            targets[row] = np.packbits(entry.target.astype(np.uint8))
