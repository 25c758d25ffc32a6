"""Download files: mirrors in turn, resumed by byte ranges, checked against size and checksum, renamed into place.

``AURICLE_OFFLINE=1`` forbids the network. Only the standard library is used.
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
from auricle.core.io import SET_ANOTHER, locked, make_folder, replacing, sha256_of, write_text
from auricle.core.progress import progress_bar
from auricle.hub.checksums import check, note
from auricle.version import __version__

SUFFIXES = (".pth", ".pt")
LARGEST = 16 << 30  # bytes; published archives hold about 1.6 GB
TIMEOUT = 30.0  # seconds without a byte, or with next to none, after which a mirror counts as stalled
LEAST_RATE = 256  # bytes per second over TIMEOUT, below which it does too
ATTEMPTS = 3  # per mirror; an attempt that brought at least PROGRESS bytes does not count
PROGRESS = 1 << 15
BLOCK = 1 << 18
DISK = {errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EFBIG, errno.EIO}  # our side's failures, not the mirror's


class MirrorError(Exception):
    """A mirror did not deliver the file. ``again``: another attempt at the same mirror may succeed."""

    def __init__(self, reason: str, *, again: bool = False):
        super().__init__(reason)
        self.again = again


@dataclass(frozen=True)
class Wanted:
    """The file to download: where it goes, and what is known of it beforehand."""

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
        urls: mirrors in the order they are tried.
        destination: the file.
        size: bytes, where known; every mirror's answer is compared with it.
        sha256: hexadecimal, where known; else the checksum of the first download is kept and verified from then on.
        offline: True: no network; None: as the variable ``AURICLE_OFFLINE`` says.
        timeout: seconds without progress after which a mirror is given up.
        quiet: no progress bar.

    Returns:
        ``destination``.

    Raises:
        AuricleError: if no mirror delivered: what each mirror did, and where to put the file by hand.
    """
    wanted = Wanted(destination, size, sha256)
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
        if not destination.is_file():  # another process may have brought it meanwhile
            source = _from_any(urls, wanted, timeout, quiet)
            note(destination, source, content=wanted.part)
            os.replace(wanted.part, destination)
            wanted.part_note.unlink(missing_ok=True)
    return destination


def is_offline(chosen: bool | None = None) -> bool:
    """Return ``chosen``, or what the variable AURICLE_OFFLINE says."""
    if chosen is not None:
        return chosen
    return os.environ.get("AURICLE_OFFLINE", "").strip().lower() not in ("", "0", "false", "no", "off")


def by_hand(urls: Sequence[str], destination: Path) -> str:
    """Return what a person can do instead of a download."""
    return f"download {' or '.join(urls)} by hand and put it at {destination}"


# ---- mirrors and attempts
def _from_any(urls: Sequence[str], wanted: Wanted, timeout: float, quiet: bool) -> str:
    """Fill ``wanted.part``; the address that delivered it."""
    problems = []
    for url in urls:
        try:
            _from_one(url, wanted, timeout, quiet)
            return url
        except MirrorError as error:
            problems.append(f"{url}: {error}")
    reasons = "; ".join(problems) or "no address is known"
    kept = f" ({wanted.part.stat().st_size} bytes are kept and go on next time)" if wanted.part.is_file() else ""
    raise AuricleError(
        f"cannot download {wanted.destination.name}: {reasons}{kept}; {by_hand(urls, wanted.destination)}"
    )


def _from_one(url: str, wanted: Wanted, timeout: float, quiet: bool) -> None:
    left = ATTEMPTS
    while True:
        before = _length(wanted.part)
        try:
            _attempt(url, wanted, timeout, quiet)
            return _check_content(wanted)
        except MirrorError as error:
            left -= _length(wanted.part) < before + PROGRESS
            if not error.again or left <= 0:
                raise


def _check_content(wanted: Wanted) -> None:
    if wanted.sha256 and sha256_of(wanted.part) != wanted.sha256:
        wanted.part.unlink()
        raise MirrorError(f"delivers another file than expected (SHA-256 is not {wanted.sha256[:12]}…)")


def _attempt(url: str, wanted: Wanted, timeout: float, quiet: bool) -> None:
    """One request: from where the last one ended, when the server goes along with that."""
    start = _resumable(url, wanted)
    try:
        with urllib.request.urlopen(_request(url, start, _validator(wanted)), timeout=timeout) as answer:
            _receive(url, answer, start, wanted, timeout, quiet)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not start:
            raise MirrorError(f"answers HTTP {error.code} {error.reason}", again=error.code >= 500) from None
        if error.headers.get("Content-Range") != f"bytes */{start}":  # else the part was whole already
            wanted.part.unlink()
            raise MirrorError("does not know the part downloaded so far", again=True) from None
    except TimeoutError:
        raise MirrorError(f"stalled: nothing came for {timeout:g} s", again=True) from None
    except urllib.error.URLError as error:
        raise MirrorError(f"cannot be reached ({error.reason})", again=True) from None
    except (http.client.HTTPException, ConnectionError) as error:
        raise MirrorError(f"broke off ({error or type(error).__name__})", again=True) from None
    except OSError as error:
        if error.errno in DISK:
            raise AuricleError(f"cannot write {wanted.part}: {error.strerror}") from error
        raise MirrorError(f"broke off ({error})", again=True) from None


