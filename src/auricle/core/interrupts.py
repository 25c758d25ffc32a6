"""Ctrl-C in a command: while modules are imported it ends the process at once, otherwise it is a KeyboardInterrupt.

An interrupted import may end in any exception, or in none, because libraries catch them. While a module is imported no
file is half written that a killed process could not leave too, so the process can end on the spot.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

EXIT_INTERRUPTED = 130
IMPORTING = "<frozen importlib"  # the file name of a frame that imports


def install() -> None:
    """Handle Ctrl-C as described, unless whoever started this process ignores or handles it already."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _on_interrupt)


def uninstall() -> None:
    """Let Ctrl-C end the process silently: the work is done, and the interpreter cleans up."""
    if signal.getsignal(signal.SIGINT) is _on_interrupt:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def ends_by(stop: Callable[[], None]) -> Iterator[None]:
    """Let the first Ctrl-C, or SIGTERM, call ``stop`` in place of an exception, so that what is going on is finished.

    A second one is a KeyboardInterrupt. Outside the main thread, and where signals are ignored, nothing changes.
    """
    handled = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.getsignal(number) for number in handled}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def on_signal(number: int, frame: FrameType | None) -> None:
        restore()
        stop()

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        restore()


def _on_interrupt(number: int, frame: FrameType | None) -> NoReturn:
    while frame is not None:
        if frame.f_code.co_filename.startswith(IMPORTING):
            _end()
        frame = frame.f_back
    raise KeyboardInterrupt


def _end() -> NoReturn:
    try:
        os.write(2, b"\ninterrupted\n")
    finally:
        os._exit(EXIT_INTERRUPTED)
