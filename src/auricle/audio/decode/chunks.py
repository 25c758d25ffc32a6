"""WAV (RIFF, RIFX, RF64, BW64), W64, AIFF, CAF and AU: where their samples lie, and how many bytes of them are declared.

RIFF   "RIFF" size "WAVE", chunks (id, 32-bit size); RF64 and BW64 state 64-bit sizes in "ds64" (EBU Tech 3306, ITU-R BS.2088)
W64    the same with 16-byte ids and 64-bit sizes that include the chunk's own head
AIFF   "FORM" size "AIFF" or "AIFC", big-endian; "COMM" states the number of frames beside the size of "SSND"
CAF    chunks with 64-bit sizes; a size of -1 means until the end of the file
AU     a header of 24 bytes or more; a size of 0xFFFFFFFF means until the end of the file
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

OPEN_SIZES = (0x7FFFF000, 0x7FFFFF00, 0x7FFFFFFF, 0x80000000)  # written by programs that stream into a pipe
OPEN_FROM = 0xFFFFFF00  # and everything from here
WIDE_OPEN_FROM = 1 << 62  # of 64-bit sizes; among them -1
MAX_CHUNKS = 10000
MAX_HEAD = 1 << 24  # bytes before the samples that are kept to write another size into them
MP3_IN_WAV = (0x50, 0x55)  # format tags of MPEG audio
BEHIND = frozenset(  # chunks that programs write behind the samples; one of them may be cut
    b"LIST list INFO id3  ID3  bext iXML cue  smpl inst plst fact PEAK JUNK junk PAD  FLLR afsp minf elm1 regn umid DISP "
    b"cart axml chna _PMX acid strc levl NAME AUTH ANNO COMT MARK INST MIDI APPL info uuid free pakt chan strg mark kuki"
    .ljust(5 * 48)[i : i + 4] for i in range(0, 5 * 48, 5)
) - {b"    "}  # fmt: skip

KNOWN = BEHIND | {b"fmt ", b"data"}


@dataclass(frozen=True)
class FileChunk:
    """A chunk: id, first byte of its head, first byte of its content, bytes of content as declared."""

    id: bytes
    at: int
    content: int
    size: int


@dataclass(frozen=True)
class ChunkFormat:
    """How the chunks of a container are written.

    Attributes:
        first: bytes before the first chunk.
        id_bytes, size_bytes, order, align: of a chunk's head; its content is padded to a multiple of ``align``.
        samples: id of the chunk of samples; ``skip`` bytes at its start are no samples.
        own: bytes of a chunk's head that its size includes.
    """

    name: str
    first: int
    id_bytes: int
    size_bytes: int
    order: Literal["little", "big"]
    align: int
    samples: bytes
    skip: int = 0
    own: int = 0

    @property
    def head(self) -> int:
        return self.id_bytes + self.size_bytes

    def size(self, number: int) -> bytes:
        """Return a number as this family writes sizes."""
        return number.to_bytes(self.size_bytes, self.order)


W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0O\x8e\xdb\x8a"
WAV = ChunkFormat("WAV", 12, 4, 4, "little", 2, b"data")
RIFX = ChunkFormat("RIFX", 12, 4, 4, "big", 2, b"data")
W64 = ChunkFormat("W64", 40, 16, 8, "little", 8, W64_DATA, own=24)
CAF = ChunkFormat("CAF", 8, 4, 8, "big", 1, b"data", skip=4)
AIFF = ChunkFormat("AIFF", 12, 4, 4, "big", 2, b"SSND", skip=8)
SVX = ChunkFormat("SVX", 12, 4, 4, "big", 2, b"BODY")


def family_of(head: bytes) -> ChunkFormat | None:
    """Return the family of a file that begins with these 16 bytes; None for other formats."""
    if head[:4] in (b"RIFF", b"RF64", b"BW64") and head[8:12] == b"WAVE":
        return WAV
    if head[:4] == b"RIFX" and head[8:12] == b"WAVE":
        return RIFX
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return AIFF
    if head[:4] == b"FORM" and head[8:12] in (b"8SVX", b"16SV"):
        return SVX
    if head[:4] == b"caff":
        return CAF
    return W64 if head[:4] == b"riff" and head[4:8] == b"\x2e\x91\xcf\x11" else None


@dataclass(frozen=True)
class SampleBytes:
    """Where the samples of a file lie.

    Attributes:
        first: first byte of the file (not 0 if another file lies before it).
        start: first byte of the samples.
        declared: the numbers of bytes that the header gives, without placeholders; the most trusted first.
        codec: the format tag of a WAV file.
    """

    family: ChunkFormat | None
    first: int
    start: int
    declared: tuple[int, ...]
    chunks: tuple[FileChunk, ...] = ()
    codec: int = 0

    @property
    def lacks_padding(self) -> bool:
        """True if a WAV chunk of odd size before the samples has no byte behind it: libsndfile loses its way there."""
        ends = [chunk.content + chunk.size + chunk.size % 2 for chunk in self.chunks]
        return self.family is WAV and any(end != later.at for end, later in zip(ends, self.chunks[1:]))

    def header_for(self, file: BinaryIO, size: int) -> bytes | None:
        """Return this file's header with ``size`` as the number of bytes of samples; None if it cannot be written."""
        if self.start - self.first > MAX_HEAD:
            return None
        file.seek(self.first)
        head = bytearray(file.read(self.start - self.first))
        if self.family is None:
            head[8:12] = struct.pack(">I", min(size, 0xFFFFFFFF))
            return bytes(head)
        if self.family is WAV:
            return self._wav_header(bytes(head), size)
        return self._patched(head, size)

    def _wav_header(self, head: bytes, size: int) -> bytes:
        """The chunks before the samples, in a RIFF or, for 4 GiB and more, an RF64 header."""
        kept = b"".join(
            head[chunk.at - self.first : chunk.content - self.first + chunk.size + chunk.size % 2]
            for chunk in self.chunks[:-1]
            if chunk.id not in (b"ds64", b"fact", b"JUNK")
        )
        if size + len(kept) + 20 <= 0xFFFFFFFF:
            return (
                struct.pack("<4sI4s", b"RIFF", size + len(kept) + 12, b"WAVE")
                + kept
                + struct.pack("<4sI", b"data", size)
            )
        wide = struct.pack("<4sIQQQI", b"ds64", 28, size + len(kept) + 48, size, 0, 0)
        ends = struct.pack("<4sI4s", b"RF64", 0xFFFFFFFF, b"WAVE"), struct.pack("<4sI", b"data", 0xFFFFFFFF)
        return ends[0] + wide + kept + ends[1]

    def _patched(self, head: bytearray, size: int) -> bytes | None:
        family, data = self.family, self.chunks[-1]
        assert family is not None
        if size + family.skip >= 1 << 8 * family.size_bytes:
            return None
        at = data.at - self.first + family.id_bytes
        head[at : at + family.size_bytes] = family.size(size + family.skip + family.own)
        if family is AIFF:
            common = _aiff_common(self.chunks)
            width = _aiff_width(bytes(head), self.chunks, self.first) if common is not None else 0
            if common is not None and width:
                at = common.content - self.first + 2
                head[at : at + 4] = struct.pack(">I", size // width)
        return bytes(head)


def sample_bytes(file: BinaryIO, first: int, total: int) -> SampleBytes | None:
    """Find the samples of the file that begins at byte ``first``; None for other formats and without samples."""
    file.seek(first)
    head = file.read(16)
    if head[:4] == b".snd" and len(head) >= 12:
        start, size = int.from_bytes(head[4:8], "big"), int.from_bytes(head[8:12], "big")
        return SampleBytes(None, first, first + start, _known(4, size)) if 24 <= start <= total - first else None
    family = family_of(head)
    if family is None:
        return None
    chunks = []
    for chunk in walk(file, family, first + family.first, total):
        chunks.append(chunk)
        if chunk.id == family.samples:
            codec, sizes = _wav_codec(file, chunks), _declared(file, family, chunks, first)
            return SampleBytes(family, first, chunk.content + family.skip, sizes, tuple(chunks), codec)
    return None


def walk(file: BinaryIO, family: ChunkFormat, at: int, total: int) -> Iterator[FileChunk]:
    """Yield the chunks from byte ``at`` on. The size of the last one may reach beyond the end."""
    for _ in range(MAX_CHUNKS):
        file.seek(at)
        head = file.read(family.head)
        if len(head) < family.head:
            return
        size = max(0, int.from_bytes(head[family.id_bytes :], family.order) - family.own)
        yield FileChunk(head[: family.id_bytes], at, at + family.head, size)
        at += family.head + size + _padding(file, family, at + family.head, size)
        if at >= total:
            return


def _padding(file: BinaryIO, family: ChunkFormat, content: int, size: int) -> int:
    """Bytes between a chunk and the next one. Some programs forget the byte behind a WAV chunk of odd size."""
    padding = -size % family.align
    if family is not WAV or not padding:
        return padding
    file.seek(content + size)
    behind = file.read(5)
    return 0 if behind[:4] in KNOWN and behind[1:] not in KNOWN else padding


def _declared(file: BinaryIO, family: ChunkFormat, chunks: list[FileChunk], first: int) -> tuple[int, ...]:
    sizes = _known(family.size_bytes, chunks[-1].size + (family.own if family is W64 else 0))
    sizes = tuple(max(0, size - family.skip - family.own) for size in sizes)
    for chunk in chunks:
        if chunk.id == b"ds64" and family is WAV:
            file.seek(chunk.content + 8)
            sizes = (*_known(8, int.from_bytes(file.read(8), "little")), *sizes)
    common = _aiff_common(chunks) if family is AIFF else None
    if common is not None:
        file.seek(first)
        head = file.read(common.content + 18 - first)
        frames = int.from_bytes(head[common.content + 2 - first :][:4], "big")
        width = _aiff_width(head, chunks, first)
        sizes = (*sizes, frames * width) if width else sizes
    return sizes


def _known(size_bytes: int, size: int) -> tuple[int, ...]:
    """The size as a tuple; empty for one that means "until the end"."""
    if size_bytes == 8:
        return () if size >= WIDE_OPEN_FROM else (size,)
    return () if size in OPEN_SIZES or size >= OPEN_FROM else (size,)


def _aiff_common(chunks: list[FileChunk] | tuple[FileChunk, ...]) -> FileChunk | None:
    return next((chunk for chunk in chunks if chunk.id == b"COMM"), None)


def _aiff_width(head: bytes, chunks: list[FileChunk] | tuple[FileChunk, ...], first: int) -> int:
    """Bytes of a frame of uncompressed AIFF; 0 for compressed."""
    common = _aiff_common(chunks)
    assert common is not None
    channels, _, bits = struct.unpack(">HIH", head[common.content - first :][:8].ljust(8, b"\0"))
    compressed = head[8:12] == b"AIFC" and head[common.content + 18 - first :][:4] not in (b"NONE", b"sowt", b"twos")
    return 0 if compressed else channels * -(-bits // 8)


def _wav_codec(file: BinaryIO, chunks: list[FileChunk]) -> int:
    for chunk in chunks:
        if chunk.id == b"fmt ":
            file.seek(chunk.content)
            return int.from_bytes(file.read(2), "little")
    return 0


# ---- what follows the samples
def ends_well(file: BinaryIO, data: SampleBytes, end: int, total: int, slack: int) -> bool:
    """Return True if samples that end at byte ``end`` are followed by chunks, tags or nothing: by no more samples."""
    if total - end <= slack:
        return True
    file.seek(end)
    head = file.read(16)
    if head[:4] in (b".snd", b"OggS", b"fLaC") or family_of(head) is not None or _is_tag(head):
        return True
    return _are_chunks(file, data.family, end, total, slack) or _is_empty(file, end, total)


def more_samples(file: BinaryIO, data: SampleBytes, end: int, total: int) -> list[FileChunk]:
    """Return further chunks of samples behind those that end at byte ``end``."""
    assert data.family is not None
    if total - end <= data.family.head:
        return []
    found = list(walk(file, data.family, end + end % 2, total))
    whole = all(chunk.content + chunk.size <= total for chunk in found)
    return [chunk for chunk in found if chunk.id == data.family.samples and chunk.size] if whole else []


def _is_tag(head: bytes) -> bool:
    return head[:3] in (b"TAG", b"ID3") or head[:8] in (b"APETAGEX", b"LYRICSBE") or head.lstrip()[:5] == b"<?xml"


def _are_chunks(file: BinaryIO, family: ChunkFormat | None, end: int, total: int, slack: int) -> bool:
    """Chunks with printable ids, the last of which ends where the file ends or behind it."""
    if family is None:
        return False
    for at in dict.fromkeys((end + -end % family.align, end)):
        chunk = None
        for chunk in walk(file, family, at, total):
            if chunk.id[:4] in BEHIND:
                return True
            if not re.fullmatch(rb"[ -~]{4}", chunk.id[:4]):
                break
        else:
            if chunk is not None and chunk.content + chunk.size <= total + slack:
                return True
    return False


def _is_empty(file: BinaryIO, at: int, total: int) -> bool:
    """Zeros until the end of the file: space that was reserved."""
    file.seek(at)
    while block := file.read(1 << 20):
        if block.count(0) != len(block):
            return False
    return True
