"""Formats whose header is one short record: where their samples lie, and how many bytes of them are declared.

libsndfile reads them to the present end of the file, or refuses one whose length is not the declared one (HTK), or makes up
the rest as silence (SDS). ``HEADERS`` is the table: how a file of the format begins, and what reads its header.

    NIST    text: "NIST_1A", the size of the header, fields of a name, a type and a value
    AVR     128 bytes, big-endian; frames at 26
    MPC2K   42 bytes, little-endian; frames at 30
    WVE     32 bytes, big-endian; bytes of A-law at 18
    XI      338 bytes, little-endian; bytes of the first sample at 298
    HTK     12 bytes, big-endian; samples at 0 (the only sign of the format is its kind, 2-byte waveform)
    SDS     MIDI system exclusive messages: a header, then blocks of 127 bytes with 40 samples of 15 to 21 bits
    VOC     blocks: kind, 3 bytes of size
    MAT4    matrices "samplerate" and "wavedata": type, rows, columns; MAT5 the same as tagged elements
    IRCAM, PAF, PVF declare no length: a file that ends inside a sample is cut
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import BinaryIO

HEAD = 4096  # bytes that the parsers look at
VOC_MARK, WVE_MARK, MAT5_MARK = b"Creative Voice File\x1a", b"ALawSoundFile**", b"MATLAB 5.0 MAT-file"
SDS_BLOCK = 127  # bytes
SURE_MARKS = (
    b"NIST_1A",
    b"2BIT",
    WVE_MARK,
    VOC_MARK,
    b"PVF1\n",
    b"Extended Instr",
)  # samples hold none of them by chance


@dataclass(frozen=True)
class PlainSamples:
    """Where the samples of a file lie.

    Attributes:
        start: first byte of the samples.
        declared: bytes of samples; None where the format declares none.
        width: bytes of one sample of all channels, or of one block.
        more: other data of the same format follow the samples.
        patch: for a number of bytes of samples, where in the header it stands and as which bytes; None where libsndfile
            does not read it.
        in_words: the decoder cannot tell from the bytes how many samples are declared.
    """

    start: int
    declared: int | None
    width: int = 1
    more: bool = False
    patch: Callable[[int], tuple[int, bytes]] | None = None
    in_words: bool = False

    def header_for(self, file: BinaryIO, first: int, size: int) -> bytes:
        """Return the header of the file that begins at ``first`` with ``size`` as its bytes of samples; b"" for none."""
        if self.patch is None:
            return b""
        file.seek(first)
        head = bytearray(file.read(self.start - first))
        at, field = self.patch(size)
        head[at : at + len(field)] = field
        return bytes(head)


def plain_samples(file: BinaryIO, first: int, total: int) -> PlainSamples | None:
    """Find the samples of the file that begins at byte ``first``; None for other formats and for a header that is cut."""
    file.seek(first)
    head = file.read(HEAD)
    parser = next((parser for mark, parser in HEADERS if re.match(mark, head, re.DOTALL)), None)
    try:
        found = None if parser is None else parser(head)
    except (struct.error, ValueError, IndexError, TypeError):  # the header is cut, or no header
        return None
    if found is None or found.width < 1 or (found.declared or 0) < 0 or first + found.start > total:
        return None
    return replace(found, start=first + found.start)


# ---- one parser per format: the first bytes of a file in, positions from its beginning out
def _nist(head: bytes) -> PlainSamples | None:
    text = head.decode("latin-1")
    fields = dict(re.findall(r"^(sample_count|channel_count|sample_n_bytes) -\w+ (\d+)\s*$", text, re.MULTILINE))
    size = re.match(r"NIST_1A\s+(\d+)", text)
    if len(fields) < 3 or size is None:
        return None
    width = int(fields["channel_count"]) * int(fields["sample_n_bytes"])
    return PlainSamples(int(size[1]), int(fields["sample_count"]) * width, width)


def _avr(head: bytes) -> PlainSamples:
    stereo, bits, frames = *struct.unpack_from(">HH", head, 12), *struct.unpack_from(">I", head, 26)
    width = (2 if stereo else 1) * (bits // 8)
    return PlainSamples(128, frames * width, width)


def _mpc2k(head: bytes) -> PlainSamples:
    width = 4 if head[21] else 2
    return PlainSamples(42, struct.unpack_from("<I", head, 30)[0] * width, width)


def _wve(head: bytes) -> PlainSamples:
    return PlainSamples(32, struct.unpack_from(">I", head, 18)[0])


def _xi(head: bytes) -> PlainSamples:
    samples, size = struct.unpack_from("<HI", head, 296)
    return PlainSamples(298 + 40 * samples, size, more=samples > 1)


def _htk(head: bytes) -> PlainSamples:
    samples = struct.unpack_from(">I", head)[0]
    return PlainSamples(12, 2 * samples, 2, patch=lambda size: (0, struct.pack(">I", size // 2)))


def _sds(head: bytes) -> PlainSamples | None:
    bits, count = head[6], _seven_bits(head[10:13])
    if not 8 <= bits <= 28 or head[20] != 0xF7:
        return None
    per_block = 60 if bits <= 14 else 40 if bits <= 21 else 30

    def patch(size: int) -> tuple[int, bytes]:
        samples = min(size // SDS_BLOCK * per_block, (1 << 21) - 1)
        return 10, bytes(samples >> shift & 0x7F for shift in (0, 7, 14))

    return PlainSamples(21, -(-count // per_block) * SDS_BLOCK, SDS_BLOCK, patch=patch, in_words=True)


def _seven_bits(three: bytes) -> int:
    return three[0] | three[1] << 7 | three[2] << 14


def _voc(head: bytes) -> PlainSamples | None:
    at = struct.unpack_from("<H", head, 20)[0]
    while at + 4 < len(head) and head[at] not in (0, 1, 9):  # text, marks and silence before the samples
        at += 4 + int.from_bytes(head[at + 1 : at + 4], "little")
    kind, size = head[at], int.from_bytes(head[at + 1 : at + 4], "little")
    if kind not in (1, 9):
        return None
    own, end = (
        (2, 1) if kind == 1 else (12, 0)
    )  # before the samples; libsndfile refuses kind 1 without a block behind it

    def patch(present: int) -> tuple[int, bytes]:
        return at + 1, min(present + own - end, 0xFFFFFF).to_bytes(3, "little")

    return PlainSamples(at + 4 + own, size - own + end, patch=patch)


def _mat4(head: bytes) -> PlainSamples | None:
    order, at = "<>"[head[2:4] == b"\x03\xe8"], 0
    for name in (b"samplerate\0", b"wavedata\0"):
        kind, rows, columns, _, length = struct.unpack_from(f"{order}5i", head, at)
        at += 20 + length
        width = (8, 4, 4, 2, 2, 1)[kind % 100 // 10] * rows
        if head[at - length : at] != name:
            return None
        if name == b"wavedata\0":
            return PlainSamples(at, width * columns, width, more=True)
        at += width * columns
    return None


def _mat5(head: bytes) -> PlainSamples | None:
    order, at = "<>"[head[126:128] == b"MI"], 128
    at += 8 + struct.unpack_from(f"{order}2I", head, at)[1]  # the matrix "samplerate"
    kind, size = struct.unpack_from(f"{order}2I", head, at)
    at, end = at + 8, at + 8 + size
    if kind != 14:
        return None
    rows = 1
    for element in ("flags", "dimensions", "name", "values"):
        kind, size = struct.unpack_from(f"{order}2I", head, at)
        if element == "dimensions":
            rows = struct.unpack_from(f"{order}I", head, at + 8)[0]
        if element == "values":
            width = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8}[kind & 0xFF] * rows
            return PlainSamples(at + 8, size, width, more=end <= at + 16 + size)
        at += 8 if kind >> 16 else 8 + size + -size % 8
    return None


def _ircam(head: bytes) -> PlainSamples:
    order = "<" if head[:1] == b"\x64" else ">"
    channels, encoding = struct.unpack_from(f"{order}2I", head, 8)
    return PlainSamples(1024, None, channels * (encoding & 0xFF))


def _paf(head: bytes) -> PlainSamples:
    order = "<>"[head[:4] == b" paf"]
    kind, channels = struct.unpack_from(f"{order}2I", head, 16)
    return PlainSamples(2048, None, channels * (2, 32, 1)[kind])


def _pvf(head: bytes) -> PlainSamples | None:
    found = re.match(rb"PVF1\n(\d+) (\d+) (\d+)\n", head)
    return None if found is None else PlainSamples(found.end(), None, int(found[1]) * int(found[3]) // 8)


HEADERS: tuple[tuple[bytes, Callable[[bytes], PlainSamples | None]], ...] = (
    (rb"NIST_1A", _nist),
    (rb"2BIT", _avr),
    (re.escape(WVE_MARK), _wve),
    (rb"Extended Instrument: ", _xi),
    (re.escape(VOC_MARK), _voc),
    (re.escape(MAT5_MARK), _mat5),
    (rb"PVF1\n", _pvf),
    (rb" paf|fap ", _paf),
    (rb"\x64\xa3[\x00-\x04]\x00|\x00[\x00-\x04]\xa3\x64", _ircam),
    (rb"\xf0\x7e.\x01", _sds),
    (rb"(\x00\x00\x00\x00\x01\x00\x00\x00\x01\x00|\x00\x00\x03\xe8\x00\x00\x00\x01\x00\x00).{10}samplerate", _mat4),
    (rb"\x01\x04[ -~]{17}.{2}[\x00\x01]", _mpc2k),
    (rb".{4}\x00\x00.{2}\x00\x02\x00\x00", _htk),
)
