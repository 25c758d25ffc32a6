"""The stamp of a recording: which version of its file an answer is about."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.core.io import file_stamp

if TYPE_CHECKING:
    from auricle.audio.sources import AudioSource

Stamp = list[int] | str | None


def stamp(source: AudioSource) -> Stamp:
    """Return size and modification time of a file, or a checksum of bytes; None for a file that does not exist."""
    if callable(source.content) or isinstance(source.content, bytes):
        content = source.content() if callable(source.content) else source.content
        return hashlib.sha256(content).hexdigest()
    assert isinstance(source.content, Path)
    return file_stamp(source.content)
