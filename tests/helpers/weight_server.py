"""A local HTTP server of one file that does what mirrors do: delivers, stalls, cuts, lies. The path says which."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = bytes(range(256)) * 4000  # about 1 MB
HALF = len(CONTENT) // 2
CUTS = {"cut": 1, "ignores-range": 1, "wrong-range": 1, "stalls": 99, "trickles": 99, "cut-often": 4}


class Handler(BaseHTTPRequestHandler):
    """``/good``, ``/cut`` (once), ``/cut-often`` (four times), ``/ignores-range`` (cut once) …

    ``server.requests`` notes kinds and ranges asked for.
    """

    server: Mirror

    def do_GET(self) -> None:
        kind, asked = self.path.strip("/").split("/")[0], self.headers.get("Range", "")
        self.server.requests.append((kind, asked))
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.answer(kind, start, self.server.count(kind))

    def answer(self, kind: str, start: int, number: int) -> None:
        if kind == "missing":
            return self.send_error(404)
        if kind == "html":
            return self.begin(200, b"<!DOCTYPE html><p>please log in</p>", kind="text/html")
        if kind == "html-unsaid":
            return self.begin(200, b"\n<!DOCTYPE html><p>please log in</p>")
        if kind == "short":
            return self.begin(200, self.server.content[:HALF])
        if kind == "wrong":
            return self.begin(200, bytes(len(self.server.content)))
        if kind == "empty":
            return self.begin(200, b"")
        if start == len(self.server.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(self.server.content)}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if kind == "ignores-range":
            start = 0
        shift = 7 if kind == "wrong-range" and start else 0
        self.head(start, shift)
        self.body(kind, start, number)

    def head(self, start: int, shift: int) -> None:
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(self.server.content) - start))
        self.send_header("ETag", '"one"')
        if start:
            self.send_header(
                "Content-Range", f"bytes {start + shift}-{len(self.server.content) - 1}/{len(self.server.content)}"
            )
        self.end_headers()

    def body(self, kind: str, start: int, number: int) -> None:
        """``number`` counts the requests of this kind from 1."""
        cuts = number <= CUTS.get(kind, 0)
        stop = start + (len(self.server.content) - start) // 2 if cuts else len(self.server.content)
        if start and kind in ("stalls", "trickles"):
            stop = start
        self.wfile.write(self.server.content[start:stop])
        self.wfile.flush()
        if kind == "stalls":
            self.server.closing.wait(60)
        while kind == "trickles" and stop < len(self.server.content) and not self.server.closing.wait(0.05):
            self.wfile.write(self.server.content[stop : stop + 1])
            stop += 1

    def begin(self, status: int, content: bytes, kind: str = "application/octet-stream") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def handle(self) -> None:
        with suppress(ConnectionError):  # the client gave up, as it should
            super().handle()

    def log_message(self, *_: object) -> None:
        """Quiet."""


class Mirror(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = content
        self.requests: list[tuple[str, str]] = []
        self.closing = threading.Event()

    def url(self, kind: str, name: str = "file.pt") -> str:
        return f"http://127.0.0.1:{self.server_port}/{kind}/{name}"

    def count(self, kind: str) -> int:
        return sum(1 for seen, _ in self.requests if seen == kind)


@contextmanager
def mirror(content: bytes = CONTENT) -> Iterator[Mirror]:
    server = Mirror(content)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
