"""What a file's own bytes say of its length, where the decoder would stay silent.

libsndfile reads a WAV, AIFF, AU, W64 or Ogg file that was cut short to its present end without a word, and guesses the
length of an MP3 without a length header from its first frame. The functions here tell, from the format's public
layout, what the file was meant to hold. All take a seekable binary file and may leave it at any position.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

UNKNOWN_SIZES = (0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000)  # written by programs that stream into a pipe
OGG_PAGE = 65307  # bytes of the largest Ogg page


@dataclass(frozen=True)
class DataSize:
    """Bytes of samples that the header promises, and bytes that are there."""

    declared: int
    present: int


def data_size(file: BinaryIO) -> DataSize | None:
    """Size of the sample data of a RIFF, RF64, W64, AIFF, CAF or AU file; None for other formats and unknown sizes."""
    total = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if head[:4] == b".snd":
        start, declared = int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big")
        return _known(declared, total - start)
    if head[:4] in (b"RIFF", b"RF64") and head[8:] == b"WAVE":
        return _data_chunk(file, _chunks(file, 12, 4, 4, "little", 2), total)
    if head[:4] == b"riff":
        return _data_chunk(file, _chunks(file, 40, 16, 8, "little", 8), total)
    if head[:4] == b"caff":
        return _data_chunk(file, _chunks(file, 8, 4, 8, "big", 1), total, inside=4)
    if head[:4] == b"FORM" and head[8:11] == b"AIF":
        return _data_chunk(file, _chunks(file, 12, 4, 4, "big", 2), total, inside=8)
    return None


def _chunks(file: BinaryIO, at: int, id_bytes: int, size_bytes: int, order: str, align: int) -> Iterator[tuple]:
    """(id, position of the content, bytes of content) of each chunk. W64 counts the chunk's own head in its size."""
    head = id_bytes + size_bytes
    while True:
        file.seek(at)
        start = file.read(head)
        if len(start) < head:
            return
        size = int.from_bytes(start[id_bytes:], order) - (head if id_bytes == 16 else 0)  # type: ignore[arg-type]
        yield start[:4], at + head, size
        at += head + -(-max(size, 0) // align) * align


def _data_chunk(file: BinaryIO, chunks: Iterator[tuple], total: int, inside: int = 0) -> DataSize | None:
    """The chunk of samples; ``inside`` bytes at its start are no samples. RF64 states the 64-bit size in 'ds64'."""
    wide = None
    for id, at, size in chunks:
        if id == b"ds64":
            file.seek(at + 8)
            wide = int.from_bytes(file.read(8), "little")
        if id in (b"data", b"SSND"):
            return _known(size - inside if wide is None else wide, total - at - inside)
    return None


def _known(declared: int, present: int) -> DataSize | None:
    unknown = declared in UNKNOWN_SIZES or 0xFFFFFF00 <= declared <= 0xFFFFFFFF or declared >= 1 << 62
    return None if unknown else DataSize(declared, present)


def ogg_is_cut(file: BinaryIO) -> bool:
    """Whether an Ogg file ends without its end-of-stream page (RFC 3533, section 6), or inside a page."""
    total = file.seek(0, os.SEEK_END)
    file.seek(max(0, total - OGG_PAGE))
    tail = file.read()
    at = tail.rfind(b"OggS\0")
    if at < 0 or len(tail) < at + 27:
        return True
    lacing = tail[at + 27 : at + 27 + tail[at + 26]]
    whole = len(lacing) == tail[at + 26] and len(tail) >= at + 27 + len(lacing) + sum(lacing)
    return not (whole and tail[at + 5] & 4)


@contextmanager
def binary(file: Path | BinaryIO) -> Iterator[BinaryIO]:
    """The bytes beside the decoder; a file object is left where it stood."""
    if isinstance(file, Path):
        with open(file, "rb") as opened:
            yield opened
        return
    at = file.tell()
    yield file
    file.seek(at)
