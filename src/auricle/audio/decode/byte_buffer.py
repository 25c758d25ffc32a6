"""Random access to a file through a buffer, for walks over the headers of pages and frames."""

from __future__ import annotations

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
