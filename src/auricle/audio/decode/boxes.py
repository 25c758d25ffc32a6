"""Where one MP4 (ISO/IEC 14496-12, section 4.2) or Matroska file (RFC 8794) ends and another begins: FFmpeg reads the first."""

from __future__ import annotations

from typing import BinaryIO

EBML, SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
MAX_BOXES = 100_000


def next_file(file: BinaryIO, start: int, total: int) -> int:
    """Return the byte where the MP4 or Matroska file that begins at ``start`` ends and another begins; else ``total``."""
    head = _at(file, start, 8)
    if head[4:] == b"ftyp":
        return _next_mp4(file, start, total)
    if head[:4] == EBML:
        return _next_matroska(file, start, total)
    return total


def _next_mp4(file: BinaryIO, start: int, total: int) -> int:
    """Walk over the boxes at the top: 32 bits of size (0: to the end; 1: 64 bits follow), and a type of four letters."""
    at, seen = start, set()
    for _ in range(MAX_BOXES):
        head = _at(file, at, 16)
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if kind == b"ftyp" and b"moov" in seen and b"mdat" in seen:
            return at
        size = int.from_bytes(head[8:], "big") if size == 1 else size
        if size < 8 or at + size >= total:
            return total
        seen.add(kind)
        at += size
    return total


def _next_matroska(file: BinaryIO, start: int, total: int) -> int:
    """The header and the segment: an id of four bytes and a size of 1 to 8."""
    at = start
    for id in (EBML, SEGMENT):
        head = _at(file, at, 12)
        length = 9 - head[4].bit_length() if len(head) == 12 else 9
        size = int.from_bytes(head[4 : 4 + length], "big") & ((1 << 7 * length) - 1)
        if head[:4] != id or length > 8 or size == (1 << 7 * length) - 1:  # all ones: unknown
            return total
        at += 4 + length + size
    return at if _at(file, at, 4) == EBML else total


def _at(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)
