"""The contract of sinks: what takes the events of a stream as they happen."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from auricle.inference.live.events import EventChange


class Sink(Protocol):
    """Takes what happens in a stream, in order. ``add_audio`` comes before the changes that the sound has caused."""

    def add_audio(self, samples: np.ndarray, rate: int, start: float) -> None:
        """Take sound (n,) that begins at ``start`` seconds of the stream."""

    def take(self, change: EventChange, clock: str) -> None:
        """Take a change; ``clock`` is the time of day of the event's start in ISO form, "" where it is not known."""

    def close(self) -> tuple[str, ...]:
        """Finish, and return what could not be delivered, a sentence each."""
