"""A part of a file as a file of its own, with another header in front: what decoders read where a header cannot be trusted."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


class SplicedFile(io.RawIOBase):
    """Reads ``head``, then the bytes [start, stop) of another file.

    C libraries call it, so no method raises: a position outside is moved to the nearest one inside, and an error of the
    other file ends the data; ``check`` raises it afterwards.

    Args:
        source: a path, or a binary file that can be sought; the file is shared and stays open.
        start, stop: bytes; a stop of None is the end of the source.
    """

    def __init__(self, source: Path | BinaryIO, start: int = 0, stop: int | None = None, head: bytes = b""):
        self.owns = isinstance(source, Path)
        self.source: Any = source.open("rb", buffering=0) if isinstance(source, Path) else source
        self.start, self.head, self.at = start, head, 0
        end = self.source.seek(0, os.SEEK_END)
        self.size = len(head) + max(0, (end if stop is None else min(stop, end)) - start)
        self.error: Exception | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_CUR: self.at, os.SEEK_END: self.size}.get(whence, 0)
        self.at = min(max(0, base + offset), self.size)
        return self.at

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        view, filled = memoryview(buffer).cast("B"), 0
        while filled < len(view):
            part = self._read(len(view) - filled)
            if not part:
                break
            view[filled : filled + len(part)] = part
            filled, self.at = filled + len(part), self.at + len(part)
        return filled

    def _read(self, count: int) -> bytes:
        if self.at < len(self.head):
            return self.head[self.at : self.at + count]
        try:
            self.source.seek(self.start + self.at - len(self.head))
            return self.source.read(min(count, self.size - self.at)) or b""
        except Exception as error:
            self.error = error
            return b""

    def check(self) -> None:
        """Raise the error that reading the other file gave, if there was one."""
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        if self.owns:
            self.source.close()
        super().close()


@contextmanager
def opened_bytes(file: Path | BinaryIO) -> Iterator[BinaryIO]:
    """Yield the file for reading, beside the decoder. A file object gets its position back."""
    if isinstance(file, Path):
        with open(file, "rb") as opened:
            yield opened
        return
    at = file.tell()
    yield file
    file.seek(at)
