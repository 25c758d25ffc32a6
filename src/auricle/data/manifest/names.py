"""Find the file or clip that a name in a table means, though the table writes it in another way."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator

from auricle.audio.decode import AUDIO_SUFFIXES

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
