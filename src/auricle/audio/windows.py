"""Windows over recordings of any length, cut from a stream of blocks, so that memory stays bounded.

Window i starts at i * hop. What remains at the end is a matter of the *tail*: ours moves the last window back so that
it ends where the recording ends (every sample is heard, nothing is padded); the published rule of EfficientAT pads with
zeros (``compat.original_efficientat``).
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
class Rest:
    """The end of a recording of ``total`` samples: ``held`` are its last ones, at least a window's worth if there are
    so many; ``start`` is where the next window of the grid would begin."""

    held: np.ndarray
    total: int
    start: int


Tail = Callable[[Rest, int, int], Window | None]


def covering(rest: Rest, size: int, hop: int) -> Window | None:
    """The last ``size`` samples, if some of them were not heard yet; a shorter recording as it is."""
    heard = rest.start - hop + size if rest.start else 0
    if rest.total <= max(heard, rest.start):
        return None
    wave = rest.held[-size:]
    return Window(rest.total - len(wave), rest.total, wave)


def windows(blocks: Iterable[np.ndarray], size: int, hop: int, tail: Tail = covering) -> Iterator[Window]:
    """Blocks (n,) of one recording -> its windows of ``size`` samples every ``hop`` samples, in order.

    Holds at most one window, one hop and one block. Raises AuricleError for a size or hop below one sample.
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
    last = tail(Rest(held, total, start), size, hop)
    if last is not None:
        yield last
