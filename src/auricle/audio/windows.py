"""Parts of a recording of any length, from one pass over it in bounded memory: overlapping windows, and many given spans.

Window i starts at i * hop. A *tail* decides about the samples after the last complete window. Ours, ``covering``, moves
the last window back so that it ends at the end of the recording: every sample is used and nothing is padded. The
published rule of EfficientAT pads with zeros (``compat/efficientat``).

Spans are decoded once from front to back. Each span by itself begins with a search for its place, and in an MP3 or a stream
without an index that search decodes or scans from the beginning: the time for all windows of a recording would grow with
the square of its length.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auricle.audio.decode import AudioNote
from auricle.audio.resample import Resampler
from auricle.audio.sources import BLOCK_SECONDS, AudioSource
from auricle.core.errors import AuricleError


@dataclass(frozen=True)
class Window:
    """Samples [start, stop) of a recording; ``wave`` (S,) float32."""

    start: int
    stop: int
    wave: np.ndarray


@dataclass(frozen=True)
class Remainder:
    """The end of a recording of ``total`` samples.

    Attributes:
        samples: the last ones, at least a window's worth if there are so many.
        start: where the next window of the grid would begin.
    """

    samples: np.ndarray
    total: int
    start: int


Tail = Callable[[Remainder, int, int], Window | None]


def windows(blocks: Iterable[np.ndarray], size: int, hop: int, tail: Tail | None = None) -> Iterator[Window]:
    """Yield the windows of one recording in order. At most one window, one hop and one block are held.

    Args:
        blocks: consecutive waves (n,).
        size: samples of a window.
        hop: samples from the start of one window to the start of the next.
        tail: gives the last window from (remainder, size, hop), or None; by default ``covering``.

    Raises:
        AuricleError: for a size or hop below one sample.
    """
    if size < 1 or hop < 1:
        raise AuricleError(f"a window and its hop need at least one sample, not {size} and {hop}")
    held, total, start = np.zeros(0, np.float32), 0, 0
    for block in blocks:
        held, total = np.concatenate([held, block]), total + len(block)
        while start + size <= total:
            at = start - (total - len(held))
            yield Window(start, start + size, held[at : at + size])
            start += hop
        held = held[max(0, min(start, total - size) - (total - len(held))) :]
    last = (tail or covering)(Remainder(held, total, start), size, hop)
    if last is not None:
        yield last


def covering(remainder: Remainder, size: int, hop: int) -> Window | None:
    """Return the last ``size`` samples, if no window contains some of them yet; a shorter recording as it is."""
    covered = remainder.start - hop + size if remainder.start else 0
    if remainder.total <= max(covered, remainder.start):
        return None
    wave = remainder.samples[-size:]
    return Window(remainder.total - len(wave), remainder.total, wave)


LEAST_NEW = 0.1  # of the hop: 5.01 s are no two windows of 5 s


def covering_enough(remainder: Remainder, size: int, hop: int) -> Window | None:
    """Return the last window as ``covering`` does, unless it adds less than a tenth of the hop to the windows before it.

    For windows that are looked at one by one: two that hardly differ would be two answers to one question.
    """
    last = covering(remainder, size, hop)
    seen = max(remainder.start - hop + size, remainder.start) if remainder.start else 0
    return None if seen and remainder.total - seen < LEAST_NEW * hop else last


KEPT_SECONDS = 60.0  # before the last span: threads take spans slightly out of order
SEARCHES = 8  # spans far ahead that are read by themselves; with more of them, decoding what is between is cheaper


class SpanReader:
    """Reads spans of one file. Threads may share it; a span that is not at hand is read by itself.

    Args:
        file: the recording.
        rate: hertz.
        resampler: "soxr" or "sinc".
        strict: refuse a file whose header does not declare the length of what is there.
    """

    def __init__(self, file: Path, rate: int, resampler: Resampler, *, strict: bool = False):
        self.file, self.rate, self.resampler = file, rate, resampler
        self.lock = threading.Lock()
        self.notes: list[AudioNote] = []  # of the blocks, until a read returns them
        source = AudioSource(str(file), file, strict=strict)
        self.blocks: Iterator[np.ndarray] | None = source.blocks(rate, resampler, self.notes)
        self.held, self.first = np.zeros(0, np.float32), 0  # samples, and the position of the first of them
        self.searches = 0

    def read(self, source: AudioSource, notes: list[AudioNote] | None = None) -> np.ndarray:
        """Return the samples (S,) of a source: a span of the file, as ``AudioSource.read`` does, within 1e-6.

        What is unusual about the file is appended to ``notes``.

        Raises:
            AudioError: as for ``AudioSource.read``.
        """
        wave = None if source.end is None or source.seconds is not None else self._span(source.start, source.end)
        if wave is None:
            return source.read(self.rate, self.resampler, notes)
        if notes is not None and self.notes:
            with self.lock:
                notes.extend(self.notes)
                self.notes.clear()
        return wave

    def _span(self, start: float, end: float) -> np.ndarray | None:
        first, stop = round(start * self.rate), round(end * self.rate)
        with self.lock:
            if first > self.first + len(self.held) + BLOCK_SECONDS * self.rate:
                self.searches += 1
                if self.searches <= SEARCHES:
                    return None
            if self.blocks is not None and stop > self.first + len(self.held):
                self._decode(first, stop)
            at = first - self.first
            return self.held[at : at + stop - first].copy() if 0 <= at < len(self.held) else None

    def _decode(self, first: int, stop: int) -> None:
        """Decode as far as sample ``stop``, and forget what is long before sample ``first``."""
        assert self.blocks is not None
        parts, end = [self.held], self.first + len(self.held)
        oldest = first - round(KEPT_SECONDS * self.rate)
        while end < stop:
            try:
                parts.append(next(self.blocks))
            except StopIteration:
                self.blocks = None
                break
            except AuricleError:  # reading the spans one by one finds those with the defect
                self.blocks, self.held, self.first = None, np.zeros(0, np.float32), 0
                return
            end += len(parts[-1])
            while parts and self.first + len(parts[0]) <= oldest:
                self.first += len(parts.pop(0))
        if parts:
            cut = min(len(parts[0]), max(0, oldest - self.first))
            parts[0], self.first = parts[0][cut:], self.first + cut
        # joined once: after each block, a long span would take the square of its length
        self.held = np.concatenate(parts) if parts else np.zeros(0, np.float32)
