"""Standard input, output and error of a command: safe to write to, whatever the shell connected them with.

- A name that holds an escape sequence is shown with the escape written out, in every answer and message.
- Standard error that is closed, or on a full disk, costs no work: what cannot be shown is dropped.
- Standard output that cannot be written ends the command with an error; a reader that has gone away (``| head``) ends it
  without one.
- A stream that the shell closed (``>&-``) is replaced by one that leads nowhere, so that no file opened later takes its place.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from auricle.core.errors import AuricleError
from auricle.core.text import printable


class ReaderGoneError(BrokenPipeError):
    """Nobody reads standard output any more."""


class SafeStream:
    """A text stream that writes control characters out. Other methods and attributes are those of ``stream``.

    Args:
        stream: where the text goes.
        keep: control characters that stay.
    """

    def __init__(self, stream: TextIO, keep: str):
        self._stream, self._keep = stream, keep

    def write(self, text: str) -> int:
        try:
            self._stream.write(printable(text, self._keep))
        except OSError as error:
            self._failed(error)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        """Drop what cannot be written."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class AnswerStream(SafeStream):
    """Standard output: what cannot be written is an error."""

    def _failed(self, error: OSError) -> None:
        lead_nowhere(self._stream)
        if isinstance(error, BrokenPipeError):
            raise ReaderGoneError(*error.args) from None
        raise AuricleError(
            f"the answer cannot be written to standard output: {error.strerror or error}; make room, or write it elsewhere"
        ) from None


def lead_nowhere(stream: Any) -> None:
    """Connect a stream with the null device: what it still holds is lost instead of failing again at the end."""
    with suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


@contextmanager
def command_streams() -> Iterator[None]:
    """Make standard output and standard error safe as long as the context lasts."""
    before = sys.stdout, sys.stderr
    _open_closed_descriptors()
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", "") == "strict" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # letters that its encoding lacks become question marks
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        sys.stdout = AnswerStream(sys.stdout or nowhere, "\t\n")  # type: ignore[assignment]
        sys.stderr = SafeStream(sys.stderr or nowhere, "\t\n\r\b")  # type: ignore[assignment]
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before


def _open_closed_descriptors() -> None:
    """Open the null device in place of closed descriptors 0, 1 and 2, which the next opened files would get."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:  # a lower one is free by now: put it where it belongs
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)


def stdin_bytes() -> bytes:
    """Return everything that comes on standard input.

    Raises:
        AuricleError: if it is closed or cannot be read.
    """
    if sys.stdin is None:
        raise AuricleError("standard input is closed: connect it with a pipe or a file, or name files")
    try:
        return sys.stdin.buffer.read()
    except OSError as error:
        raise AuricleError(f"standard input cannot be read: {error.strerror or error}") from None
