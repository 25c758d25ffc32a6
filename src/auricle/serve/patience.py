"""Limits on clients: the size of a body, how long nothing may come or go, and how many requests are answered at once.

A client that hangs costs a connection for a while and nothing else: what it does not send is not waited for, what it does not
read is not kept for it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from auricle.serve.errors import error_answer
from auricle.serve.settings import ServeConfig

LARGEST_BODY = 4 * 2**20  # bytes of a request that is no upload
SEND_SECONDS = 300.0  # that a client may read nothing; players read ahead and then pause
UPLOADS = ("POST", "/api/recordings")
RETRY_SECONDS = 2


class Patience:
    """ASGI middleware with these limits.

    Args:
        app: the application behind it.
        config: largest upload, seconds without a byte, and requests at once.
    """

    def __init__(self, app: ASGIApp, config: ServeConfig):
        self.app, self.config = app, config
        self._answering = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        largest = self.config.upload_bytes if (scope["method"], scope["path"]) == UPLOADS else LARGEST_BODY
        if self._answering >= self.config.connections:
            message = f"{self._answering} requests are being answered already; ask again in a moment"
            await error_answer(503, message, {"retry-after": str(RETRY_SECONDS)})(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "0")
        if not declared.isdigit() or int(declared) > largest:
            await error_answer(413, too_large(largest), {"connection": "close"})(scope, receive, send)
            return
        self._answering += 1
        try:
            with suppress(_ReaderGone):
                await self.app(scope, self._received(receive, largest), _sent(send))
        finally:
            self._answering -= 1

    def _received(self, receive: Receive, largest: int) -> Receive:
        """``receive`` that raises HTTPException for a body that is too large, or stops coming."""
        total, complete = 0, False

        async def received() -> Message:
            nonlocal total, complete
            if complete:  # the application waits for the client to leave
                return await receive()
            try:
                message = await asyncio.wait_for(receive(), self.config.read_timeout)
            except TimeoutError:
                text = f"nothing came for {self.config.read_timeout:g} s in the middle of the request; send it again"
                raise HTTPException(408, text, {"connection": "close"}) from None
            total += len(message.get("body", b""))
            complete = message["type"] != "http.request" or not message.get("more_body", False)
            if total > largest:
                raise HTTPException(413, too_large(largest), {"connection": "close"})
            return message

        return received


def too_large(largest: int) -> str:
    """Return the message about a body that is too large."""
    return (
        f"the request is larger than {largest / 1e6:.3g} MB; send fewer files at once, raise --max-upload, or name the folder of "
        "the recordings on the command line: they may have any size there"
    )


class _ReaderGone(Exception):
    """A client reads nothing."""


def _sent(send: Send) -> Send:
    async def sent(message: Message) -> None:
        try:
            await asyncio.wait_for(send(message), SEND_SECONDS)
        except TimeoutError:
            raise _ReaderGone from None

    return sent


class TimedProtocol(H11Protocol):
    """HTTP of uvicorn that closes a connection whose headers do not come; uvicorn itself waits for them without end.

    Args:
        seconds: from the first byte of a request (or the connection) to the end of its headers.
    """

    def __init__(self, *values: Any, seconds: float, **named: Any):
        super().__init__(*values, **named)
        self.seconds = seconds
        self.waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()
        elif self.waiting is None:  # the first bytes of a further request
            self._wait()

    def _wait(self) -> None:
        self.waiting = self.loop.call_later(self.seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self.waiting is not None:
            self.waiting.cancel()
            self.waiting = None

    def _give_up(self) -> None:
        self.waiting = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()
