"""File helpers: atomic writing, strict JSON, checksums, temporary files and folders, and the cache folder.

A file that matters is written under a temporary name in the same folder and then renamed. A reader, also one after a
crash, sees the old file or the new one, never a part. Temporary names hold the machine and the process that made them;
what a process of this machine that is gone left behind is removed by the next process that comes to the same place.
"""

from __future__ import annotations

import atexit
import errno
import hashlib
import json
import math
import os
import re
import shutil
import socket
import sys
import tempfile
import traceback
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from io import IOBase
from pathlib import Path, PurePath
from typing import Any

from auricle.core.errors import AudioError, AuricleError, is_out_of_memory

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
    """Remove the temporary files and folders in a folder whose process is gone; a process looks once into each folder."""
    with suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.endswith(".tmp") and is_left_over(entry.name):
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path, ignore_errors=True)
                else:
                    with suppress(OSError):
                        os.unlink(entry.path)


# ---- folders
@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield a new temporary folder beside ``path``. It becomes ``path`` on success and is removed on failure.

    Args:
        path: the folder that appears whole; it must not exist, its parent is made.

    Raises:
        AuricleError: the parent cannot be written, or something took the name meanwhile; what is there stays.
    """
    path = path.absolute()
    make_folder(path.parent)
    remove_leftovers(path.parent)
    temporary = temporary_name(path)
    shutil.rmtree(
        temporary, ignore_errors=True
    )  # of a process with this one's number, such as the first of a container
    with writing(path, "; nothing is left there"):
        temporary.mkdir()
    try:
        yield temporary
        if os.path.lexists(path):  # an empty folder would be replaced in silence
            raise AuricleError(f"{path} was made by another program meanwhile; choose a new folder")
        with writing(path, "; nothing is left there"):
            os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


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


SET_ANOTHER = "set AURICLE_CACHE to another"  # advice in messages about the folder for caches


# ---- what went wrong
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, the user's share of it, the largest file allowed
ADVICE = {
    **dict.fromkeys(NO_ROOM, "make room there, or choose another place"),
    errno.EMFILE: "close other programs, or raise the limit with ulimit -n",
}
OF_NUMPY = re.compile(r"\d+ requested and \d+ written")
OF_SAFETENSORS = re.compile(r"os error (\d+)")
OF_TORCH = re.compile(r"PytorchStreamWriter|file write failed|unexpected pos")
SQLITE_IOERR, SQLITE_FULL = 10, 13
LONGEST_SHOWN = 200  # letters of a text in a message


def os_error_text(error: OSError) -> str:
    """Return why a file could not be used, and what to do about it where that is known."""
    reason = error.strerror or str(error) or type(error).__name__
    return f"{reason}; {ADVICE[error.errno]}" if error.errno in ADVICE else reason


def write_failure(error: BaseException) -> str | None:
    """Return why a file could not be written, from the exception of any library; None for an exception about something else.

    NumPy, safetensors, PyTorch and SQLite have errors of their own for a full disk, and zipfile raises another one while it
    handles that.
    """
    probably_full = f"the disk is probably full ({str(error).partition(chr(10))[0]}); {ADVICE[errno.ENOSPC]}"
    if isinstance(error, OSError):
        return probably_full if error.errno is None and OF_NUMPY.search(str(error)) else os_error_text(error)
    if isinstance(error, _of("safetensors", "SafetensorError")):
        match = OF_SAFETENSORS.search(str(error))
        return os_error_text(OSError(int(match[1]), os.strerror(int(match[1])))) if match else str(error)
    if isinstance(error, RuntimeError) and OF_TORCH.search(str(error)):
        return probably_full
    if isinstance(error, _of("sqlite3", "Error")):
        return probably_full if _sqlite_code(error) in (SQLITE_IOERR, SQLITE_FULL) else str(error)
    if isinstance(error, UnicodeEncodeError):  # bytes of a file name that are no letters
        name = ascii(error.object if len(error.object) <= LONGEST_SHOWN else error.object[error.start : error.end])
        return f"the name {name} is not UTF-8: rename that file or folder"
    before = error.__cause__ or error.__context__
    while before is not None:
        if isinstance(before, OSError) and before.errno in NO_ROOM:
            return os_error_text(before)
        before = before.__cause__ or before.__context__
    return None


def is_full_disk(error: BaseException | None) -> bool:
    """Return True for an exception that a full disk caused, itself or by one behind it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            return True
        if isinstance(error, _of("sqlite3", "Error")) and _sqlite_code(error) == SQLITE_FULL:
            return True
        error = error.__cause__ or error.__context__
    return False


