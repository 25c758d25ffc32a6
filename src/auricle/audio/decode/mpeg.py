"""MPEG audio (MP3, also layers I and II): its frames, and what its length header declares.

A stream is a row of frames, each with a header of four bytes that says its size (ISO/IEC 11172-3, section 2.4.1.3, and
13818-3). The first frame may be none of sound but a length header, "Xing" or "Info" (LAME) or "VBRI" (Fraunhofer), with the
number of frames and of bytes. Without one, decoders estimate the length from the bit rate of the first frame.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

from auricle.audio.decode.frames import ByteBuffer

KBPS = {  # (MPEG-1, layer) -> kilobits per second by index
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = (44100, 48000, 32000)  # of MPEG-1; halved for MPEG-2, quartered for MPEG-2.5
SYNC = re.compile(rb"\xff[\xe2-\xff]")
LAME_CHECKSUM = 154  # bytes behind "Xing" or "Info"
ROW = 10  # frames
NEAR = 1 << 16  # bytes searched for the first frame


@dataclass(frozen=True)
class MP3Frame:
    """A frame: kilobits per second, samples per channel, bytes including the header; hertz and channels."""

    kbps: int
    samples: int
    size: int
    rate: int
    channels: int


@dataclass(frozen=True)
class LengthHeader:
    """What a length header declares: frames and bytes (0: not stated), and where in its frame the frames are written."""

    frames: int
    size: int
    position: int


@dataclass
class MpegFrames:
    """A row of frames that ends at the end of the file, at a length header, or where the format changes.

    Attributes:
        start, stop: bytes.
        header: the length header in its first frame.
        frames: frames of sound.
        kbps: all bit rates.
        cut: True if the file ends inside a frame.
    """

    start: int
    stop: int
    first: MP3Frame
    header: LengthHeader | None
    frames: int
    kbps: set[int]
    cut: bool = False


@lru_cache(maxsize=4096)
def parse_mp3_frame(head: bytes) -> MP3Frame | None:
    """Parse the four bytes of a frame header; None if they are none."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer, rate, padding = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3), head[2] >> 2 & 3, head[2] >> 1 & 1
    index = head[2] >> 4
    if version == 1 or layer == 4 or rate == 3 or index in (0, 15):
        return None
    first = version == 3
    kbps, hertz = KBPS[first, layer][index], RATES[rate] // {3: 1, 2: 2, 0: 4}[version]
    samples = 384 if layer == 1 else 576 if layer == 3 and not first else 1152
    size = (12000 * kbps // hertz + padding) * 4 if layer == 1 else samples * 125 * kbps // hertz + padding
    return MP3Frame(kbps, samples, size, hertz, 1 if head[3] >> 6 == 3 else 2)


def first_frame(file: BinaryIO, start: int, stop: int) -> int | None:
    """Return the position of the first frame that is followed by another, behind tags; None if there is none nearby."""
    buffer = ByteBuffer(file, stop, hold=4096)
    while tag := tag_size(buffer, start):
        start += tag
    return _next_frame(buffer, start, min(stop, start + NEAR))


def is_row_of_frames(file: BinaryIO, start: int, stop: int) -> bool:
    """Return True if the bytes begin with frames that follow each other without a gap: no samples of PCM do."""
    buffer = ByteBuffer(file, stop, hold=4096)
    while tag := tag_size(buffer, start):
        start += tag
    first = frame = parse_mp3_frame(buffer(start, 4))
    count = 0
    while frame is not None and first is not None and frame.rate == first.rate and count < ROW:
        count, start = count + 1, start + frame.size
        frame = parse_mp3_frame(buffer(start, 4))
    return count == ROW or (count > 2 and start >= stop)


def declared_end(file: BinaryIO, at: int, end: int, slack: int) -> int | None:
    """Return where the frames end by the length header of the first one, if it can be trusted; else None.

    It can if the number of bytes agrees with those in [at, end) and LAME's checksum of the header is right.

    Args:
        at: position of the first frame.
        slack: bytes that may follow the last frame.
    """
    file.seek(at)
    head = file.read(400)
    header, frame = length_header(head), parse_mp3_frame(head[:4])
    if header is None or frame is None or not header.frames:
        return None
    spare = end - at - header.size
    if not (0 <= spare <= slack or 0 <= spare - frame.size <= slack):  # some leave the header's own frame out
        return None
    place = header.position + LAME_CHECKSUM
    if crc16(head[:place]) != int.from_bytes(head[place : place + 2], "big"):
        return None
    return end - spare if spare <= slack else end


def crc16(data: bytes) -> int:
    """The checksum of LAME's header: polynomial x^16 + x^15 + x^2 + 1, lowest bit first."""
    value = 0
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xA001 if value & 1 else 0)
    return value


