"""Formats made of frames or pages, and how many samples they declare and hold: FLAC (RFC 9639), Ogg (RFC 3533), and
streams that declare no length (AAC in ADTS, AC-3 and E-AC-3, AMR, MPEG-TS).

The header of each frame of such a stream says its size, so it can be seen whether the last one is complete and where the
frames end. Of FLAC the number in the last frame counts; a chained Ogg file holds whole streams one after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

HOLD = 1 << 20  # bytes held at once


class ByteBuffer:
    """Reads the bytes of a file up to ``stop`` through a buffer of ``hold`` bytes."""

    def __init__(self, file: BinaryIO, stop: int, hold: int = HOLD):
        self.file, self.stop, self.hold, self.at, self.held = file, stop, hold, 0, b""

    def __call__(self, at: int, count: int) -> bytes:
        """Return the bytes [at, at + count), fewer at the end."""
        first, end = at - self.at, at - self.at + count
        if first < 0 or (end > len(self.held) and self.at + len(self.held) < self.stop):
            self.file.seek(at)
            self.at, self.held = at, self.file.read(max(0, min(max(count, self.hold), self.stop - at)))
            first, end = 0, count
        return self.held[first:end]

    def find(self, mark: bytes, at: int) -> int:
        """Return the position of ``mark`` behind byte ``at``; -1 if there is none."""
        while at < self.stop:
            block = self(at, self.hold)
            if (place := block.find(mark)) >= 0:
                return at + place
            at += max(1, len(block) - len(mark) + 1)
        return -1


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


def first_frame(file: BinaryIO, start: int, stop: int) -> int:
    """Return the byte behind the metadata of a FLAC file, which may hold the header of the WAV that it was made of."""
    buffer, at, last = ByteBuffer(file, stop), start + 4, False
    while not last and at < stop:
        head = buffer(at, 4)
        last, at = bool(head[0] & 0x80), at + 4 + int.from_bytes(head[1:4], "big")
    return min(at, stop)


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


BEGIN, END = 2, 4  # flags of a page
PAGE = b"OggS\0"


@dataclass
class Link:
    """A stream, or several that begin together: bytes [start, stop); whether its last page is marked as the last."""

    start: int
    stop: int
    ended: bool = False


def links(file: BinaryIO, start: int, stop: int) -> tuple[list[Link], bool]:
    """Walk over the pages of a file.

    Returns:
        The links in order, and whether the file ends inside a page.
    """
    buffer = ByteBuffer(file, stop)
    found: list[Link] = []
    at, beginning = start, False
    while 0 <= at < stop:
        head = buffer(at, 27)
        if head[:5] != PAGE:
            at = buffer.find(PAGE, at + 1)
            continue
        lacing = buffer(at + 27, head[26]) if len(head) == 27 else b""
        size = 27 + len(lacing) + sum(lacing)
        if len(head) < 27 or len(lacing) < head[26] or at + size > stop:
            return found, True
        if head[5] & BEGIN and not beginning:  # streams that begin together are one link
            found.append(Link(at, at))
        beginning = bool(head[5] & BEGIN)
        at += size
        if found:
            found[-1].stop, found[-1].ended = at, bool(head[5] & END)
    return found, False


AC3_KBPS = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
AC3_RATES = (48000, 44100, 32000)
AMR_SIZES = {
    b"#!AMR\n": (13, 14, 16, 18, 20, 21, 27, 32, 6, 0, 0, 0, 0, 0, 0, 1),
    b"#!AMR-WB\n": (18, 24, 33, 37, 41, 47, 51, 59, 61, 6, 0, 0, 0, 0, 1, 1),
}

FrameSize = Callable[[bytes], int]  # bytes of the frame that begins so; 0 if it is none


@dataclass(frozen=True)
class BareStream:
    """The byte behind the last complete frame, and whether part of another one follows."""

    stop: int
    cut: bool


def bare_stream(buffer: ByteBuffer, start: int, stop: int) -> BareStream | None:
    """Walk over the frames in the bytes [start, stop); None for other formats, and if the frames end before."""
    head = buffer(start, 16)
    at, size_of = start, _frame_size(head)
    for magic, sizes in AMR_SIZES.items():
        if head.startswith(magic):
            at, size_of = start + len(magic), lambda frame, sizes=sizes: sizes[frame[0] >> 3 & 15] if frame else 0  # type: ignore[misc]
    if size_of is None:
        return None
    frames = 0
    while 0 < (size := size_of(buffer(at, 8))) <= stop - at:
        at += size
        frames += 1
    return BareStream(at, cut=size > 0) if frames > 1 else None


def _frame_size(head: bytes) -> FrameSize | None:
    for size_of in (_adts, _ac3, _mpegts):
        if size_of(head[:8]):
            return size_of
    return None


def _adts(frame: bytes) -> int:
    """ISO/IEC 13818-7, section 6.2: a syncword, and 13 bits of length from bit 30 on."""
    if len(frame) < 6 or frame[0] != 0xFF or frame[1] & 0xF6 != 0xF0:
        return 0
    size = (frame[3] & 3) << 11 | frame[4] << 3 | frame[5] >> 5
    return size if size > 7 else 0


def _mpegts(packet: bytes) -> int:
    """ISO/IEC 13818-1, section 2.4.3.2: packets of 188 bytes."""
    return 188 if packet[:1] == b"\x47" else 0


def _ac3(frame: bytes) -> int:
    """ETSI TS 102 366, sections 4.3 and E.1.2; the identification above 10 is E-AC-3's."""
    if len(frame) < 6 or frame[:2] != b"\x0b\x77":
        return 0
    if frame[5] >> 3 > 10:
        return ((frame[2] & 7) << 8 | frame[3]) * 2 + 2
    rate, code = frame[4] >> 6, frame[4] & 63
    if rate == 3 or code >> 1 >= len(AC3_KBPS):
        return 0
    words = AC3_KBPS[code >> 1] * 96000 // AC3_RATES[rate]
    return 2 * (words + (code & 1 if rate == 1 else 0))
