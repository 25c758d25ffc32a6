"""One HTTP request that no server can hold up.

The timeout of a socket starts again with every byte, so a server that sends a byte of a header now and then holds up
urllib for days; a name server has no timeout at all. Here a thread makes the request and reads, and the caller waits for
it for a bounded time. A thread that is given up ends with its connection, and does not keep the process alive.
"""

from __future__ import annotations

import queue
import threading
import time
import urllib.request
from collections.abc import Iterator
from email.message import Message
from typing import NamedTuple

BLOCK = 1 << 18  # bytes
WAITING = 8  # blocks that wait to be written


class AnswerHead(NamedTuple):
    """The status and the headers of an answer."""

    status: int
    headers: Message


class RequestError(Exception):
    """A request failed; ``cause`` is the exception of the library."""

    def __init__(self, cause: BaseException):
        super().__init__(str(cause))
        self.cause = cause


class TimedRequest:
    """A request, and its answer as it arrives. Use it in a ``with`` statement.

    Args:
        request: the request.
        timeout: seconds until the headers must have arrived, and over which the rate is measured.
        least_rate: bytes per second, averaged over ``timeout``, below which the server counts as stalled.
    """

    def __init__(self, request: urllib.request.Request, timeout: float, least_rate: float):
        self.timeout, self.least_rate = timeout, least_rate
        self._items: queue.Queue[AnswerHead | bytes | RequestError | None] = queue.Queue(WAITING)
        self._given_up = threading.Event()
        threading.Thread(target=self._read, args=(request,), daemon=True).start()

    def __enter__(self) -> TimedRequest:
        return self

    def __exit__(self, *_: object) -> None:
        self._given_up.set()

    def head(self) -> AnswerHead:
        """Return status and headers.

        Raises:
            TimeoutError: if they do not arrive in time.
            RequestError: for an error of the server or the network.
        """
        item = self._next(self.timeout)
        assert isinstance(item, AnswerHead)
        return item

    def blocks(self) -> Iterator[bytes]:
        """Yield the content as it arrives, after ``head``.

        Raises:
            TimeoutError: if too little arrives.
            RequestError: for an error of the server or the network.
        """
        since, arrived = time.monotonic(), 0
        while (block := self._next(self.timeout)) is not None:
            assert isinstance(block, bytes)
            yield block
            arrived += len(block)
            if time.monotonic() - since >= self.timeout:
                if arrived < self.least_rate * self.timeout:
                    raise TimeoutError
                since, arrived = time.monotonic(), 0

    def _next(self, seconds: float) -> AnswerHead | bytes | None:
        try:
            item = self._items.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError from None
        if isinstance(item, RequestError):
            if isinstance(item.cause, TimeoutError):
                raise TimeoutError
            raise item
        return item

    def _read(self, request: urllib.request.Request) -> None:
        """Run the request, in its own thread."""
        try:
            with urllib.request.urlopen(request, timeout=self.timeout) as answer:
                self._put(AnswerHead(answer.status, answer.headers))
                while not self._given_up.is_set() and (block := answer.read1(BLOCK)):
                    self._put(block)
            self._put(None)
        except BaseException as error:  # whatever the library raises belongs to the caller
            self._put(RequestError(error))

    def _put(self, item: AnswerHead | bytes | RequestError | None) -> None:
        """Wait until there is room for an item, or the caller has given up."""
        while not self._given_up.is_set():
            try:
                return self._items.put(item, timeout=0.2)
            except queue.Full:
                continue
