"""The length that a file declares in its own bytes, to find truncated files.

libsndfile reads a truncated WAV, AIFF, AU, W64 or Ogg file to its present end without an error, and it guesses the length
of an MP3 without a length header from the first frame. The functions here read the declared length from the published
layout of each format. All take a seekable binary file and may leave it at any position.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

UNKNOWN_SIZES = (0, 0x7FFFF000, 0x7FFFFFFF, 0x80000000)  # written by programs that stream into a pipe
OGG_PAGE = 65307  # bytes of the largest Ogg page


# ---- RIFF, RF64, W64, AIFF, CAF, AU: chunks with a size
@dataclass(frozen=True)
class DataSize:
    """Bytes of samples that the header declares, and bytes that are present."""

    declared: int
    present: int


def data_size(file: BinaryIO) -> DataSize | None:
    """Return the size of the sample data; None for other formats and for files that declare no size."""
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
    """Yield (id, position of the content, bytes of content) of each chunk. W64 includes the chunk's head in the size."""
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


# ---- Ogg: pages, the last one marked
def ogg_is_truncated(file: BinaryIO) -> bool:
    """Return True if the file ends inside a page or without an end-of-stream page (RFC 3533, section 6)."""
    total = file.seek(0, os.SEEK_END)
    file.seek(max(0, total - OGG_PAGE))
    tail = file.read()
    at = tail.rfind(b"OggS\0")
    if at < 0 or len(tail) < at + 27:
        return True
    lacing = tail[at + 27 : at + 27 + tail[at + 26]]
    whole = len(lacing) == tail[at + 26] and len(tail) >= at + 27 + len(lacing) + sum(lacing)
    return not (whole and tail[at + 5] & 4)


# ---- MP3 (MPEG audio layer III): a length header, or else the headers of all frames
#
# Without a Xing, Info or VBRI header, decoders estimate the length from the bit rate of the first frame. That is right for
# a constant bit rate and wrong for a variable one, so the frames of such files are counted.
KBPS_MPEG1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
KBPS_MPEG2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
RATES = (44100, 48000, 32000)  # of MPEG-1; halved for MPEG-2, quartered for MPEG-2.5
LENGTH_HEADERS = (b"Xing", b"Info", b"VBRI")


@dataclass(frozen=True)
class MP3Frame:
    """A frame: kilobits per second, samples per channel, bytes including the header."""

    kbps: int
    samples: int
    size: int


@dataclass(frozen=True)
class MP3Length:
    """ "declared": a length header is there. "constant" or "variable" bit rate: there is none; samples by counting."""

    kind: Literal["declared", "constant", "variable"]
    samples: int = 0


def mp3_length(file: BinaryIO) -> MP3Length:
    """Find out how the length of an MP3 file is known. Reads one frame, or the headers of all frames."""
    at = _first_frame(file)
    file.seek(at)
    if any(tag in file.read(200) for tag in LENGTH_HEADERS):
        return MP3Length("declared")
    rates, samples = set(), 0
    while (frame := _frame_at(file, at)) is not None:
        rates.add(frame.kbps)
        samples += frame.samples
        at += frame.size
    return MP3Length("variable" if len(rates) > 1 else "constant", samples)


def _first_frame(file: BinaryIO) -> int:
    """Position of the first frame that is followed by another, after the ID3v2 tag if there is one."""
    file.seek(0)
    head = file.read(10)
    start = 0
    if head[:3] == b"ID3":
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0)))
    file.seek(start)
    near = file.read(4096)
    for offset in range(len(near) - 4):
        frame = parse_mp3_frame(near[offset : offset + 4])
        if frame is not None and _frame_at(file, start + offset + frame.size) is not None:
            return start + offset
    return start


def _frame_at(file: BinaryIO, at: int) -> MP3Frame | None:
    file.seek(at)
    return parse_mp3_frame(file.read(4))


def parse_mp3_frame(head: bytes) -> MP3Frame | None:
    """Parse the four bytes of a frame header; None if they are none (ISO/IEC 11172-3, section 2.4.1.3, and 13818-3)."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer, rate, padding = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2] >> 2 & 3, head[2] >> 1 & 1
    kbps_index = head[2] >> 4
    if version == 1 or layer != 1 or rate == 3 or kbps_index in (0, 15):
        return None
    first = version == 3
    kbps = (KBPS_MPEG1 if first else KBPS_MPEG2)[kbps_index]
    hertz = RATES[rate] // {3: 1, 2: 2, 0: 4}[version]
    samples = 1152 if first else 576
    return MP3Frame(kbps, samples, samples // 8 * kbps * 1000 // hertz + padding)


# ---- access
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