def _request(url: str, start: int, validator: str) -> urllib.request.Request:
    headers = {"User-Agent": f"auricle/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if validator:
            headers["If-Range"] = validator
    return urllib.request.Request(url, headers=headers)


def _resumable(url: str, wanted: Wanted) -> int:
    """Bytes of the part that this address began; what another one began is dropped unless the content is known."""
    if not wanted.part.is_file():
        return 0
    if not wanted.sha256 and _part_note(wanted).get("url") != url:
        wanted.part.unlink()
    return _length(wanted.part)


def _part_note(wanted: Wanted) -> dict[str, Any]:
    try:
        return json.loads(wanted.part_note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _validator(wanted: Wanted) -> str:
    return _part_note(wanted).get("validator", "")


def _length(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


# ---- one answer
def _receive(
    url: str, answer: http.client.HTTPResponse, start: int, wanted: Wanted, timeout: float, quiet: bool
) -> None:
    """Append the answer to the part, or begin anew where the server ignored the range."""
    start, total = _extent(answer, start)
    if wanted.size and total is not None and total != wanted.size:
        raise MirrorError(f"offers {total} bytes, expected {wanted.size}")
    if answer.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise MirrorError("sends a web page in place of the file (a login page, or a proxy's?)")
    tag = answer.headers.get("ETag") or ""
    validator = tag if tag and not tag.startswith("W/") else answer.headers.get("Last-Modified") or ""
    write_text(wanted.part_note, json.dumps({"url": url, "validator": validator}))
    with open(wanted.part, "r+b" if start else "wb") as file:
        file.truncate(start)
        file.seek(start)
        with progress_bar(total=total, what=wanted.destination.name, unit="B", quiet=quiet) as bar:
            bar.unit_scale = True
            bar.update(start)
            for block in _blocks(answer, timeout):
                file.write(block)
                bar.update(len(block))
    _check_length(wanted, total)


def _check_length(wanted: Wanted, total: int | None) -> None:
    got, expected = _length(wanted.part), wanted.size or total
    if expected is not None and got < expected:
        raise MirrorError(f"broke off after {got} of {expected} bytes", again=True)
    if got == 0 or (expected is not None and got > expected):
        wanted.part.unlink()
        raise MirrorError(f"sent {got} bytes, expected {expected or 'more than none'}")
    with open(wanted.part, "rb") as file:
        if file.read(256).lstrip().lower().startswith((b"<!doctype html", b"<html")):
            wanted.part.unlink()
            raise MirrorError("sends a web page in place of the file (a login page, or a proxy's?)")


def _extent(answer: http.client.HTTPResponse, start: int) -> tuple[int, int | None]:
    """(first byte that is coming, bytes of the whole file where the server says so)."""
    if answer.status != 206:
        length = answer.headers.get("Content-Length", "")
        return 0, int(length) if length.isdigit() else None
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", "").strip())
    if not found or int(found[1]) != start:
        raise MirrorError(f"answers with another range than asked for ({answer.headers.get('Content-Range')})")
    return start, None if found[2] == "*" else int(found[2])


def _blocks(answer: BinaryIO | http.client.HTTPResponse, timeout: float) -> Iterator[bytes]:
    """What comes, as it comes. Raises TimeoutError for a trickle: less than LEAST_RATE over ``timeout`` seconds."""
    clock: Callable[[], float] = time.monotonic
    since, arrived = clock(), 0
    while block := answer.read1(BLOCK):  # type: ignore[union-attr]
        yield block
        arrived += len(block)
        if clock() - since > timeout:
            if arrived < LEAST_RATE * timeout:
                raise TimeoutError
            since, arrived = clock(), 0


# ---- the weight file in a downloaded zip archive; its paths are not trusted
def extract_weight(archive: Path, into: Path, *, file: str = "") -> Path:
    """Write the weight file of ``archive`` into the folder ``into`` under its own name.

    ``file`` is the name it must have; "" takes the only ``.pth`` or ``.pt`` file there is.
    Raises AuricleError for a broken archive, none or several weight files, and paths that lead out of the archive.
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
    """The one weight file; every path that is none of a plain file inside is refused."""
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
    """Absolute paths, "..", drive letters and symbolic links."""
    path = PurePosixPath(member.filename.replace("\\", "/"))
    odd = not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]
    return odd or stat.S_ISLNK(member.external_attr >> 16)
