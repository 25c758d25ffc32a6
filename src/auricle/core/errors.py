"""Errors that a user can act on. All other exceptions are faults of this program and keep their traceback."""

import json
import re

OF_CONVERSION = re.compile(
    r"invalid literal|could not convert|cannot convert|(not enough|too many) values|dictionary update|\d+ is not in range"
)
OUT_OF_MEMORY = re.compile("can't allocate memory|out of memory")  # in the exceptions of PyTorch


LONGEST_MESSAGE = 4000  # characters


def _shortened(message: str) -> str:
    if len(message) <= LONGEST_MESSAGE:
        return message
    half = LONGEST_MESSAGE // 2
    return f"{message[:half]} … ({len(message) - 2 * half:,} characters left out) … {message[-half:]}"


class AuricleError(ValueError):
    """An invalid request. The message states what was found, what was expected and what to do.

    The command line prints it without a traceback and exits with 2. A message repeats what a file holds, which may be a
    megabyte: of a longer one than ``LONGEST_MESSAGE`` the beginning and the end are kept.
    """

    def __init__(self, message: str = "", *more: object):
        super().__init__(_shortened(message) if isinstance(message, str) else message, *more)


class AudioError(AuricleError):
    """One audio file cannot be used. Over a folder it is counted and reported at the end, and the run goes on."""


class MissingExtra(AuricleError, ImportError):
    """An optional package is not installed. The message holds the install command."""

    def __init__(self, what: str, extra: str):
        super().__init__(f"{what} needs the [{extra}] extra: pip install 'auricle[{extra}]'")


def is_out_of_memory(error: BaseException) -> bool:
    """Return True for the exceptions with which Python, NumPy and PyTorch say that memory ran out."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and bool(OUT_OF_MEMORY.search(str(error)))
    )


def first_line(error: BaseException) -> str:
    """Return the first line of what a library says; without text, the kind of the error."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def content_fault(error: BaseException) -> str:
    """Return why the content of a file of this program cannot be used, in words, from whatever reading it raised."""
    if isinstance(error, json.JSONDecodeError):
        return f"no JSON from line {error.lineno}, column {error.colno} on"
    if isinstance(error, UnicodeDecodeError):
        return "the text is not UTF-8"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    if isinstance(error, OSError):
        return error.strerror or first_line(error)
    if isinstance(error, KeyError) and error.args:
        return f"'{error.args[0]}' is missing"
    other = isinstance(error, (TypeError, AttributeError, LookupError, ArithmeticError))
    return "a value of another kind than expected" if other or OF_CONVERSION.match(str(error)) else first_line(error)


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """Return the end of a message about an unknown name: similar names, or all names of a short list, or ""."""
    import difflib

    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"; did you mean {', '.join(close)}?"
    return f"; known: {', '.join(known)}" if 0 < len(known) <= 20 else ""
