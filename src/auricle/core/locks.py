"""Locks between processes, as files: one holds it and the others wait, or are refused with the name of the holder."""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from auricle.core.errors import AuricleError
from auricle.core.io import make_folder, writing

NO_LOCKS = (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS, errno.EINVAL)  # file systems without locks
LOCKED_BYTE = 1 << 30  # on Windows, where nobody can read what is locked


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock that one process or thread holds at a time; others wait. It ends with the process that holds it.

    Args:
        path: the lock file, which is made and stays.
    """
    with writing(path):
        file = open(path, "a+b")  # noqa: SIM115
    with file:
        _lock(file, wait=True)
        try:
            yield
        finally:
            _unlock(file)


@contextmanager
def held(path: Path, what: str, advice: str) -> Iterator[None]:
    """Hold a lock that one process or thread holds at a time; others are refused. It ends with the process that holds it.

    Args:
        path: the lock file; it is removed at the end.
        what: what the lock protects, for the message.
        advice: the end of the message.

    Raises:
        AuricleError: if another one holds it; the message names its process.
    """
    make_folder(path.parent)
    with _taken(path, what, advice) as file:
        with writing(path):
            file.truncate(0)
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            file.write(f"process {os.getpid()} on {socket.gethostname()}, since {since}\n".encode())
            file.flush()
        _held.add(file)
        try:
            yield
        finally:
            if file in _held:  # not in a forked process
                _held.discard(file)
                if sys.platform != "win32":
                    path.unlink(missing_ok=True)  # still locked: who opened it meanwhile sees that it is gone
                _unlock(file)


_held: set[IO[bytes]] = set()  # by this process


def _give_up() -> None:
    """Close the inherited files in a forked process: a worker that outlives its killed parent must not hold its locks."""
    for file in _held:
        with suppress(OSError):
            file.close()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_give_up)


def _taken(path: Path, what: str, advice: str) -> IO[bytes]:
    """Open and lock the file that has the name; one that its holder removed while we waited is not it."""
    while True:
        with writing(path):
            file = open(path, "a+b")  # noqa: SIM115
        if not _lock(file, wait=False):
            with file:
                file.seek(0)
                holder = file.read(200).decode(errors="replace").strip() or "another process"
            raise AuricleError(f"{what} is in use by {holder}; {advice}")
        with suppress(OSError):
            if sys.platform == "win32" or os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


def _lock(file: IO[bytes], *, wait: bool) -> bool:
    """Lock an open file. Return False if another process has it and we do not wait."""
    if sys.platform == "win32":
        import msvcrt

        while True:
            file.seek(LOCKED_BYTE)
            try:
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)  # waits for ten seconds
                return True
            except OSError:
                if not wait:
                    return False
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return True


def _unlock(file: IO[bytes]) -> None:
    """Unlock an open file; elsewhere closing it is enough."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(LOCKED_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
