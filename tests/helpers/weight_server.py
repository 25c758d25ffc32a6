"""A local HTTP server of one file that does what mirrors do: delivers, stalls, cuts, lies. The path says which."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = bytes(range(256)) * 4000  # about 1 MB
HALF = len(CONTENT) // 2
CUTS = {"cut": 1, "ignores-range": 1, "wrong-range": 1, "stalls": 99, "trickles": 99, "cut-often": 4}
HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
DEMONS = {  # before, piece, seconds between two pieces
    "endless": (CHUNKED, b"10000\r\n" + b"x" * 0x10000 + b"\r\n", 0.0),
    "endless-without-length": (HEAD + b"\r\n", b"x" * 0x10000, 0.0),
    "trickling-status": (b"HTTP/1.", b"1", 0.02),
    "trickling-headers": (HEAD + b"X: ", b"y", 0.02),
    "trickling-chunk-size": (CHUNKED, b"0", 0.02),
    "trickling-trailers": (CHUNKED + b"4\r\nabcd\r\n0\r\n", b"X: y\r\n", 0.02),
    "no-http": (b"SSH-2.0-OpenSSH_9.0\r\n\r\n", b"", 0.0),
    "no-numbers": (HEAD + b"Content-Length: \xb2\xb3\r\n\r\n", b"", 0.0),
    "a-length-of-5000-digits": (HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nabc", b"", 0.0),
    "a-length-beyond-any-disk": (HEAD + b"Content-Length: 999999999999999\r\n\r\nabc", b"", 0.0),
    "a-bad-chunk-size": (CHUNKED + b"zz\r\nabc\r\n", b"", 0.0),
    "a-negative-chunk-size": (CHUNKED + b"-5\r\nabc\r\n", b"", 0.0),
    "to-nowhere": (b"HTTP/1.1 302 Found\r\nLocation: http://\xff..\x00:99999999/\r\n\r\n", b"", 0.0),
    "to-a-local-file": (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", b"", 0.0),
    "to-itself": (b"HTTP/1.1 302 Found\r\nLocation: /to-itself/\r\nContent-Length: 0\r\n\r\n", b"", 0.0),
    "compressed": (HEAD + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", b"", 0.0),
}
RANGES = {
    "a-range-of-5000-digits": "bytes {start}-{last}/" + "9" * 5000,
    "a-range-backwards": "bytes {start}-0/{last}",
    "a-range-beyond-its-end": "bytes {start}-{last}/3",
    "a-range-beyond-any-disk": "bytes {start}-{last}/999999999999999",
    "a-range-of-words": "bytes all/of it",
    "no-range": "",
}


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
        if kind in DEMONS:
            return self.misbehave(kind)
        if kind in RANGES and start:
            return self.lie(RANGES[kind], start)
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

    def misbehave(self, kind: str) -> None:
        """Send what keeps a client busy for ever, a piece every 20 ms or without a pause, or what no client understands."""
        before, piece, pause = DEMONS[kind]
        self.wfile.write(before)
        while piece and not self.server.closing.wait(pause):
            self.wfile.write(piece)

    def lie(self, content_range: str, start: int) -> None:
        """Go on from ``start`` and state another range."""
        self.send_response(206)
        self.send_header("Content-Range", content_range.format(start=start, last=len(self.server.content) - 1))
        self.send_header("Content-Length", str(len(self.server.content) - start))
        self.end_headers()
        self.wfile.write(self.server.content[start:])

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
