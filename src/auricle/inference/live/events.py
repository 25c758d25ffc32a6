"""Events while they happen: opened, updated and closed once, the same events as ``events.find_events`` gives afterwards.

An event is opened when a score reaches the threshold of its class; it begins where the score rose above the lower threshold. It is
closed by the first window below the lower threshold. A median filter over ``median`` windows delays all of it by half of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from auricle.inference.events import ROUNDING, Event

Kind = Literal["opened", "updated", "closed"]


@dataclass(frozen=True)
class EventChange:
    """What has become known of an event.

    Attributes:
        kind: "opened" once, "updated" whenever its score has risen, "closed" once.
        label: what it is.
        start: seconds of the stream.
        end: seconds; of an open event, how far it is known to last.
        score: the highest so far.
        peak: seconds, the centre of the window with that score.
        head: the name of the head that found it.
    """

    kind: Kind
    label: str
    start: float
    end: float
    score: float
    peak: float
    head: str = "main"

    @property
    def event(self) -> Event:
        """The event as far as it is known."""
        return Event(self.label, self.start, self.end, self.score)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


class EventTracker:
    """Follows the events of one head, window by window, with a few numbers for each label and no more.

    Args:
        labels: the C labels.
        thresholds: (C,) scores at which events begin.
        hysteresis: they last while the score stays at or above this share of the threshold.
        median: windows (odd) of the median filter; 1: none.
        least: score below which an event is not reported.
        head: name of the head.
    """

    def __init__(
        self,
        labels: Sequence[str],
        thresholds: np.ndarray,
        hysteresis: float,
        median: int = 1,
        least: float = 0.0,
        head: str = "main",
    ):
        self.labels, self.head, self.half = tuple(labels), head, median // 2
        self.low = (thresholds.astype(np.float64) * hysteresis).astype(np.float32)
        self.high = np.maximum(thresholds, least).astype(np.float32)
        self.rows: deque[np.ndarray] = deque(maxlen=median)
        self.spans: deque[tuple[float, float]] = deque()  # of windows whose filtered row is not known yet
        self.start = np.zeros(len(self.labels))
        self.reset()

    def reset(self) -> None:
        """Begin a new piece of the stream: no event is open."""
        self.rows.clear()
        self.reaching = np.zeros(len(self.labels), int)  # how many of the rows reach the lower threshold, by label
        self.spans.clear()
        self.last: tuple[float, float] | None = None  # the last window that was decided
        self.peak = np.full(len(self.labels), -np.inf)
        self.peak_time = np.zeros(len(self.labels))
        self.running = np.zeros(len(self.labels), bool)
        self.open = np.zeros(len(self.labels), bool)

    def add(self, start: float, end: float, row: np.ndarray) -> list[EventChange]:
        """Take the scores (C,) of the next window and return what has changed."""
        if not self.rows:  # as the filter repeats the first row
            for _ in range(self.half):
                self._take_row(row)
        self._take_row(row)
        self.spans.append((start, end))
        return self._decide() if len(self.spans) > self.half else []

    def finish(self) -> list[EventChange]:
        """End the piece: decide the windows that wait for the filter, and close what is open."""
        changes = []
        while self.spans and self.rows:
            self._take_row(self.rows[-1])  # the last row is repeated
            if len(self.rows) == self.rows.maxlen:
                changes += self._decide()
        if self.last is not None:
            changes += self._close(self.running, self.last[1])
        self.reset()
        return changes

    def _take_row(self, row: np.ndarray) -> None:
        if len(self.rows) == self.rows.maxlen:
            self.reaching -= self.rows[0] >= self.low
        self.reaching += row >= self.low
        self.rows.append(row)

    def _filtered(self) -> np.ndarray:
        """The medians (C,) of the rows; -inf in place of those below the lower threshold, as most are: they decide nothing."""
        if self.half == 0:
            return self.rows[0]
        line = np.full(len(self.labels), -np.inf, np.float32)
        some = np.flatnonzero(self.reaching > self.half)
        if len(some):
            line[some] = np.median(np.stack([row[some] for row in self.rows]), axis=0)
        return line

    def _decide(self) -> list[EventChange]:
        """Decide about the window in the middle of the filter."""
        start, end = self.spans.popleft()
        line = self._filtered()
        above = line >= self.low
        if not above.any() and not self.running.any():  # as most of the time: nothing begins, nothing ends
            self.last = (start, end)
            return []
        changes, first = [], start
        if self.last is not None:
            halfway = (start + end + sum(self.last)) / 4
            first, before = max(halfway, start), min(halfway, self.last[1])
            apart = first > before + ROUNDING  # audio that no window covers
            changes = self._close(self.running if apart else self.running & (line < self.low), before)
        self.start[above & ~self.running] = first
        self.running |= above
        risen = above & (line > self.peak)
        self.peak[risen], self.peak_time[risen] = line[risen], (start + end) / 2
        reached = above & ~self.open & (self.peak >= self.high)
        updated = risen & self.open
        self.open |= reached
        self.last = (start, end)
        return changes + self._changes("opened", reached, end) + self._changes("updated", updated, end)

    def _close(self, which: np.ndarray, end: float) -> list[EventChange]:
        """Forget runs that end, and return those of them that were events."""
        changes = self._changes("closed", which & self.open, end)
        self.peak[which] = -np.inf  # first: ``which`` may be one of the arrays below
        self.open = self.open & ~which
        self.running = self.running & ~which
        return changes

    def _changes(self, kind: Kind, which: np.ndarray, end: float) -> list[EventChange]:
        changes = [
            EventChange(
                kind,
                self.labels[c],
                float(self.start[c]),
                float(end),
                float(self.peak[c]),
                float(self.peak_time[c]),
                self.head,
            )
            for c in np.flatnonzero(which)
        ]
        return sorted(changes, key=lambda change: (change.start, -change.score))
