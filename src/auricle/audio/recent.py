"""The latest samples, or frames, of a stream, in memory of fixed size."""

from __future__ import annotations

import numpy as np


class Recent:
    """Holds the last ``size`` values along the last axis of what was appended.

    Args:
        size: values that are held at least.
        shape: of one value: () for samples, (F,) for frames.

    Attributes:
        end: number of values appended so far; value i of the stream is held if ``start <= i < end``.

    Example:
        >>> recent = Recent(3)
        >>> recent.append(np.arange(5.0, dtype=np.float32))
        >>> recent.part(2, 5)
        array([2., 3., 4.], dtype=float32)
    """

    def __init__(self, size: int, shape: tuple[int, ...] = ()):
        self.size, self.end = size, 0
        self._values = np.zeros((*shape, 2 * size), np.float32)
        self._filled = 0  # of ``_values``; moved to the front when it is full, once per ``size`` values

    @property
    def start(self) -> int:
        """Position of the first value that is held."""
        return self.end - self._filled

    def append(self, values: np.ndarray) -> None:
        """Add (..., n) values, n of any size."""
        self.end += values.shape[-1]
        values = values[..., -self.size :]
        count = values.shape[-1]
        if self._filled + count > self._values.shape[-1]:
            kept = self.size - count
            self._values[..., :kept] = self._values[..., self._filled - kept : self._filled].copy()
            self._filled = kept
        self._values[..., self._filled : self._filled + count] = values
        self._filled += count

    def part(self, first: int, stop: int) -> np.ndarray:
        """Return the values [first, stop) as a view that the next ``append`` may change."""
        assert self.start <= first <= stop <= self.end, "a part that is not held"
        return self._values[..., first - self.start : stop - self.start]
