"""One rule for all containers: the length that a file declares is compared with what is present, in both directions.

    equal, but for a few bytes          the file is whole
    more declared than present          truncated: an error where decoding reaches the end
    more present than declared          the header was never finished, or its number overflowed: everything is read, with a note
    another file behind the end         both are read: joined MP3 or WAV files, links of a chained Ogg
    nothing declared                    read to the end; a file that ends inside a page or frame gets a note

Decoders do none of this: libsndfile reads a truncated WAV, AIFF, AU, W64 or Ogg file to its present end without an error,
never more than a header declares, and of joined files the first. So the rule looks at the bytes before a decoder is chosen,
and cuts the file into parts (mostly one, the file itself) whose headers are right.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import BinaryIO, Literal

from auricle.audio.decode import boxes, chunks, mpeg
from auricle.audio.decode import frames as flac
from auricle.audio.decode import frames as ogg
from auricle.audio.decode.frames import BareStream, ByteBuffer, bare_stream
from auricle.audio.decode.plain_headers import SURE_MARKS, PlainSamples, plain_samples

SLACK = 64  # bytes: programs count their header among the samples, or pad the end
MAX_PARTS = 10000
MIN_FRAMES = 10  # of MPEG audio behind a tag of a wrong size: fewer can be found in a picture
CUT_SAMPLE = "it ends inside a sample: it is cut, or was never finished; all whole samples were read"
CUT_FRAME = "it ends inside a frame: it is cut, or was never finished; all whole frames were read"


@dataclass(frozen=True)
class FilePart:
    """A stretch of a file that one decoder reads.

    Attributes:
        start, stop: bytes.
        head: what is put before them: a header that declares what is present.
        length: "declared" by the header; "open": not declared; "variable": an MP3 whose length decoders would guess wrong.
        missing: (bytes of samples declared, bytes present) of a file that lacks some.
        defect: why the part is known to be truncated.
    """

    start: int
    stop: int
    head: bytes = b""
    length: Literal["declared", "open", "variable"] = "declared"
    missing: tuple[int, int] | None = None
    defect: str = ""


@dataclass(frozen=True)
class Layout:
    """The parts of a file in order, and what its headers do not declare rightly, as statements about the file."""

    parts: tuple[FilePart, ...]
    notes: tuple[str, ...] = ()


Found = list[tuple[FilePart, str]]  # parts, each with a note or ""


def layout_of(file: BinaryIO) -> Layout:
    """Find the parts of a file. Reads headers; of Ogg files and of MP3 files whose header is in doubt those of all pages.

    Args:
        file: a seekable binary file; it may be left at any position.
    """
    total = file.seek(0, os.SEEK_END)
    found: Found = []
    at = 0
    while at < total and len(found) < MAX_PARTS and (not found or _begins_file(file, at)):
        more, at = _first_file(file, at, total)
        found += more
    return Layout(tuple(part for part, _ in found), tuple(note for _, note in found if note))


def _begins_file(file: BinaryIO, at: int) -> bool:
    file.seek(at)
    head = file.read(20)  # the longest mark has 20 bytes
    first_page = head[:4] == b"OggS" and bool(head[5:6]) and bool(head[5] & 2)  # others belong to a stream before them
    return (
        chunks.family_of(head) is not None
        or first_page
        or head[:4] in (b".snd", b"fLaC", boxes.EBML)
        or head[4:8] == b"ftyp"
        or head.startswith(SURE_MARKS)
    )


def _first_file(file: BinaryIO, start: int, total: int) -> tuple[Found, int]:
    """The parts of the file that begins at ``start``, and the byte where it ends and another one may begin."""
    begin = start + _leading_bytes(file, start, total)
    data = chunks.sample_bytes(file, begin, total)
    if data is not None:
        return _chunk_parts(file, data, total)
    file.seek(begin)
    head = file.read(42)
    if head[:4] == b"OggS":
        return _up_to_another(file, _ogg_parts(file, begin, total), total)
    if head[:8] in (flac.MARK, flac.LATER_MARK) and len(head) == 42:
        first = flac.first_frame(file, begin, total)
        ends_in_frames = flac.last_samples(file, head, begin, total) is not None
        stop = _next_beginning(file, max(first, total - flac.TAIL) if ends_in_frames else first, total)
        return _flac_parts(file, head, begin, stop), stop
    if (bare := bare_stream(ByteBuffer(file, total), begin, total)) is not None:
        return [_bare_part(file, bare, FilePart(start, total))], total
    if head[:1] == b"\xff" and head[1:2] >= b"\xe0" and not mpeg.tag_overruns(ByteBuffer(file, total), start):
        return _up_to_another(file, _mpeg_parts(file, start, begin, total), total)
    if (end := boxes.next_file(file, start, total)) < total:
        return [(FilePart(start, end), "")], end
    for first in dict.fromkeys((start, begin)):  # HTK and MAT4 begin with zeros
        if (plain := plain_samples(file, first, total)) is not None:
            return _plain_parts(file, first, plain, total)
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        size = int.from_bytes(head[4:8], "little") + 8
        return [
            (FilePart(begin, total, missing=(size, total - begin) if size - total + begin > SLACK else None), "")
        ], total
    return _behind_a_wrong_tag(file, start, begin, total) or [(FilePart(start, total), "")], total


def _up_to_another(file: BinaryIO, found: Found, total: int) -> tuple[Found, int]:
    """The parts, and where they end if a file of another format begins exactly there; else the end of all."""
    end = found[-1][0].stop
    return found, end if end < total and _begins_file(file, end) else total


def _next_beginning(file: BinaryIO, start: int, total: int) -> int:
    """Where the next WAV, Ogg or CAF file begins, or the end of all: reads everything."""
    buffer = ByteBuffer(file, total)
    places = []
    for mark in (b"RIFF", b"OggS\0\2", b"caff\0\1"):
        at = start
        while (at := buffer.find(mark, at + 1)) >= 0 and not _begins_file(file, at):
            pass
        places += [at] if at >= 0 else []
    return min(places, default=total)


def _behind_a_wrong_tag(file: BinaryIO, start: int, begin: int, total: int) -> Found:
    """The frames of an MP3 whose tag, before ``begin``, declares another size than it has."""
    first = mpeg.first_frame(file, begin, total) if begin > start else None
    streams = [] if first is None else mpeg.streams(file, first, total)
    if first is None or sum(stream.frames for stream in streams) < MIN_FRAMES:
        return []
    note = "its ID3 tag declares a wrong size; the sound behind it was read"
    return [(part, text or note) for part, text in _mpeg_parts(file, first, first, total)]


def _leading_bytes(file: BinaryIO, start: int, total: int) -> int:
    """Bytes of tags and of zeros before the first file."""
    buffer = ByteBuffer(file, total, hold=4096)
    at = start
    while size := mpeg.tag_size(buffer, at):
        at += size
    zeros = buffer(at, 4096)
    return at - start + len(zeros) - len(zeros.lstrip(b"\0"))


# ---- WAV, W64, AIFF, CAF, AU
def _chunk_parts(file: BinaryIO, data: chunks.SampleBytes, total: int) -> tuple[Found, int]:
    available = total - data.start
    for number, size in enumerate(data.declared):
        if _is_counted_with_header(data, size, total) or size - available <= SLACK:
            end = min(total, data.start + size)
            if size >= available or chunks.ends_well(file, data, end, total, SLACK):
                behind = end
                end = next((at for at in (end, end + end % 2) if _begins_file(file, at)), total)
                stop = min(end, data.start + size) if data.family is chunks.W64 else end  # libsndfile reads on in W64
                more = (
                    chunks.more_samples(file, data, behind, total) if end == total and data.family is chunks.WAV else []
                )
                rewrite = bool(number or more or data.lacks_padding)
                head = data.header_for(file, min(size, available)) if rewrite else b""
                found = _samples(file, data, FilePart(data.first, stop), head, size)
                for chunk in more:
                    inner = replace(data, start=chunk.content)
                    found += _samples(
                        file, inner, FilePart(chunk.at, total), data.header_for(file, chunk.size), chunk.size
                    )
                return found, end
    if not data.declared:
        return _samples(file, data, FilePart(data.first, total), data.header_for(file, available), available), total
    declared = max(data.declared)
    if declared > available:
        return _samples(file, data, FilePart(data.first, total, missing=(declared, available)), b"", available), total
    size = _overflowed(file, data, declared, total) or available
    reason = "its size modulo 4 GiB" if size - declared >= 1 << 32 else "it was never finished"
    note = f"its header declares {declared} bytes of samples, but {size} follow ({reason}); all were read"
    head = data.header_for(file, size)
    if head is None:
        note = f"its header declares {declared} bytes of samples; the {available - declared} behind them were not read"
    return _samples(file, data, FilePart(data.first, total), head, size, note), total


def _is_counted_with_header(data: chunks.SampleBytes, size: int, total: int) -> bool:
    """Whether the declared size is that of the file: some programs count the header among the samples."""
    return size in (total - data.first, total - data.first - 8)


def _overflowed(file: BinaryIO, data: chunks.SampleBytes, declared: int, total: int) -> int | None:
    """The size of which 32 bits declare only a remainder, if the file ends there."""
    for size in range(declared + (1 << 32), total - data.start + SLACK + 1, 1 << 32):
        if size >= total - data.start or chunks.ends_well(file, data, data.start + size, total, SLACK):
            return min(size, total - data.start)
    return None


def _samples(
    file: BinaryIO, data: chunks.SampleBytes, part: FilePart, head: bytes | None, size: int, note: str = ""
) -> Found:
    """The part with another header if it needs one; of MPEG audio or a whole file in place of samples, what that is."""
    stop = min(part.stop, data.start + size)
    said = data.codec in chunks.MP3_IN_WAV and data.family is chunks.WAV
    if said or mpeg.is_row_of_frames(file, data.start, stop):
        inner = _mpeg_parts(file, data.start, data.start, stop)
        note = note or (
            "" if said else "its header declares other samples, but MPEG audio (MP3) follows; that was decoded"
        )
    elif _begins_file(file, data.start):
        inner = _first_file(file, data.start, stop)[0]
        note = note or "its header is followed by a whole file of another format; that was decoded"
    else:
        return [(replace(part, start=data.start, stop=stop, head=head) if head else part, note)]
    if part.missing:
        inner = [(replace(piece, defect=_bytes_missing(part)), text) for piece, text in inner]
    return [(piece, text or note) for piece, text in inner]


def _bytes_missing(part: FilePart) -> str:
    assert part.missing is not None
    return f"{part.missing[1]} of {part.missing[0]} bytes are there"


# ---- formats with one short header
def _plain_parts(file: BinaryIO, first: int, data: PlainSamples, total: int) -> tuple[Found, int]:
    present, declared = total - data.start, data.declared
    if declared is None:
        rest = present % data.width
        return [(FilePart(first, total - rest), CUT_SAMPLE if rest else "")], total
    end = data.start + declared
    if declared - present > SLACK:
        whole = present - present % data.width
        head, words = data.header_for(file, first, whole), f"{present} of {declared} bytes are there"
        part = FilePart(first, total, missing=None if data.in_words else (declared, present), defect=words)
        return [(replace(part, start=data.start, stop=data.start + whole, head=head) if head else part, "")], total
    behind = next((at for at in (end, end + 1) if _begins_file(file, at)), total)  # a byte ends the blocks of a VOC
    if declared and (present - declared <= SLACK or data.more or behind < total):
        return [(FilePart(first, min(end, total)), "")], behind
    note = f"its header declares {declared} bytes of samples, but {present} follow; all were read" if present else ""
    head = data.header_for(file, first, present)
    return [(FilePart(data.start, total, head) if head else FilePart(first, total), note)], total


# ---- Ogg
def _ogg_parts(file: BinaryIO, start: int, total: int) -> Found:
    links, cut = ogg.links(file, start, total)
    found: Found = [(FilePart(link.start, link.stop), "") for link in links]
    if len(links) < 2 and not (links and _begins_file(file, links[0].stop)):
        found = [(FilePart(start, total), "")]
    if cut:
        found[-1] = (replace(found[-1][0], defect="it ends inside a page"), "")
    elif links and not links[-1].ended:
        found[-1] = (
            found[-1][0],
            "it has no end-of-stream page: it was never finished, or is cut; all pages were read",
        )
    return found


# ---- AAC, AC-3 and AMR without a container
def _bare_part(file: BinaryIO, stream: BareStream, part: FilePart) -> tuple[FilePart, str]:
    if stream.cut:
        return replace(part, stop=stream.stop), CUT_FRAME
    file.seek(stream.stop)
    behind = file.read(part.stop - stream.stop)
    junk = len(behind) <= SLACK or behind[:3] == b"TAG" or behind.count(0) == len(behind)
    return replace(part, stop=stream.stop) if behind and junk else part, ""


# ---- FLAC
def _flac_parts(file: BinaryIO, head: bytes, start: int, total: int) -> Found:
    declared, present = flac.declared_samples(head), flac.last_samples(file, head, start, total)
    if not declared:
        return [(FilePart(start, total, length="open"), "")]
    rising = present == declared and flac.numbers_rise(file, head, start, total)
    begins = [start] if rising else flac.starts(file, start, total)
    if len(begins) > 1:
        found: Found = []
        for begin, end in zip(begins, [*begins[1:], total]):
            file.seek(begin)
            found += _flac_parts(file, file.read(42), begin, end)
        return found
    if present is None or present <= declared:
        return [(FilePart(start, total), "")]  # decoding finds out whether it ends early
    note = f"its header declares {declared} samples, but there are {present}; all were read"
    return [(FilePart(start + 42, total, flac.with_samples(head, present)), note)]


# ---- MP3
def _mpeg_parts(file: BinaryIO, start: int, begin: int, stop: int) -> Found:
    """The streams of MPEG audio in the bytes [begin, stop); tags lie before them from ``start`` on."""
    first = mpeg.first_frame(file, begin, stop)
    if first is None:
        return [(FilePart(start, stop, length="open"), "")]
    tags = _end_of_frames(file, stop)
    if (end := mpeg.declared_end(file, first, tags, SLACK)) is not None:
        return [(FilePart(start, end if end < tags else stop), "")]
    streams = [stream for stream in mpeg.streams(file, first, stop) if stream.frames]
    found = [_stream_part(file, stream) for stream in streams]
    if len(found) == 1 and not found[0][0].head and stop - found[0][0].stop <= SLACK:
        found = [(replace(found[0][0], start=start, stop=stop), found[0][1])]
    return found or [(FilePart(start, stop, length="open"), "")]


def _stream_part(file: BinaryIO, stream: mpeg.MpegFrames) -> tuple[FilePart, str]:
    header, part = stream.header, FilePart(stream.start, stream.stop)
    if header is None:
        note = CUT_FRAME if stream.cut else ""
        return replace(part, length="variable" if len(stream.kbps) > 1 else "open"), note
    declared, present = header.frames, stream.frames
    size = stream.stop - stream.start
    missing = stream.cut or header.size > size + SLACK
    right = declared and declared - (not missing) <= present <= declared + 1  # some count the header's own frame
    if right and abs(header.size - size) <= size / 100:
        return part, ""
    file.seek(stream.start)
    frame = file.read(stream.first.size)
    head = mpeg.with_frames(
        frame, header, present, size
    )  # a wrong number of bytes makes the decoder complain on stderr
    part = replace(part, start=stream.start + len(frame), head=head)
    if right:
        return part, ""
    if present < declared:
        return replace(part, missing=(declared, present), defect=f"{present} of {declared} frames are there"), ""
    return part, f"its header declares {declared} frames, but {present} follow; all were read"


def _end_of_frames(file: BinaryIO, stop: int) -> int:
    """The end of the file, or where the tags at its end begin."""
    for size, mark, place in ((128, b"TAG", 0), (32, b"APETAGEX", 12)):
        file.seek(max(0, stop - size))
        tail = file.read(size)
        if tail[: len(mark)] == mark:
            stop -= int.from_bytes(tail[place : place + 4], "little") + size if place else size
    return stop
