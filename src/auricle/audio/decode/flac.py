"""FLAC: how many samples its header declares, and how many there are by the number in its last frame (RFC 9639)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from auricle.audio.decode.byte_buffer import ByteBuffer

MARK = b"fLaC\0\0\0\x22"  # the start of a file: the first block is of 34 bytes
LATER_MARK = b"fLaC\x80\0\0\x22"  # if it is the only block
TAIL = 1 << 17  # bytes in which two frames in a row are looked for, at most
MAX_SYNCS = 2000  # places looked at: damaged files may hold many
SIZES = {1: 192} | {code: 576 << code - 2 for code in range(2, 6)} | {code: 256 << code - 8 for code in range(8, 16)}


@dataclass(frozen=True)
class FlacFrame:
    """The frame's first sample and the number of its samples, per channel."""

    first: int
    count: int


def declared_samples(head: bytes) -> int:
    """Return the samples per channel that the first 42 bytes of a file declare; 0: unknown."""
    return (head[21] & 0x0F) << 32 | int.from_bytes(head[22:26], "big")


def with_samples(head: bytes, samples: int) -> bytes:
    """Return the first 42 bytes with another number of samples in them, and without the checksum of the samples."""
    number = bytes([head[21] & 0xF0 | samples >> 32 & 0x0F]) + (samples & 0xFFFFFFFF).to_bytes(4, "big")
    return head[:21] + number + bytes(16) + head[42:]


def last_samples(file: BinaryIO, head: bytes, start: int, stop: int) -> int | None:
    """Return the number of samples up to the end of the last frame; None if two frames in a row are not found there."""
    at = max(start + 42, stop - _reach(head))
    file.seek(at)
    tail = file.read(stop - at)
    later: list[FlacFrame] = []
    place = len(tail)
    for _ in range(MAX_SYNCS):
        place = tail.rfind(_sync(head), 0, place + 1)
        if place < 0:
            return None
        frame = _frame(tail[place : place + 17], head)
        if frame is not None:
            for last in later:
                if frame.first + frame.count == last.first:
                    return last.first + last.count
            later.append(frame)
    return None


def numbers_rise(file: BinaryIO, head: bytes, start: int, stop: int) -> bool:
    """Return True if frames along the file have rising numbers: they begin again where another file was joined."""
    numbers = [_number_near(file, head, start + (stop - start) * part // 8, stop) for part in range(1, 8)]
    known = [number for number in numbers if number is not None]
    return known == sorted(known)


def _number_near(file: BinaryIO, head: bytes, at: int, stop: int) -> int | None:
    """The first sample of the first of two frames in a row behind byte ``at``."""
    file.seek(at)
    window = file.read(min(_reach(head), stop - at))
    earlier: list[FlacFrame] = []
    place = -1
    for _ in range(MAX_SYNCS):
        place = window.find(_sync(head), place + 1)
        if place < 0:
            return None
        frame = _frame(window[place : place + 17], head)
        if frame is not None:
            for first in earlier:
                if first.first + first.count == frame.first:
                    return first.first
            earlier.append(frame)
    return None


def _reach(info: bytes) -> int:
    """Bytes that hold three frames, by the size of the largest one."""
    largest = int.from_bytes(info[15:18], "big")
    return min(TAIL, 3 * largest) if largest else TAIL


def _sync(info: bytes) -> bytes:
    """The first two bytes of every frame: they tell whether blocks are of one size."""
    return b"\xff\xf8" if info[8:10] == info[10:12] else b"\xff\xf9"


def _frame(head: bytes, info: bytes) -> FlacFrame | None:
    """Parse the header of a frame (RFC 9639, section 9.1); None if it is none of the file that begins with ``info``."""
    if len(head) < 6 or head[:2] != _sync(info):
        return None
    size_code, rate_code = head[2] >> 4, head[2] & 15
    if size_code == 0 or rate_code == 15 or head[3] & 1 or head[3] >> 4 > 10:
        return None
    length = {0: 1}.get(head[4] >> 7) or 8 - (head[4] ^ 0xFF).bit_length()
    if length > 7 or (head[4] >> 6 == 2) or any(byte >> 6 != 2 for byte in head[5 : 4 + length]):
        return None
    number = head[4] & (0x7F >> (length if length > 1 else 0))
    for byte in head[5 : 4 + length]:
        number = number << 6 | byte & 0x3F
    at = 4 + length
    count = SIZES.get(size_code, 0)
    if size_code in (6, 7):
        count = int.from_bytes(head[at : at + size_code - 5], "big") + 1
        at += size_code - 5
    at += {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if at >= len(head) or crc8(head[:at]) != head[at] or not count:
        return None
    return FlacFrame(number if head[1] & 1 else number * int.from_bytes(info[10:12], "big"), count)


def crc8(data: bytes) -> int:
    """The checksum of a frame's header: polynomial x^8 + x^2 + x + 1."""
    value = 0
    for byte in data:
        value = CRC8[value ^ byte]
    return value


def _crc8_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value << 1 ^ (0x07 if value & 0x80 else 0)) & 0xFF
        table.append(value)
    return tuple(table)


CRC8 = _crc8_table()


def starts(file: BinaryIO, start: int, stop: int) -> list[int]:
    """Return the positions of all FLAC files that follow each other: reads everything."""
    buffer, at, found = ByteBuffer(file, stop), start, [start]
    while (at := buffer.find(MARK[:4], at + 1)) >= 0:
        if buffer(at, 8) in (MARK, LATER_MARK):
            found.append(at)
    return found
