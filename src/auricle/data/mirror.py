"""A folder of sound to a folder of log-mel files with the same relative paths (specification m2d 1.3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from auricle.data.conversion import Failure
from auricle.data.log_mel import LogMelOf
from auricle.data.manifest_io import files_below
from auricle.data.stores import is_whole, write_array
from auricle.errors import AudioError, AuricleError


@dataclass(frozen=True)
class Mirrored:
    """One file of the mirror: the relative path of the sound, and whether it was there before."""

    name: str
    kept: bool


@dataclass(frozen=True)
class Mirror:
    """``mirror("a/b.wav")`` writes ``out/a/b.npy``, (1, F, N) of ``dtype``; a whole file that is there is kept.

    Can be sent to another process.
    """

    source: Path
    out: Path
    log_mel_of: LogMelOf
    dtype: str = "float32"

    def __call__(self, name: str) -> Mirrored | Failure:
        """A file that cannot be used is a Failure; a disk that cannot be written raises AuricleError."""
        target = self.out / stored_name(name)
        if is_whole(target):
            return Mirrored(name, kept=True)
        try:
            values = self.log_mel_of(self.source / name)
        except AudioError as error:
            return Failure(name, str(self.source / name), str(error))
        write_array(target, values, self.dtype)
        return Mirrored(name, kept=False)


def sounds_below(folder: Path, suffixes: Iterable[str]) -> list[str]:
    """Relative paths, sorted as text. Raises AuricleError when there are none, or two would become one ``.npy``."""
    suffixes = tuple(suffix.lower() for suffix in suffixes)
    if not folder.is_dir():
        raise AuricleError(f"{folder} is not a folder")
    names = sorted(files_below(folder, suffixes))
    if not names:
        raise AuricleError(f"no {', '.join(suffixes)} in {folder} nor below it; --suffix names another one, or 'any'")
    owners: dict[str, str] = {}
    for name in names:
        first = owners.setdefault(stored_name(name), name)
        if first != name:
            raise AuricleError(
                f"{first} and {name} of {folder} would both become {stored_name(name)}; convert one --suffix"
            )
    return names


def stored_name(name: str) -> str:
    """a/b.c.wav -> a/b.c.npy"""
    return str(Path(name).with_suffix(".npy"))
