"""Download files: try several mirrors, resume by byte ranges, verify size and checksum.

``AURICLE_OFFLINE=1`` switches downloads off. Only the standard library is used.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import re
import shutil
import stat
import time
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from auricle.core.errors import AuricleError
from auricle.core.io import SET_ANOTHER, make_folder, replacing, sha256_of, write_text
from auricle.core.locks import locked
from auricle.core.progress import progress_bar
from auricle.version import __version__

# ---- checksums: written at first use to ``FILE.json`` (size, SHA-256, source), verified afterwards

BY_HAND = "put here by hand"


def note(file: Path, source: str, *, content: Path | None = None) -> None:
    """Write the size and checksum of a file; of ``content`` if that will be renamed to the file."""
    content = content or file
    values = {"size": content.stat().st_size, "sha256": sha256_of(content), "source": source}
    write_text(_note_path(file), json.dumps(values, indent=1))


def noted(file: Path) -> dict[str, Any]:
    """Read what ``note`` wrote; {} if there is nothing."""
    try:
        return json.loads(_note_path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def check(file: Path, *, size: int | None = None, sha256: str = "") -> None:
    """Compare a file with its expected size and checksum. For a file that was put there by hand, they are stored now.

    Args:
        file: the file.
        size, sha256: expected bytes and checksum, if known; default: those that ``note`` wrote.

    Raises:
        AuricleError: if the file has changed or is truncated.
    """
    before = noted(file)
    expected_size, expected = size or before.get("size"), sha256 or before.get("sha256", "")
    actual = file.stat().st_size
    if expected_size and actual != expected_size:
        raise AuricleError(
            f"{file} has {actual} bytes, expected {expected_size}: it is truncated or changed; "
            "delete it and its .json, then try again"
        )
    if expected and sha256_of(file) != expected:
        raise AuricleError(
            f"{file} has changed (its SHA-256 is not {expected[:12]}…); delete it and its .json, then try again"
        )
    if not before:
        note(file, BY_HAND)


def _note_path(file: Path) -> Path:
    return file.with_name(file.name + ".json")


SUFFIXES = (".pth", ".pt")
LARGEST = 16 << 30  # bytes; published archives hold about 1.6 GB
TIMEOUT = 30.0  # seconds without data (or below LEAST_RATE), after which a mirror counts as stalled
LEAST_RATE = 256  # bytes per second, averaged over TIMEOUT
ATTEMPTS = 3  # per mirror; an attempt that received at least PROGRESS bytes does not count
PROGRESS = 1 << 15
BLOCK = 1 << 18
DISK = {errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EFBIG, errno.EIO}  # local failures, not those of a mirror


class MirrorError(Exception):
    """A mirror did not deliver the file. ``retry``: another attempt at the same mirror may succeed."""

    def __init__(self, reason: str, *, retry: bool = False):
        super().__init__(reason)
        self.retry = retry


@dataclass(frozen=True)
class Target:
    """The file to download: its destination, and its size and checksum as far as known."""

    destination: Path
    size: int | None
    sha256: str

    @property
    def part(self) -> Path:
        return self.destination.with_name(self.destination.name + ".part")

    @property
    def part_note(self) -> Path:
        return self.destination.with_name(self.destination.name + ".part.json")


def fetch(
    urls: Sequence[str],
    destination: Path,
    *,
    size: int | None = None,
    sha256: str = "",
    offline: bool | None = None,
    timeout: float = TIMEOUT,
    quiet: bool = False,
) -> Path:
    """Download a file from the first of several mirrors that delivers it, unless it is there already.

    Args:
        urls: mirrors, in the order they are tried.
        destination: the file.
        size: bytes; None if unknown. The answer of every mirror is compared with it.
        sha256: hexadecimal; "" if unknown: then the checksum of the first download is stored and verified afterwards.
        offline: True: no downloads; None: as set by the variable ``AURICLE_OFFLINE``.
        timeout: seconds without progress after which the next mirror is tried.
        quiet: no progress bar.

    Returns:
        ``destination``.

    Raises:
        AuricleError: if no mirror delivers the file; the message lists the reasons and where to put the file by hand.
    """
    target = Target(destination, size, sha256)
    if destination.is_file():
        check(destination, size=size, sha256=sha256)
        return destination
    if is_offline(offline):
        raise AuricleError(
            f"{destination.name} is not on this machine and downloads are switched off; {by_hand(urls, destination)}"
        )
    make_folder(destination.parent, SET_ANOTHER)
    with locked(
        destination.with_name(destination.name + ".lock")
    ):  # one process downloads, others wait (ranks of one run)
        if not destination.is_file():  # another process may have downloaded it meanwhile
            source = _from_any(urls, target, timeout, quiet)
            note(destination, source, content=target.part)
            os.replace(target.part, destination)
            target.part_note.unlink(missing_ok=True)
    return destination


def is_offline(chosen: bool | None = None) -> bool:
    """Return ``chosen``; if it is None, the value of the variable AURICLE_OFFLINE."""
    if chosen is not None:
        return chosen
    return os.environ.get("AURICLE_OFFLINE", "").strip().lower() not in ("", "0", "false", "no", "off")


def by_hand(urls: Sequence[str], destination: Path) -> str:
    """Return the instruction for a download by hand, for error messages."""
    return f"download {' or '.join(urls)} by hand and put it at {destination}"


# ---- mirrors and attempts
def _from_any(urls: Sequence[str], target: Target, timeout: float, quiet: bool) -> str:
    """Download ``target.part`` from the first mirror that delivers it; return that mirror."""
    failures = []
    for url in urls:
        try:
            _from_one(url, target, timeout, quiet)
            return url
        except MirrorError as error:
            failures.append(f"{url}: {error}")
    reasons = "; ".join(failures) or "no URL is known"
    partial = (
        f" ({target.part.stat().st_size} bytes are stored; the next attempt resumes there)"
        if target.part.is_file()
        else ""
    )
    raise AuricleError(
        f"cannot download {target.destination.name}: {reasons}{partial}; {by_hand(urls, target.destination)}"
    )


def _from_one(url: str, target: Target, timeout: float, quiet: bool) -> None:
    left = ATTEMPTS
    while True:
        before = _length(target.part)
        try:
            _attempt(url, target, timeout, quiet)
            return _check_content(target)
        except MirrorError as error:
            left -= _length(target.part) < before + PROGRESS
            if not error.retry or left <= 0:
                raise


def _check_content(target: Target) -> None:
    if target.sha256 and sha256_of(target.part) != target.sha256:
        target.part.unlink()
        raise MirrorError(f"delivers another file (SHA-256 is not {target.sha256[:12]}…)")


def _attempt(url: str, target: Target, timeout: float, quiet: bool) -> None:
    """Make one request; resume where the last one ended if the server supports it."""
    start = _resumable(url, target)
    try:
        with urllib.request.urlopen(_request(url, start, _validator(target)), timeout=timeout) as answer:
            _receive(url, answer, start, target, timeout, quiet)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not start:
            raise MirrorError(f"answers HTTP {error.code} {error.reason}", retry=error.code >= 500) from None
        if error.headers.get("Content-Range") != f"bytes */{start}":  # otherwise the part is already complete
            target.part.unlink()
            raise MirrorError("cannot resume the partial download", retry=True) from None
    except TimeoutError:
        raise MirrorError(f"stalled: no data for {timeout:g} s", retry=True) from None
    except urllib.error.URLError as error:
        raise MirrorError(f"cannot be reached ({error.reason})", retry=True) from None
    except (http.client.HTTPException, ConnectionError) as error:
        raise MirrorError(f"broke off ({error or type(error).__name__})", retry=True) from None
    except OSError as error:
        if error.errno in DISK:
            raise AuricleError(f"cannot write {target.part}: {error.strerror}") from error
        raise MirrorError(f"broke off ({error})", retry=True) from None


def _request(url: str, start: int, validator: str) -> urllib.request.Request:
    headers = {"User-Agent": f"auricle/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if validator:
            headers["If-Range"] = validator
    return urllib.request.Request(url, headers=headers)


def _resumable(url: str, target: Target) -> int:
    """Return the number of bytes to resume from. A part from another mirror is deleted unless the checksum is known."""
    if not target.part.is_file():
        return 0
    if not target.sha256 and _part_note(target).get("url") != url:
        target.part.unlink()
    return _length(target.part)


def _part_note(target: Target) -> dict[str, Any]:
    try:
        return json.loads(target.part_note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _validator(target: Target) -> str:
    return _part_note(target).get("validator", "")


def _length(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


# ---- one answer
def _receive(
    url: str, answer: http.client.HTTPResponse, start: int, target: Target, timeout: float, quiet: bool
) -> None:
    """Append the answer to the part, or start over if the server ignored the range."""
    start, total = _extent(answer, start)
    if target.size and total is not None and total != target.size:
        raise MirrorError(f"offers {total} bytes, expected {target.size}")
    if answer.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise MirrorError("sends a web page in place of the file (a login page, or a proxy's?)")
    tag = answer.headers.get("ETag") or ""
    validator = tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified") or ""
    write_text(target.part_note, json.dumps({"url": url, "validator": validator}))
    with open(target.part, "r+b" if start else "wb") as file:
        file.truncate(start)
        file.seek(start)
        with progress_bar(total=total, what=target.destination.name, unit="B", quiet=quiet) as bar:
            bar.unit_scale = True
            bar.update(start)
            for block in _blocks(answer, timeout):
                file.write(block)
                bar.update(len(block))
    _check_length(target, total)


def _check_length(target: Target, total: int | None) -> None:
    received, expected = _length(target.part), target.size or total
    if expected is not None and received < expected:
        raise MirrorError(f"broke off after {received} of {expected} bytes", retry=True)
    if received == 0 or (expected is not None and received > expected):
        target.part.unlink()
        raise MirrorError(f"sent {received} bytes, expected {expected or 'at least one'}")
    with open(target.part, "rb") as file:
        if file.read(256).lstrip().lower().startswith((b"<!doctype html", b"<html")):
            target.part.unlink()
            raise MirrorError("sends a web page in place of the file (a login page, or a proxy's?)")


def _extent(answer: http.client.HTTPResponse, start: int) -> tuple[int, int | None]:
    """Return (offset of the first byte, size of the whole file or None) of an answer."""
    if answer.status != 206:
        length = answer.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else None
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", "").strip())
    if not match or int(match[1]) != start:
        raise MirrorError(f"answers with another range than requested ({answer.headers.get('Content-Range')})")
    return start, None if match[2] == "*" else int(match[2])


def _blocks(answer: BinaryIO | http.client.HTTPResponse, timeout: float) -> Iterator[bytes]:
    """Yield blocks as they arrive. Raise TimeoutError if less than LEAST_RATE arrives over ``timeout`` seconds."""
    clock: Callable[[], float] = time.monotonic
    since, arrived = clock(), 0
    while block := answer.read1(BLOCK):  # type: ignore[union-attr]
        yield block
        arrived += len(block)
        if clock() - since > timeout:
            if arrived < LEAST_RATE * timeout:
                raise TimeoutError
            since, arrived = clock(), 0


# ---- the weight file in a downloaded zip archive (its paths are not trusted)
def extract_weight(archive: Path, into: Path, *, file: str = "") -> Path:
    """Extract the weight file of a zip archive.

    Args:
        archive: the zip archive.
        into: folder to write to; the file keeps its name.
        file: name of the weight file; "": the only ``.pth`` or ``.pt`` file.

    Returns:
        The extracted file.

    Raises:
        AuricleError: if the archive is broken, holds none or several weight files, or has paths outside of it.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            member = _weight(opened.infolist(), archive, file)
            target = into / PurePosixPath(member.filename).name
            with replacing(target) as temporary, opened.open(member) as source, open(temporary, "wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise AuricleError(f"{archive} is not a readable zip archive ({error}); delete it and try again") from None
    return target


def _weight(members: list[zipfile.ZipInfo], archive: Path, file: str) -> zipfile.ZipInfo:
    """Return the only weight file. Raise AuricleError for paths that lead out of the archive."""
    for member in members:
        if _leads_out(member):
            raise AuricleError(f"{archive} holds '{member.filename}', which leads out of the archive: it was refused")
    files = {member.filename: member for member in members if not member.is_dir()}
    weights = [
        m for name, m in files.items() if name.endswith(SUFFIXES) and (not file or PurePosixPath(name).name == file)
    ]
    if len(weights) != 1:
        held = ", ".join(list(files)[:10]) or "nothing"
        raise AuricleError(
            f"{archive} holds {len(weights)} files {file or '*.pth, *.pt'} where one was expected; it holds: {held}"
        )
    if weights[0].file_size > LARGEST:
        raise AuricleError(
            f"{weights[0].filename} in {archive} would unpack to {weights[0].file_size} bytes: it was refused"
        )
    return weights[0]


def _leads_out(member: zipfile.ZipInfo) -> bool:
    """Return True for absolute paths, "..", drive letters and symbolic links."""
    path = PurePosixPath(member.filename.replace("\\", "/"))
    odd = not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]
    return odd or stat.S_ISLNK(member.external_attr >> 16)
