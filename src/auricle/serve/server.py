"""Run the application with uvicorn: one process, one event loop; Ctrl-C and SIGTERM end it in order."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from auricle.core.errors import AuricleError
from auricle.serve.patience import TimedProtocol
from auricle.serve.settings import ServeConfig

if TYPE_CHECKING:  # a port in use is told before PyTorch is loaded
    from fastapi import FastAPI

    from auricle.serve.service import Service

SPARE = 50  # connections without a request
BACKLOG = 512  # connections that wait to be accepted
KEEP_ALIVE = 20  # seconds that a connection without requests is kept
SHUTDOWN_SECONDS = 5  # that open requests get to end


class Server(uvicorn.Server):
    """uvicorn, with signals as this program handles them: the first ends it in order, a second one at once.

    Attributes:
        interrupted: True after Ctrl-C.
    """

    def __init__(self, config: uvicorn.Config, service: Service, on_ready: Callable[[], None]):
        super().__init__(config)
        self.service, self.on_ready = service, on_ready
        self.interrupted = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        handled = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.getsignal(number) for number in handled}
        before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}

        def on_signal(number: int, frame: FrameType | None) -> None:
            self.interrupted = self.interrupted or number == signal.SIGINT
            self.service.closing = True  # streams of events end
            self.force_exit = self.should_exit
            self.should_exit = True

        for number in before:
            signal.signal(number, on_signal)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def listen(host: str, port: int | None) -> socket.socket:
    """Open the socket of the server; port None: any that is free.

    Raises:
        AuricleError: the port is in use, or the address is not one of this machine.
    """
    elsewhere = "name an address of this machine, such as 127.0.0.1"
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM)[0]
        opened = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise AuricleError(f"--host {host}: {error}; {elsewhere}") from None
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(BACKLOG)
        opened.set_inheritable(False)
    except OSError as error:
        opened.close()
        if error.errno == errno.EADDRINUSE:
            raise AuricleError(
                f"--port {port} is in use by another program; choose another one, or --port auto for any that is free"
            ) from None
        if error.errno in (errno.EACCES, errno.EPERM):
            raise AuricleError(f"--port {port} needs rights that this user lacks; choose one from 1024 on") from None
        raise AuricleError(f"--host {host}: {error.strerror or error}; {elsewhere}") from None
    return opened


def address_of(config: ServeConfig, opened: socket.socket, token: str | None) -> str:
    """Return the address to open in a browser."""
    port = opened.getsockname()[1]
    host = config.host
    if host in ("0.0.0.0", "::"):
        host = socket.gethostname()
    elif ":" in host:
        host = f"[{host}]"
    return f"http://{host}:{port}/" + (f"?token={token}" if token else "")


def run_server(app: FastAPI, opened: socket.socket, config: ServeConfig, on_ready: Callable[[], None]) -> bool:
    """Answer requests until Ctrl-C or SIGTERM.

    Args:
        on_ready: called when the server answers.

    Returns:
        True if Ctrl-C ended it.
    """
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    settings = uvicorn.Config(
        app,
        http=partial(TimedProtocol, seconds=config.read_timeout),  # type: ignore[arg-type]
        log_config=None,
        access_log=False,
        log_level="error",  # faults of this program; what strangers send is answered, and fills no log
        lifespan="on",
        ws="none",
        proxy_headers=False,
        server_header=False,
        limit_concurrency=2 * config.connections + SPARE,  # Patience refuses earlier, and in JSON
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        backlog=BACKLOG,
    )
    server = Server(settings, app.state.service, on_ready)
    asyncio.run(server.serve([opened]))
    return server.interrupted
