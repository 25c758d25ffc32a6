"""Which recordings are meant: files, folders, and sound already in memory."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from auricle.audio.decode import AUDIO_SUFFIXES
from auricle.core.errors import AudioError
from auricle.data.manifest.formats import files_below


@dataclass(frozen=True, eq=False)
class AudioSource:
    """A recording and what it is called. ``place`` is a relative path for what is written about it."""

    name: str
    content: Path | bytes
    place: str

    def open(self) -> Path | BinaryIO:
        """What ``signal.decode`` reads; from the beginning at every call. Raises AudioError for a folder."""
        if isinstance(self.content, Path) and self.content.is_dir():
            raise AudioError(
                f"the folder {self.name} holds no audio; known endings: {', '.join(sorted(AUDIO_SUFFIXES))}"
            )
        return self.content if isinstance(self.content, Path) else NamedBytes(self.content, self.name)


class NamedBytes(io.BytesIO):
    """Bytes that errors can call by name."""

    def __init__(self, content: bytes, name: str):
        super().__init__(content)
        self.name = name


def find_sounds(files: Iterable[str | Path]) -> list[AudioSource]:
    """The files, and all audio in and below the folders; each once, in the order given.

    No two have one place: where names repeat, places begin below the folder that all recordings share. A folder without
    audio stays in the list, and opening it says what is wrong.
    """
    found: dict[str, AudioSource] = {}
    for item in map(Path, files):
        inside = list(files_below(item, AUDIO_SUFFIXES)) if item.is_dir() else []
        for name in inside:
            found.setdefault(str(item / name), AudioSource(str(item / name), item / name, name))
        if not inside:
            found.setdefault(str(item), AudioSource(str(item), item, item.name))
    return _apart(list(found.values()))


def _apart(sounds: list[AudioSource]) -> list[AudioSource]:
    if len({sound.place for sound in sounds}) == len(sounds):
        return sounds
    paths = [os.path.abspath(sound.name) for sound in sounds]
    shared = os.path.commonpath([os.path.dirname(path) for path in paths])
    return [replace(sound, place=os.path.relpath(path, shared)) for sound, path in zip(sounds, paths)]
