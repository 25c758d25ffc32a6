"""Chunks of live sound, and the thread that reads them while the network computes."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

STOP_SECONDS = 0.2  # until ``stop`` is noticed
WAITING = 300  # chunks that may wait; about half a minute of the sources here


@dataclass(frozen=True, eq=False)
class LiveChunk:
    """Some sound.

    Attributes:
        samples: (n,) float32 in [-1, 1], the mean of the channels.
        rate: hertz.
        lost: seconds of sound that are missing before it.
        arrived: ``time.monotonic()`` when it came.
        reconnected: the source was lost and found again before it.
    """

    samples: np.ndarray
    rate: int
    lost: float = 0.0
    arrived: float = 0.0
    reconnected: bool = False


class Reader:
    """Reads a source in a thread.

    Args:
        chunks: the source.
        may_drop: the source cannot wait, as a microphone: where too many chunks wait, new ones are dropped and counted as
            lost. A file or a pipe waits instead.
        waiting: the most chunks that wait.
    """

    def __init__(self, chunks: Iterator[LiveChunk], *, may_drop: bool, waiting: int = WAITING):
        self.may_drop = may_drop
        self._chunks = chunks
        self._queue: queue.Queue[LiveChunk | BaseException | None] = queue.Queue(waiting)
        self._stopped = threading.Event()
        self._lost = 0.0  # seconds dropped behind the last chunk that waits
        threading.Thread(target=self._read, name="auricle-live", daemon=True).start()

    def __iter__(self) -> Iterator[LiveChunk]:
        """Yield the chunks. An error of the source is raised here, behind the chunks before it."""
        while not self._stopped.is_set():
            try:
                item = self._queue.get(timeout=STOP_SECONDS)
            except queue.Empty:
                continue
            if isinstance(item, BaseException):
                raise item
            if item is None:
                return
            yield item

    def stop(self) -> None:
        """Read no more, and yield no more. A thread that waits for the source ends with the process."""
        self._stopped.set()

    def _read(self) -> None:
        last: BaseException | None = None
        try:
            for chunk in self._chunks:
                if self._stopped.is_set():
                    return
                self._put(replace(chunk, arrived=time.monotonic()))
        except BaseException as error:  # the reader of the queue raises it
            last = error
        if not self._stopped.is_set():
            self._queue.put(last)

    def _put(self, chunk: LiveChunk) -> None:
        if not self.may_drop:
            self._queue.put(chunk)
            return
        try:
            self._queue.put_nowait(replace(chunk, lost=chunk.lost + self._lost))
            self._lost = 0.0
        except queue.Full:
            self._lost += chunk.lost + len(chunk.samples) / chunk.rate
