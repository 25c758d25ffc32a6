"""Streams of frames or packets that declare no length: AAC (ADTS), AC-3 and E-AC-3, AMR, MPEG-TS.

Each frame's header says its size, so it can be seen whether the last one is complete and where the frames end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from auricle.audio.decode.byte_buffer import ByteBuffer

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
