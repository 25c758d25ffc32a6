"""Download files: try several mirrors, resume by byte ranges, verify size and checksum. No server can hold a request up.

``AURICLE_OFFLINE=1`` switches downloads off. Only the standard library is used.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import time
import urllib.error
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from auricle.core.console import ProgressBar, progress_bar
from auricle.core.errors import AuricleError
from auricle.core.io import SET_ANOTHER, make_folder, sha256_of, write_text
from auricle.core.locks import locked
from auricle.hub.checksums import check, note
from auricle.hub.timed_request import AnswerHead, RequestError, TimedRequest, request_to, seconds_to_wait

LARGEST = 16 << 30  # bytes; published archives hold about 1.6 GB
TIMEOUT = 30.0  # seconds without headers or data (or below LEAST_RATE), after which a mirror counts as stalled
LEAST_RATE = 256  # bytes per second, averaged over TIMEOUT
NUMBER = re.compile(r"[0-9]{1,18}")
RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
ATTEMPTS = 3  # per mirror; an attempt that received at least PROGRESS bytes does not count
PROGRESS = 1 << 15


class MirrorError(Exception):
    """A mirror did not deliver the file. ``retry``: another attempt at the same mirror, after ``wait`` seconds, may succeed."""

    def __init__(self, reason: str, *, retry: bool = False, wait: float = 0.0):
        super().__init__(reason)
        self.retry, self.wait = retry, wait


@dataclass(frozen=True)
class Target:
    """The file to download: its destination, its size and checksum as far as known, and the token that its servers get."""

    destination: Path
    size: int | None
    sha256: str
    token: str = field(default="", repr=False)
    shown: str = ""

    @property
    def name(self) -> str:
        """Its name in messages."""
        return self.shown or self.destination.name

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
    token: str = "",
    shown: str = "",
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
        token: sent to the servers of ``urls``, and to no other one that they redirect to.
        shown: name of the file in messages; "": that of the destination.
        offline: True: no downloads; None: as set by the variable ``AURICLE_OFFLINE``.
        timeout: seconds without progress after which the next mirror is tried.
        quiet: no progress bar.

    Returns:
        ``destination``.

    Raises:
        AuricleError: if no mirror delivers the file; the message lists the reasons and where to put the file by hand.
    """
    target = Target(destination, size, sha256, token, shown)
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
        if _length(target.part)
        else ""
    )
    raise AuricleError(f"cannot download {target.name}: {reasons}{partial}; {by_hand(urls, target.destination)}")


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
            time.sleep(error.wait)


def _check_content(target: Target) -> None:
    if target.sha256 and sha256_of(target.part) != target.sha256:
        target.part.unlink()
        raise MirrorError(f"delivers another file (SHA-256 is not {target.sha256[:12]}…)")


def _attempt(url: str, target: Target, timeout: float, quiet: bool) -> None:
    """Make one request; resume where the last one ended if the server supports it."""
    start = _resumable(url, target)
    try:
        request = request_to(url, _range(start, _validator(target)), token=target.token)
        with TimedRequest(request, timeout, LEAST_RATE) as answer:
            _receive(url, answer, start, target, quiet)
    except TimeoutError:
        raise MirrorError(f"stalled: less than {LEAST_RATE} bytes a second for {timeout:g} s", retry=True) from None
    except RequestError as error:
        if _is_complete(error.cause, start):
            return
        if isinstance(error.cause, urllib.error.HTTPError) and error.cause.code == 416 and start:
            target.part.unlink()
            raise MirrorError("cannot resume the partial download", retry=True) from None
        raise _mirror_error(error.cause) from None
    except OSError as error:
        raise AuricleError(f"cannot write {target.part}: {error.strerror or error}") from error


def _is_complete(error: BaseException, start: int) -> bool:
    """Return True if a server refuses to send more because the part is the whole file."""
    whole = isinstance(error, urllib.error.HTTPError) and error.code == 416 and start > 0
    return whole and error.headers.get("Content-Range") == f"bytes */{start}"  # type: ignore[attr-defined]


