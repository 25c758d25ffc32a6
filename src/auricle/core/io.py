"""Files that matter are written beside their place and renamed into it: a reader sees the old one or the new one, whole."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from auricle.core.errors import AuricleError


def make_folder(folder: Path, advice: str = "choose another place") -> None:
    """The folder and those above it, where they are not there yet. Raises AuricleError where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AuricleError(f"cannot make the folder {folder}: {error.strerror or error}; {advice}") from None
    if not os.access(folder, os.W_OK):
        raise AuricleError(f"the folder {folder} cannot be written; {advice}")


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yields a temporary path in the same folder; on success it becomes ``path``, on failure it is removed.

    ``durable`` waits until the disk holds it, so that not even a power cut leaves a half-written file; many small files
    that can be made again, and whose size is checked, do without (the wait is longer than the work).
    Raises AuricleError with the file's name when the disk is full or the folder cannot be written.
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
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


# JSON that every parser reads: a number that is none (NaN, infinite) becomes null.


def dumps(value: Any, **layout: Any) -> str:
    """``json.dumps`` without the words NaN and Infinity, which JSON does not have."""
    return json.dumps(_finite(value), allow_nan=False, **layout)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, (list, tuple)) else value


# Where downloads and embeddings are kept between runs.

SET_ANOTHER = "set AURICLE_CACHE to another"


def cache_dir() -> Path:
    """AURICLE_CACHE if it is set, else the platform's folder for caches. The folder need not exist yet."""
    chosen = os.environ.get("AURICLE_CACHE")
    return Path(chosen).expanduser() if chosen else _platform_folder() / "auricle"


def _platform_folder() -> Path:
    """XDG_CACHE_HOME or ~/.cache; ~/Library/Caches on macOS; LOCALAPPDATA on Windows."""
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
