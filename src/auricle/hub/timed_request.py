"""One HTTP request whose answer arrives in bounded time, with a token that no other server gets.

The timeout of a socket starts again with every byte, so a server that sends a byte of a header now and then holds up
urllib for days; a name server has no timeout at all. Here a thread makes the request and reads, and the caller waits for
it for a bounded time. A thread that is given up ends with its connection, and does not keep the process alive.
"""

from __future__ import annotations

import queue
import re
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from email.message import Message
from typing import Any, NamedTuple

from auricle.version import __version__

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
            with OPENER.open(request, timeout=self.timeout) as answer:
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


class SameServerRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects over HTTP; the token goes with a redirect to the same server alone."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if urllib.parse.urlsplit(newurl).scheme not in ("http", "https"):
            raise urllib.error.HTTPError(req.full_url, code, f"redirects to {newurl[:100]}", headers, fp)
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        token = req.unredirected_hdrs.get(AUTHORIZATION)
        if request is not None and token and _server(newurl) == _server(req.full_url):
            request.add_unredirected_header(AUTHORIZATION, token)
        return request


AUTHORIZATION = "Authorization"
OPENER = urllib.request.build_opener(SameServerRedirects)
LONGEST_WAIT = 30.0  # seconds that a server may ask for before the next request; longer ones are left to the user


def _server(url: str) -> tuple[str, str | None, int | None]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def request_to(url: str, headers: Mapping[str, str] | None = None, *, token: str = "") -> urllib.request.Request:
    """Return a request for the file at ``url`` as it is.

    Args:
        url: an address.
        headers: further headers.
        token: sent to this server, and to no other one that it redirects to.
    """
    known = {"User-Agent": f"auricle/{__version__}", "Accept-Encoding": "identity"}
    request = urllib.request.Request(url, headers={**known, **(headers or {})})
    if token:
        request.add_unredirected_header(AUTHORIZATION, f"Bearer {token}")
    return request


def seconds_to_wait(error: BaseException) -> float | None:
    """Return how long a server that has too many requests asks to wait; None if it does not say that, or asks for too long."""
    if not isinstance(error, urllib.error.HTTPError) or error.code not in (429, 503):
        return None
    text = (error.headers.get("Retry-After") or "1").strip()
    seconds = float(text) if re.fullmatch(r"[0-9]{1,6}", text) else LONGEST_WAIT + 1
    return seconds if seconds <= LONGEST_WAIT else None
