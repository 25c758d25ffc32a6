"""Temporary files and folders that are removed even after a kill: by the next process that comes to the same place.

Their names hold the machine and the process that made them. A process of this machine that is gone left its files behind.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import re
import shutil
import socket
import sys
import tempfile
import zlib
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

LONGEST_NAME = 255  # bytes, in most file systems
OWNER = re.compile(r"[.-]([0-9a-f]{8})-(\d+)(?:\.tmp$|-)")
SCRATCH = "auricle-"  # the beginning of the name of a scratch folder
LONGEST_SCRATCH = 85  # characters; a socket inside it has a path of at most 107


def machine_id() -> str:
    """Return 8 hexadecimal digits that tell machines apart which share a disk."""
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def is_running(process: int) -> bool:
    """Return False if no process of this machine has that number."""
    if sys.platform == "win32":  # there is no harmless signal
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def is_left_over(name: str) -> bool:
    """Return True if the name says that a process of this machine made the file, and that process is gone."""
    owner = OWNER.search(name)
    return owner is not None and owner[1] == machine_id() and not is_running(int(owner[2]))


# ---- files
def temporary_name(path: Path) -> Path:
    """Return a hidden name in the same folder, for this process to write before it takes the name ``path``."""
    end = f".{machine_id()}-{os.getpid()}.tmp"
    name = f".{path.name}{end}"
    if len(os.fsencode(name)) > LONGEST_NAME:
        name = f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:32]}{end}"
    return path.with_name(name)


@lru_cache(maxsize=4096)
def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files in a folder whose process is gone; a process looks once into each folder."""
    with suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.endswith(".tmp") and is_left_over(entry.name):
                with suppress(OSError):
                    os.unlink(entry.path)


# ---- folders
_scratch: dict[int, Path] = {}  # by process: a forked one does not remove its parent's


def scratch_folder() -> Path:
    """Return a folder for temporary files of this process, which is removed at its end, or later by the next one."""
    process = os.getpid()
    if process not in _scratch:
        for old in Path(tempfile.gettempdir()).glob(f"{SCRATCH}{machine_id()}-*"):
            if is_left_over(old.name) and old.is_dir() and not old.is_symlink():
                shutil.rmtree(old, ignore_errors=True)
        _scratch[process] = Path(tempfile.mkdtemp(prefix=f"{SCRATCH}{machine_id()}-{process}-"))
        atexit.register(remove_scratch_folder)
    return _scratch[process]


def remove_scratch_folder() -> None:
    """Remove the scratch folder of this process, if it has one."""
    folder = _scratch.pop(os.getpid(), None)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def use_for_processes() -> None:
    """Let the processes that this one starts keep their sockets in the scratch folder, so that a kill leaves none behind.

    Otherwise multiprocessing makes a folder ``pymp-…`` that only a regular end removes.
    """
    from multiprocessing import process

    with suppress(OSError):
        folder = str(scratch_folder())
        if len(folder) <= LONGEST_SCRATCH:
            process.current_process()._config.setdefault("tempdir", folder)  # type: ignore[attr-defined]
