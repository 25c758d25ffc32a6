"""Frame headers of MPEG audio layer III: is there a length header, and if not, how long is the file really?

Without a Xing, Info or VBRI header a decoder takes the length from the bit rate of the first frame. That is right for
a constant bit rate and badly wrong for a variable one, so such files are counted frame by frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO, Literal

KBPS_MPEG1 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
KBPS_MPEG2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
RATES = (44100, 48000, 32000)  # of MPEG-1; halved for MPEG-2, quartered for MPEG-2.5
LENGTH_HEADERS = (b"Xing", b"Info", b"VBRI")


@dataclass(frozen=True)
class Frame:
    """One frame header: kilobits per second, samples per channel, bytes including the header."""

    kbps: int
    samples: int
    size: int


@dataclass(frozen=True)
class Layout:
    """'declared': a length header is there; 'constant' or 'variable' bit rate without one, and samples by counting."""

    kind: Literal["declared", "constant", "variable"]
    samples: int = 0


def layout(file: BinaryIO) -> Layout:
    """How the length of an MP3 file is known. Reads one frame, or only the headers of all of them."""
    at = _first_frame(file)
    file.seek(at)
    if any(tag in file.read(200) for tag in LENGTH_HEADERS):
        return Layout("declared")
    rates, samples = set(), 0
    while (frame := _frame_at(file, at)) is not None:
        rates.add(frame.kbps)
        samples += frame.samples
        at += frame.size
    return Layout("variable" if len(rates) > 1 else "constant", samples)


def _first_frame(file: BinaryIO) -> int:
    """Position of the first frame header that another one follows, behind an ID3v2 tag if there is one."""
    file.seek(0)
    head = file.read(10)
    start = 0
    if head[:3] == b"ID3":
        start = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0)))
    file.seek(start)
    near = file.read(4096)
    for offset in range(len(near) - 4):
        frame = parse(near[offset : offset + 4])
        if frame is not None and _frame_at(file, start + offset + frame.size) is not None:
            return start + offset
    return start


def _frame_at(file: BinaryIO, at: int) -> Frame | None:
    file.seek(at)
    return parse(file.read(4))


def parse(head: bytes) -> Frame | None:
    """The frame that starts with these four bytes, or None (ISO/IEC 11172-3, section 2.4.1.3, and 13818-3)."""
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
    return Frame(kbps, samples, samples // 8 * kbps * 1000 // hertz + padding)
