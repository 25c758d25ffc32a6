"""Files made of parts: a part with another header in front where the header cannot be trusted, and files that hold
several (joined MP3 or WAV files, the links of a chained Ogg), each part decoded by itself.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from auricle.audio.decode.base import Decoder, MissingMediaError, TruncatedAudioError, truncated
from auricle.core.errors import AudioError


class BytesInMemory(io.BytesIO):
    """A whole file in memory for a C library: a position outside is moved to the nearest one inside, without an error."""

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        size = self.getbuffer().nbytes
        base = {os.SEEK_CUR: self.tell(), os.SEEK_END: size}.get(whence, 0)
        return super().seek(min(max(0, base + offset), size))


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


@dataclass(frozen=True)
class PartFacts:
    """What is remembered of a part while it is closed."""

    first: int
    num_samples: int


class JoinedDecoder:
    """A ``Decoder`` of several files one after the other. One is open at a time.

    Args:
        name: of the file that holds them.
        openers: open the decoder of each part.

    Raises:
        AudioError: if a part cannot be decoded, or differs in its rate or channels.
    """

    def __init__(self, name: str, openers: Sequence[Callable[[], Decoder]]):
        self.name, self.openers = name, openers
        self.facts: list[PartFacts] = []
        self.num_samples = 0
        self.exact, self.slack = True, 0
        self.notes: tuple[str, ...] = ()
        for opener in openers:
            with closing(self._opened(opener)) as part:
                if not self.facts:
                    self.rate, self.channels, self.format = part.rate, part.channels, part.format
                if (part.rate, part.channels) != (self.rate, self.channels):
                    raise AudioError(
                        f"{name}: holds {len(openers)} recordings one after the other, of {self.rate} Hz with "
                        f"{self.channels} channels and of {part.rate} Hz with {part.channels}; expected one of each: "
                        "split the file, or convert it"
                    )
                self.notes += part.notes
                self.facts.append(PartFacts(self.num_samples, part.num_samples))
                self.num_samples += part.num_samples
                self.exact, self.slack = self.exact and part.exact, self.slack + part.slack

    def _opened(self, opener: Callable[[], Decoder]) -> Decoder:
        try:
            return opener()
        except MissingMediaError:
            raise
        except Exception as error:
            if not self.facts:
                raise
            raise AudioError(
                f"{self.name}: truncated or damaged: of {len(self.openers)} recordings one after the other, number "
                f"{len(self.facts) + 1} cannot be decoded ({error})"
            ) from None

    def blocks(self, start: int, stop: int | None) -> Iterator[np.ndarray]:
        for facts, opener in zip(self.facts, self.openers):
            end = facts.first + facts.num_samples
            if end <= start or (stop is not None and facts.first >= stop):
                continue
            last = None if stop is None or stop >= end else stop - facts.first
            at = max(start, facts.first)
            with closing(opener()) as part:
                try:
                    for block in part.blocks(at - facts.first, last):
                        at += len(block)
                        yield block
                except TruncatedAudioError:
                    raise truncated(self, at) from None

    def close(self) -> None:
        """Do nothing: no part is open between two reads."""
