"""File helpers: atomic writing, strict JSON, checksums, and the cache folder.

A file that matters is written under a temporary name in the same folder and then renamed. A reader, also one after a
crash, sees the old file or the new one, never a part.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from auricle.core.errors import AuricleError

SET_ANOTHER = "set AURICLE_CACHE to another"  # advice in messages about the folder for caches


# ---- writing
def make_folder(folder: Path, advice: str = "choose another place") -> None:
    """Make a folder and its parents, where they do not exist.

    Raises:
        AuricleError: if that is not possible, or if the folder is not writable; the message ends with ``advice``.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AuricleError(f"cannot make the folder {folder}: {error.strerror or error}; {advice}") from None
    if not os.access(folder, os.W_OK):
        raise AuricleError(f"the folder {folder} cannot be written; {advice}")


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the same folder. It becomes ``path`` on success and is removed on failure.

    Args:
        path: the file to write; its folder is made.
        durable: wait until the disk holds the file, so that a power cut leaves no partial file. Many small files that
            can be made again do without, because the wait takes longer than the work.

    Raises:
        AuricleError: with the file's name, when the disk is full or the folder is not writable.
    """
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        if durable:
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise AuricleError(
            f"cannot write {path}: {error.strerror or error}; the file before it is untouched"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that one process or thread holds at a time; others wait. It ends with the process that holds it.

    Args:
        path: the lock file, which is made and stays.
    """
    with open(path, "a+b") as file:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            while True:
                try:
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)  # gives up after ten seconds
                    break
                except OSError:
                    continue
            try:
                yield
            finally:
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
            yield


# ---- JSON
def dumps(value: Any, **layout: Any) -> str:
    """Return JSON that every parser reads: NaN and infinite numbers, which JSON does not have, become null.

    Args:
        value: mappings, lists, tuples and plain values.
        layout: options of ``json.dumps``, such as ``indent``.
    """
    return json.dumps(_finite(value), allow_nan=False, **layout)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


# ---- whether a file has changed
def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file's content, 64 hexadecimal digits."""
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_stamp(file: Path) -> list[int] | None:
    """Return the size in bytes and the time of the last change in nanoseconds; None for a file that is not there.

    A changed stamp means a changed file, without reading it. The list can be written as JSON.
    """
    try:
        stat = file.stat()
    except OSError:
        return None
    return [stat.st_size, stat.st_mtime_ns]


# ---- the folder for downloads and embeddings
def cache_dir() -> Path:
    """Return AURICLE_CACHE if it is set, else "auricle" in the platform's folder for caches. It need not exist yet."""
    chosen = os.environ.get("AURICLE_CACHE")
    return Path(chosen).expanduser() if chosen else _platform_folder() / "auricle"


def _platform_folder() -> Path:
    """XDG_CACHE_HOME or ~/.cache; ~/Library/Caches on macOS; LOCALAPPDATA on Windows."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
