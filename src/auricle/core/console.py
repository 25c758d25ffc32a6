"""What people see of a command: text, its standard streams, and progress bars.

- A name that holds an escape sequence is shown with the escape written out, in every answer and message.
- Standard error that is closed, or on a full disk, costs no work: what cannot be shown is dropped.
- Standard output that cannot be written ends the command with an error; a reader that has gone away (``| head``) ends it
  without one.
- A stream that the shell closed (``>&-``) is replaced by one that leads nowhere, so that no file opened later takes its place.
- There is one progress bar for every job: on standard error, updated often on a terminal, one line a minute in a log file.
  Its steps are also where a long job looks at the load of the machine (``core/devices.py``).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Any, TextIO

from tqdm import tqdm

from auricle.core.devices import recheck
from auricle.core.errors import AuricleError

# Control characters, letters that change the direction or are invisible, and bytes that are no UTF-8 (surrogates).
UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)


def printable(text: str, keep: str = "") -> str:
    r"""Return a text that a terminal shows as it is: a file name may hold an escape sequence, a line break or worse.

    Args:
        text: any text.
        keep: control characters that stay.

    Returns:
        The text with each unsafe character written as ``\u001b`` is, which JSON reads back.

    Example:
        >>> printable("good.wav\x1b[2J")
        'good.wav\\u001b[2J'
    """
    return UNSAFE.sub(lambda match: match[0] if match[0] in keep else _escaped(match[0]), text)


def _escaped(letter: str) -> str:
    code = ord(letter)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def clock(seconds: float, decimals: int = 0) -> str:
    """Return seconds as h:mm:ss, cut (not rounded) to ``decimals``.

    Example:
        >>> clock(3725.96), clock(7.5, 1)
        ('1:02:05', '0:00:07.5')
    """
    units = int(round(seconds * 10**decimals, 3))
    whole, rest = divmod(units, 10**decimals)
    minutes, second = divmod(whole, 60)
    tail = f".{rest:0{decimals}d}" if decimals else ""
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}{tail}"


def number_of(count: int, what: str) -> str:
    """Write a number of things.

    Example:
        >>> number_of(1, "weight update"), number_of(1200, "clip")
        ('1 weight update', '1,200 clips')
    """
    plural = what + ("es" if what.endswith("s") else "s")
    return f"{count:,} {what if count == 1 else plural}"


def short_names(paths: Sequence[str]) -> list[str]:
    """Return the paths of recordings from their common folder on."""
    if not paths:
        return []
    shared = os.path.commonpath([os.path.dirname(path) for path in paths])
    return [os.path.relpath(path, shared) for path in paths]


def listed(names: Sequence[str], most: int = 5) -> str:
    """Write names, separated by commas: the first ``most`` of them, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def audio_length(seconds: float) -> str:
    """Return the length of a recording: "7.25 s" below a minute, else h:mm:ss."""
    return f"{seconds:.2f} s" if seconds < 60 else clock(seconds)


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


class ProgressBar(tqdm):
    """A tqdm bar that adapts the number of threads to the load, and writes a line when it has changed."""

    n: float

    def __iter__(self) -> Iterator[Any]:
        for item in super().__iter__():
            self._look_at_load()
            yield item

    def update(self, n: float | None = 1) -> bool | None:
        self._look_at_load()
        return super().update(n)

    @property
    def format_dict(self) -> dict[str, Any]:
        """The numbers of the line; a part of a step is shown with two decimals."""
        return super().format_dict | {"n": round(self.n, 2)}

    def show_part(self, part: float, text: str = "") -> None:
        """Show that the present step is done in part: a long recording takes an hour and is one step.

        Args:
            part: from 0 to 1.
            text: words behind the bar.
        """
        self.set_postfix_str(text, refresh=False)
        done = int(self.n) + min(max(part, 0.0), 0.99)
        if done > self.n:
            self.update(done - self.n)

    def finish_step(self) -> None:
        """Go on to the next whole step."""
        self.set_postfix_str("", refresh=False)
        whole = int(self.n) + 1
        self.update(whole - self.n)
        self.n = whole if not self.disable else self.n

    def pause(self) -> AbstractContextManager[None]:
        """Return a context for printing: on a terminal the bar is removed, and drawn again below the printed lines."""
        return self.external_write_mode() if sys.stderr.isatty() else nullcontext()

    def _look_at_load(self) -> None:
        change = recheck()
        if change and not self.disable:
            self.write(change, file=self.fp)


def progress_bar(
    iterable: Any = None, *, total: int | None = None, what: str = "", unit: str = "clip", quiet: bool = False
) -> ProgressBar:
    """Return a progress bar.

    Args:
        iterable: what the bar runs over; None: the caller calls ``update``.
        total: number of steps, where ``iterable`` has no length.
        what: one word in front of the bar.
        unit: what one step is.
        quiet: show nothing.
    """
    live = sys.stderr.isatty()
    return ProgressBar(
        iterable,
        total=total,
        desc=what,
        unit=unit,
        file=sys.stderr,
        disable=quiet or total == 0,
        dynamic_ncols=live,
        mininterval=0.2 if live else 60.0,
        maxinterval=10.0 if live else 120.0,
        leave=True,
    )


UNITS = ((86400 * 365.25, "years"), (86400.0, "days"), (3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
FROM = {"years": 2, "days": 3, "hours": 1.5, "minutes": 1.5, "seconds": 0.0}  # of the unit; below, the next smaller one


def duration(seconds: float) -> str:
    """Write a length of time in a unit that fits: "45.0 seconds", "3.2 hours", "95.1 days"."""
    size, unit = next((size, unit) for size, unit in UNITS if seconds >= FROM[unit] * size or unit == "seconds")
    return f"{seconds / size:.1f} {unit}"
