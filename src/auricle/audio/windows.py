"""Windows of a recording of any length, cut from a stream of blocks in bounded memory.

Window i starts at i * hop. A *tail* decides about the samples after the last complete window. Ours, ``covering``, moves
the last window back so that it ends at the end of the recording: every sample is used and nothing is padded. The
published rule of EfficientAT pads with zeros (``compat/efficientat``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

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