def file_in_use(error: BaseException) -> str:
    """Return the name of the file that was open where an exception was raised, for errors that name none; else "a file"."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for frame in reversed(frames):
        for value in frame.f_locals.values():
            name = getattr(value, "name", None) if isinstance(value, IOBase) else None
            if isinstance(name, (str, bytes)):
                return os.fsdecode(name)
    return "a file"


def failure_of_machine(error: Exception) -> str | None:
    """Return one line about an exception that a file system, a disk or a lack of memory caused; None for any other."""
    if isinstance(error, OSError) and not isinstance(error, ImportError):
        return f"cannot read or write {error.filename or file_in_use(error)}: {os_error_text(error)}"
    if is_out_of_memory(error):
        detail = f" ({str(error).splitlines()[0]})" if str(error) else ""
        return f"memory ran out{detail}; take shorter recordings or a smaller --batch-size, or close other programs"
    reason = write_failure(error)
    return reason and f"cannot read or write {file_in_use(error)}: {reason}"


def _of(module: str, name: str) -> type | tuple[()]:
    """An exception of a library, if the library is imported: else nothing raised it."""
    return getattr(sys.modules[module], name) if module in sys.modules else ()


def _sqlite_code(error: Any) -> int:
    """The primary code; the others are details of it."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


# ---- paths of user input
def path_of(value: str | os.PathLike) -> Path:
    """Return a path of user input. Raises AuricleError for an empty one, which would stand for the current folder."""
    if isinstance(value, PurePath):
        return Path(value)
    try:
        text = os.fsdecode(value)
    except TypeError as error:
        raise AuricleError(f"expected a path, got an object of type {type(value).__name__} ({error})") from None
    if not text:
        raise AuricleError("expected a path, got an empty text; name the current folder as '.'")
    if re.match("(https?|ftp|s3|gs)://", text):
        raise AuricleError(f"{text} is an address of the network; download the file and give its path")
    return Path(text)


# ---- writing
def short_name(name: str, end: str = "") -> str:
    """Return a file name with ``end`` that a file system accepts: of a name that is too long the beginning and a checksum."""
    room = LONGEST_NAME - len(os.fsencode(end))
    data = os.fsencode(name)
    if len(data) <= room:
        return name + end
    digest = f"-{hashlib.sha256(data).hexdigest()[:32]}"
    return data[: room - len(digest)].decode("utf-8", "ignore") + digest + end


def make_folder(folder: Path, advice: str = "choose another place") -> None:
    """Make a folder and its parents, where they do not exist.

    Raises:
        AuricleError: if that is not possible, if the folder is not writable, or if a ".." follows a folder that does not
            exist: until that one is made, nobody sees where the path leads. The message ends with ``advice``.
    """
    _check_steps_up(folder, advice)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: the name holds a NUL
        raise AuricleError(
            f"cannot make the folder {folder}: {getattr(error, 'strerror', None) or error}; {advice}"
        ) from None
    if not os.access(folder, os.W_OK):
        raise AuricleError(f"the folder {folder} cannot be written; {advice}")


def check_folder(folder: Path, advice: str = "choose another place") -> None:
    """Raise AuricleError, as ``make_folder`` would, if a folder cannot be made; nothing is made."""
    _check_steps_up(folder, advice)
    there = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), Path())
    if not os.path.isdir(there):
        raise AuricleError(f"cannot make the folder {folder}: {there} is not a folder; {advice}")
    if not os.access(there, os.W_OK):
        raise AuricleError(f"cannot make the folder {folder}: the folder {there} cannot be written; {advice}")


def check_own(folder: Path, names: Iterable[str], marks: Iterable[str], advice: str) -> None:
    """Raise AuricleError if files that are about to be replaced in a folder are not those of an earlier run.

    Args:
        folder: the output folder; it need not exist.
        names: of the files that are about to be written.
        marks: files of which an earlier run has left at least one, and nobody else any.
        advice: the end of the message, such as "choose another --out".
    """
    if any((folder / mark).exists() for mark in marks):
        return
    if others := [name for name in names if (folder / name).exists()]:
        raise AuricleError(f"{folder / others[0]} exists and is not of an earlier run: it would be replaced; {advice}")


def _check_steps_up(folder: Path, advice: str) -> None:
    parts = folder.parts
    for number, part in enumerate(parts):
        before = Path(*parts[:number])
        if part == ".." and not os.path.exists(before):
            raise AuricleError(
                f"cannot make the folder {folder}: it goes up with '..' from {before}, which does not exist; "
                f"write {os.path.realpath(folder)}, or {advice}"
            )


