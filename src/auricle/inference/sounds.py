"""Which recordings are meant: files, folders, and sound already in memory."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from auricle.data.manifest_io import files_below
from auricle.signal.decode import AUDIO_SUFFIXES


@dataclass(frozen=True, eq=False)
class Sound:
    """A recording and what it is called. ``place`` is a relative path for what is written about it."""

    name: str
    content: Path | bytes
    place: str

    def open(self) -> Path | BinaryIO:
        """What ``signal.decode`` reads; from the beginning at every call."""
        return self.content if isinstance(self.content, Path) else NamedBytes(self.content, self.name)


class NamedBytes(io.BytesIO):
    """Bytes that errors can call by name."""

    def __init__(self, content: bytes, name: str):
        super().__init__(content)
        self.name = name


def find_sounds(files: Iterable[str | Path]) -> list[Sound]:
    """The files, and all audio in and below the folders; each once, in the order given.

    A folder without audio stays in the list, and reading it says what is wrong.
    """
    found: dict[str, Sound] = {}
    for item in map(Path, files):
        inside = list(files_below(item, AUDIO_SUFFIXES)) if item.is_dir() else []
        for name in inside:
            found.setdefault(str(item / name), Sound(str(item / name), item / name, name))
        if not inside:
            found.setdefault(str(item), Sound(str(item), item, item.name))
    return list(found.values())