def length_header(frame: bytes) -> LengthHeader | None:
    """Return the length header that a frame holds."""
    mpeg1, mono = frame[1:2] > b"\xf7", len(frame) > 3 and frame[3] >> 6 == 3
    side = (17 if mono else 32) if mpeg1 else (9 if mono else 17)
    for at in (4 + side, 6 + side):  # with a checksum of two bytes or without
        if frame[at : at + 4] in (b"Xing", b"Info"):
            flags = int.from_bytes(frame[at + 4 : at + 8], "big")
            frames = int.from_bytes(frame[at + 8 : at + 12], "big") if flags & 1 else 0
            place = at + 8 + 4 * (flags & 1)
            size = int.from_bytes(frame[place : place + 4], "big") if flags & 2 else 0
            return LengthHeader(frames, size, at)
    if frame[36:40] == b"VBRI" and len(frame) >= 54:
        size, frames = struct.unpack(">II", frame[46:54])
        return LengthHeader(frames, size, 36)
    return None


def with_frames(frame: bytes, header: LengthHeader, frames: int, size: int) -> bytes:
    """Return the frame of a length header with other numbers of frames and bytes in it."""
    changed, at = bytearray(frame), header.position
    if changed[at : at + 4] == b"VBRI":
        changed[at + 10 : at + 18] = struct.pack(">II", size, frames)
        return bytes(changed)
    flags = int.from_bytes(changed[at + 4 : at + 8], "big")
    seek_table = 100 if flags & 4 else 0
    tail = changed[at + 8 + 4 * (flags & 1) + 4 * (flags >> 1 & 1) + seek_table :]  # quality, encoder and its delays
    fields = struct.pack(">III", flags & 8 | 3, frames, size) + tail
    changed[at + 4 :] = fields.ljust(len(frame), b"\0")[: len(frame) - at - 4]
    return bytes(changed)


def streams(file: BinaryIO, start: int, stop: int) -> list[MpegFrames]:
    """Walk over all frames from ``start``, a frame, on; tags and damage between them are passed over."""
    buffer, found = ByteBuffer(file, stop), []
    current: MpegFrames | None = None
    at: int | None = start
    while at is not None:
        frame = parse_mp3_frame(buffer(at, 4))
        if frame is None or (
            current is not None and frame.rate != current.first.rate and not _begins(buffer, at, frame)
        ):
            at = _next_frame(buffer, at + max(tag_size(buffer, at), 1 if frame else 0), stop)
            continue
        if at + frame.size > stop:
            if current is not None and not tag_size(buffer, at):
                current.cut = True
            break
        header = length_header(buffer(at, 200))
        if current is None or header is not None or (frame.rate, frame.channels) != _format(current):
            current = MpegFrames(at, at, frame, header, 0, set())
            found.append(current)
        if header is None:
            current.frames += 1
            current.kbps.add(frame.kbps)
        at += frame.size
        current.stop = at
    return found


def _format(stream: MpegFrames) -> tuple[int, int]:
    return stream.first.rate, stream.first.channels


def _begins(buffer: ByteBuffer, at: int, frame: MP3Frame) -> bool:
    """Whether frames of another rate really begin here: the next one is of the same."""
    following = parse_mp3_frame(buffer(at + frame.size, 4))
    return following is not None and following.rate == frame.rate


def _next_frame(buffer: ByteBuffer, start: int, stop: int) -> int | None:
    """The next position from ``start`` on where a frame is followed by another of its rate, or by the end."""
    for at in _syncs(buffer, start, stop):
        frame = parse_mp3_frame(buffer(at, 4))
        if frame is not None and (_begins(buffer, at, frame) or at + frame.size == buffer.stop):
            return at
    return None


def _syncs(buffer: ByteBuffer, start: int, stop: int) -> Iterator[int]:
    step = buffer.hold // 2
    for base in range(start, stop, step):
        for match in SYNC.finditer(buffer(base, min(step + 1, stop - base))):
            yield base + match.start()


def tag_size(buffer: ByteBuffer, at: int) -> int:
    """Bytes of a tag (ID3v2, ID3v1, APEv2) that begins here; 0 if there is none. Of one beyond the end only the head counts."""
    head = buffer(at, 16)
    if size := _id3_size(head):
        return size if at + size <= buffer.stop else 10
    if head[:3] == b"TAG":
        return 128
    return 32 + int.from_bytes(head[12:16], "little") if head[:8] == b"APETAGEX" else 0


def tag_overruns(buffer: ByteBuffer, at: int) -> bool:
    """Return True if an ID3 tag begins here that declares more bytes than follow."""
    return at + _id3_size(buffer(at, 16)) > buffer.stop


def _id3_size(head: bytes) -> int:
    """Bytes of an ID3v2 tag with its head and, in version 2.4, its footer; 0 if it is none."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    return (20 if head[5] & 0x10 else 10) + sum(
        (byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0))
    )