@contextmanager
def replacing(path: Path | str, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the same folder. It becomes ``path`` on success and is removed on failure.

    Args:
        path: the file to write; its folder is made.
        durable: wait until the disk holds the file, so that a power cut leaves no partial file. Many small files that
            can be made again do without, because the wait takes longer than the work.

    Raises:
        AuricleError: with the file's name, when the disk is full or the folder is not writable, and for a device or pipe,
            which a file would take the place of.
    """
    path = Path(path)
    if path.parent == Path("/dev") or (path.exists() and not path.is_file() and not path.is_dir()):
        raise AuricleError(f"{path} is a device or a pipe and would be replaced by a file; name a file")
    make_folder(path.parent)
    remove_leftovers(path.parent.absolute())
    temporary = temporary_name(path)
    with writing(path, "; the file before it is untouched"):
        try:
            with usual_rights(temporary):
                yield temporary
            if durable:
                with open(temporary, "rb+") as file:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def usual_rights(path: Path) -> Iterator[None]:
    """Give a file that is written meanwhile the rights of the umask; some libraries let only the owner read it."""
    path.touch()
    rights = path.stat().st_mode
    yield
    path.chmod(rights)


@contextmanager
def writing(path: Path, consequence: str = "") -> Iterator[None]:
    """Turn the error of any library about writing ``path`` into an AuricleError that names it.

    Args:
        path: the file that is written, or appended to.
        consequence: the end of the message: what is kept.
    """
    try:
        yield
    except AuricleError:
        raise
    except Exception as error:
        reason = write_failure(error)
        if reason is None and isinstance(error, ValueError) and "\0" in str(path):
            reason = "the name holds a NUL character"
        if reason is None:
            raise
        raise AuricleError(f"cannot write {path}: {reason}{consequence}") from error


def write_text(path: Path | str, text: str) -> None:
    """Write a text file atomically, in UTF-8."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def append_line(path: Path, line: str) -> None:
    """Append a line with one write, so that lines of several processes do not mix."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


# ---- JSON and YAML
def dumps(value: Any, **layout: Any) -> str:
    """Return JSON that every parser reads: NaN and infinite numbers, which JSON does not have, become null.

    Args:
        value: mappings, lists, tuples and plain values.
        layout: options of ``json.dumps``, such as ``indent``.
    """
    return json.dumps(_finite(value), allow_nan=False, **layout)


def read_yaml(path: Path) -> Any:
    """Read a YAML file. Raises AuricleError for a file that is none.

    The reader raises errors of its own, and those of dates, numbers, encodings and deep nesting.
    """
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise AuricleError(f"{path} is not readable as YAML: {reason}") from None


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
    except (OSError, ValueError):  # ValueError: the name holds a NUL
        return None
    return [stat.st_size, stat.st_mtime_ns]


def check_unchanged(file: Path, stamp: list[int] | None) -> None:
    """Raise AudioError if a recording is no longer the file whose stamp was taken before it was read.

    A result is kept with the stamp from before: of a file that was replaced meanwhile, nobody knows which one was read.
    """
    if file_stamp(file) != stamp:
        raise AudioError(f"{file}: was changed while it was read; run again when it is complete")


# ---- the folder for downloads and embeddings
def cache_dir() -> Path:
    """Return AURICLE_CACHE if it is set, else "auricle" in the platform's folder for caches. It need not exist yet."""
    chosen = os.environ.get("AURICLE_CACHE")
    return Path(chosen).expanduser() if chosen else _platform_folder() / "auricle"


def writable_cache() -> tuple[Path, str]:
    """Return ``cache_dir()``, made; where the platform's folder cannot be written, a temporary one and a sentence on it.

    Raises:
        AuricleError: AURICLE_CACHE is set to a folder that cannot be written.
    """
    folder = cache_dir()
    try:
        make_folder(folder, SET_ANOTHER)
    except AuricleError as error:
        if os.environ.get("AURICLE_CACHE"):
            raise
        return temporary_folder(), f"{error} (until then {temporary_folder()} is used)"
    return folder, ""


def temporary_folder() -> Path:
    """Return a folder for temporary files that is this user's own, the same one at every call; it is made."""
    user = os.getuid() if hasattr(os, "getuid") else "user"
    folder = Path(tempfile.gettempdir()) / f"auricle-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or (hasattr(os, "getuid") and folder.stat().st_uid != os.getuid()):
            return Path(tempfile.mkdtemp(prefix="auricle-"))  # someone else's
    except OSError as error:
        raise AuricleError(f"cannot make the folder {folder}: {error.strerror or error}; {SET_ANOTHER}") from None
    return folder


def _platform_folder() -> Path:
    """XDG_CACHE_HOME or ~/.cache; ~/Library/Caches on macOS; LOCALAPPDATA on Windows."""
    if sys.platform == "win32" and os.environ.get("LOCALAPPDATA"):
        return Path(os.environ["LOCALAPPDATA"])
    if sys.platform not in ("win32", "darwin") and os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"])
    try:
        home = Path.home()
    except RuntimeError:  # a container's user without a home
        return temporary_folder()
    return home / {"darwin": "Library/Caches", "win32": "AppData/Local"}.get(sys.platform, ".cache")
