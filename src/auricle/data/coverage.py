"""How much of a manifest is really there: rows whose file is found, missing or broken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from auricle.data.manifest import Clip, Manifest
from auricle.errors import AuricleError, nearest

SHOWN = 5


@dataclass(frozen=True)
class Coverage:
    """missing: id -> the path that is not there, with the nearest names; broken: id -> why it cannot be opened."""

    rows: int
    missing: dict[str, str] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def found(self) -> int:
        return self.rows - len(self.missing) - len(self.broken)

    def __str__(self) -> str:
        first = f"{self.rows} rows: {self.found} found, {len(self.missing)} missing, {len(self.broken)} broken"
        return "\n".join([first, *self.notes, *_shown("missing", self.missing), *_shown("broken", self.broken)])


def _shown(what: str, items: dict[str, str]) -> Iterator[str]:
    for text in list(items.values())[:SHOWN]:
        yield f"  {what}: {text}"
    if len(items) > SHOWN:
        yield f"  {what}: and {len(items) - SHOWN} more"


def coverage(manifest: Manifest, *, open_files: bool = False) -> Coverage:
    """Looks for the file of every row; with ``open_files`` also reads its header, which finds the broken ones."""
    missing: dict[str, str] = {}
    broken: dict[str, str] = {}
    for clip in manifest:
        file = file_of(manifest, clip)
        if not file.is_file():
            missing[clip.id] = f"{file}{_near(file) if len(missing) < SHOWN else ''}"
        elif open_files and (problem := _problem(file)):
            broken[clip.id] = problem
    return Coverage(len(manifest), missing, broken, manifest.notes)


def file_of(manifest: Manifest, clip: Clip) -> Path:
    """The stored spectrogram where there is one, else the audio."""
    return manifest.spectrogram(clip) if clip.key is not None else manifest.audio(clip)


def _problem(file: Path) -> str:
    from auricle.data.stores import open_array
    from auricle.signal.decode import probe

    try:
        open_array(file) if file.suffix in (".npy", ".npz") else probe(file)
    except AuricleError as error:
        return str(error)
    return ""


def _near(file: Path) -> str:
    try:
        return nearest(file.name, [entry.name for entry in file.parent.iterdir()])
    except OSError:
        return f" (there is no folder {file.parent})"
