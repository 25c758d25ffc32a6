"""Ctrl-C in a command: while modules are imported it ends the process at once, otherwise it is a KeyboardInterrupt.

An interrupted import may end in any exception, or in none, because libraries catch them. While a module is imported no
file is half written that a killed process could not leave too, so the process can end on the spot.
"""

from __future__ import annotations

import os
import signal
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