def _mirror_error(error: BaseException) -> MirrorError:
    """Return why a request failed; the library may raise anything on what a server sends."""
    if isinstance(error, urllib.error.HTTPError):
        wait = seconds_to_wait(error)
        retry = error.code >= 500 or wait is not None
        return MirrorError(f"answers HTTP {error.code} {error.reason}", retry=retry, wait=wait or 0.0)
    if isinstance(error, urllib.error.URLError):
        return MirrorError(f"cannot be reached ({error.reason})", retry=True)
    if isinstance(error, (http.client.HTTPException, OSError)):
        return MirrorError(f"broke off ({error or type(error).__name__})", retry=True)
    return MirrorError(f"answers with something else than a file ({type(error).__name__}: {error})")


def _range(start: int, validator: str) -> dict[str, str]:
    """Return the headers that ask for a file from ``start`` on, if it is still the same one."""
    return ({"Range": f"bytes={start}-"} | ({"If-Range": validator} if validator else {})) if start else {}


def _resumable(url: str, target: Target) -> int:
    """Return the number of bytes to resume from. A part from another mirror is deleted unless the checksum is known."""
    if not target.part.is_file():
        return 0
    if not target.sha256 and _part_note(target).get("url") != url:
        target.part.unlink()
    return _length(target.part)


def _part_note(target: Target) -> dict[str, Any]:
    try:
        values = json.loads(target.part_note.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _validator(target: Target) -> str:
    validator = _part_note(target).get("validator", "")
    return validator if isinstance(validator, str) and validator.isprintable() else ""


def _length(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


# ---- one answer
def _receive(url: str, request: TimedRequest, start: int, target: Target, quiet: bool) -> None:
    """Append the answer to the part, or start over if the server ignored the range."""
    head = request.head()
    start, total = _extent(head, start)
    if target.size and total is not None and total != target.size:
        raise MirrorError(f"offers {total} bytes, expected {target.size}")
    if total is not None and total > LARGEST:
        raise MirrorError(f"offers {total} bytes; no weight file has more than {LARGEST}")
    if head.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        raise MirrorError("sends a web page in place of the file (a login page, or a proxy's?)")
    if (encoding := head.headers.get("Content-Encoding", "identity").strip().lower()) not in ("", "identity"):
        raise MirrorError(f"sends the file as '{encoding[:20]}', which was not asked for")
    tag = head.headers.get("ETag") or ""
    validator = tag if tag and not tag.startswith("W/") else head.headers.get("Last-Modified") or ""
    write_text(target.part_note, json.dumps({"url": url, "validator": validator}))
    with open(target.part, "r+b" if start else "wb") as file:
        file.truncate(start)
        file.seek(start)
        with progress_bar(total=total, what=target.name, unit="B", quiet=quiet) as bar:
            bar.unit_scale = True
            bar.update(start)
            _write_blocks(request, file, bar, target.size or total or LARGEST)
    _check_length(target, total)


def _write_blocks(request: TimedRequest, file: BinaryIO, bar: ProgressBar, most: int) -> None:
    """Write what arrives, up to ``most`` bytes in the file. An answer in chunks has no end of its own."""
    for block in request.blocks():
        if file.tell() + len(block) > most:
            file.truncate(0)
            raise MirrorError(f"sends more than the {most} bytes expected")
        file.write(block)
        bar.update(len(block))


def _check_length(target: Target, total: int | None) -> None:
    received, expected = _length(target.part), target.size or total
    if expected is not None and received < expected:
        raise MirrorError(f"broke off after {received} of {expected} bytes", retry=True)
    if received == 0:
        target.part.unlink()
        raise MirrorError(f"sent no bytes, expected {expected or 'at least one'}")
    with open(target.part, "rb") as file:
        if file.read(256).lstrip().lower().startswith((b"<!doctype html", b"<html")):
            target.part.unlink()
            raise MirrorError("sends a web page in place of the file (a login page, or a proxy's?)")


def _extent(head: AnswerHead, start: int) -> tuple[int, int | None]:
    """Return (offset of the first byte, size of the whole file or None) of an answer."""
    if head.status != 206:
        length = head.headers.get("Content-Length", "").strip()
        return 0, int(length) if NUMBER.fullmatch(length) else None
    text = head.headers.get("Content-Range", "")
    match = RANGE.fullmatch(text.strip())
    if match and int(match[1]) == start <= int(match[2]) and (match[3] == "*" or int(match[2]) < int(match[3])):
        return start, None if match[3] == "*" else int(match[3])
    raise MirrorError(f"answers with another range than requested ({text[:60]})")
