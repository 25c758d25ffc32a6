"""Ogg: pages (RFC 3533), and the links of a chained file, which are whole streams one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

from auricle.audio.decode.byte_buffer import ByteBuffer

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
