"""Ranges of bytes of a file on a disk, or of one at an address that fsspec knows, whose blocks are kept on this machine."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import threading
import weakref
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

from auricle.core.errors import AudioError, AuricleError, MissingExtra, first_line
from auricle.core.io import cache_dir, replacing

BLOCK = 1 << 18  # bytes that are fetched and kept at once
SPARE = 0.1  # of the disk of the cache: with less room than this no more blocks are kept
CACHE = "shards"  # folder below the cache


class ByteRanges(Protocol):
    """A file of which parts are read. Threads may share it.

    Attributes:
        name: Path or address, for messages.
        size: Bytes.
    """

    name: str
    size: int

    def read(self, start: int, count: int) -> bytes:
        """Return the bytes [start, start + count). Raises AudioError where they cannot be read."""
        ...


def open_ranges(address: str) -> ByteRanges:
    """Open a file by its path, or by an address such as ``s3://bucket/shard.tar``.

    Raises:
        AudioError: There is no such file, or it cannot be opened.
        MissingExtra: fsspec is not installed.
    """
    return RemoteRanges(address) if is_address(address) else LocalRanges(address)


def is_address(text: str) -> bool:
    """Return True for an address (``s3://…``), False for a path."""
    return "://" in text


class LocalRanges:
    """A ``ByteRanges`` of a file on a disk. It stays open; processes and threads that share it do not share a position."""

    def __init__(self, path: str):
        self.name = path
        try:
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            self._close = weakref.finalize(self, os.close, handle)
            self.size = os.fstat(handle).st_size
        except OSError as error:
            raise AudioError(f"{path} cannot be opened: {error.strerror or error}") from None
        self._handle, self._lock = handle, threading.Lock()

    def read(self, start: int, count: int) -> bytes:
        try:
            content = self._part(start, count)
            while 0 < len(content) < count and (more := self._part(start + len(content), count - len(content))):
                content += more  # one call returns at most 2 GB
        except OSError as error:
            raise AudioError(f"{self.name} cannot be read: {error.strerror or error}") from None
        if len(content) != count:
            raise AudioError(f"{self.name} ends at byte {start + len(content)}; expected {start + count} bytes or more")
        return content

    def _part(self, start: int, count: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._handle, count, start)
        with self._lock:  # Windows
            os.lseek(self._handle, start, os.SEEK_SET)
            return os.read(self._handle, count)


class RemoteRanges:
    """A ``ByteRanges`` at an address. What is fetched, whole blocks, is kept in the cache folder while the disk has room.

    Args:
        address: ``protocol://…``, as fsspec spells it.
        folder: Where blocks are kept; None: in the cache folder (``AURICLE_CACHE``).
    """

    def __init__(self, address: str, folder: Path | None = None):
        self.name = address
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise MissingExtra("reading shards from an address", "cloud") from None
        try:
            self._files, self._path = url_to_fs(address)
            self.size = int(self._files.info(self._path)["size"])
            version = str(self._files.ukey(self._path))
        except FileNotFoundError:
            raise AudioError(f"{address}: no such file") from None
        except Exception as error:  # each protocol has exceptions of its own
            raise self._failure("cannot be opened", error) from None
        digest = hashlib.sha256(f"{address} {self.size} {version}".encode()).hexdigest()[:32]
        self._folder = (cache_dir() / CACHE if folder is None else folder) / digest
        self._latest: tuple[int, bytes] = (-1, b"")  # decoders read in small steps

    def read(self, start: int, count: int) -> bytes:
        end = start + count
        if end > self.size:
            raise AudioError(f"{self.name} ends at byte {self.size}; expected {end} bytes or more")
        if not count:
            return b""
        numbers = range(start // BLOCK, (end - 1) // BLOCK + 1)
        blocks = self._blocks(numbers)
        content = b"".join(blocks[number] for number in numbers)
        self._latest = (numbers[-1], blocks[numbers[-1]])
        first = numbers[0] * BLOCK
        return content[start - first : end - first]

    def _blocks(self, numbers: range) -> dict[int, bytes]:
        number, content = self._latest
        blocks = {number: content} if number in numbers else {}
        for number in numbers:
            if number not in blocks and (content := self._kept(number)):
                blocks[number] = content
        missing = [number for number in numbers if number not in blocks]
        for _, neighbours in groupby(enumerate(missing), key=lambda place: place[1] - place[0]):
            run = [number for _, number in neighbours]
            content = self._fetch(run[0] * BLOCK, min((run[-1] + 1) * BLOCK, self.size))
            for i, number in enumerate(run):
                blocks[number] = content[i * BLOCK : (i + 1) * BLOCK]
                self._keep(number, blocks[number])
        return blocks

    def _fetch(self, start: int, end: int) -> bytes:
        try:
            content = self._files.cat_file(self._path, start=start, end=end)
        except Exception as error:
            raise self._failure(f"bytes {start} to {end} cannot be read", error) from None
        if len(content) != end - start:
            raise AudioError(f"{self.name}: asked for {end - start} bytes from {start} on, and got {len(content)}")
        return content

    def _failure(self, what: str, error: Exception) -> AudioError:
        return AudioError(f"{self.name}: {what} ({type(error).__name__}: {first_line(error)})")

    def _kept(self, number: int) -> bytes:
        """Return a block of the cache; nothing where it is not there, or not whole."""
        try:
            content = (self._folder / str(number)).read_bytes()
        except OSError:
            return b""
        return content if len(content) == min(BLOCK, self.size - number * BLOCK) else b""

    def _keep(self, number: int, content: bytes) -> None:
        """Write a block to the cache. Without room, or without the right to write, it is fetched again."""
        with suppress(OSError, AuricleError):
            self._folder.mkdir(parents=True, exist_ok=True)
            room = shutil.disk_usage(self._folder)
            if room.free > SPARE * room.total:
                with replacing(self._folder / str(number), durable=False) as temporary:
                    temporary.write_bytes(content)


class MemberFile(io.RawIOBase):
    """A part of a file as a file that can be sought. Nothing is read until it is asked for.

    Args:
        source: The file.
        start, size: The part, in bytes.
        name: Name for messages.
    """

    def __init__(self, source: ByteRanges, start: int, size: int, name: str):
        self.source, self.start, self.size, self.name, self.at = source, start, size, name, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.at = max(0, {os.SEEK_CUR: self.at, os.SEEK_END: self.size}.get(whence, 0) + offset)
        return self.at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self.size - self.at))
        view[:count] = self.source.read(self.start + self.at, count)
        self.at += count
        return count
