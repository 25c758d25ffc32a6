"""Ctrl-C during training: the first one asks the loop to save and stop between two updates, the second stops at once.

Under ``torchrun`` one Ctrl-C arrives twice, from the terminal and handed on by torchrun: what follows within a second is
the same one.
"""

from __future__ import annotations

import signal
import sys
import threading
import time

SAME = 1.0  # seconds


class Interrupt:
    """A context; ``asked`` turns True at the first SIGINT or SIGTERM. Does nothing outside the main thread."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.asked = False
        self.when = 0.0

    def __enter__(self) -> Interrupt:
        self.before = {}
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self._ask) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: object) -> None:
        if self.asked and time.monotonic() - self.when < SAME:
            return
        if self.asked:
            raise KeyboardInterrupt
        self.asked, self.when = True, time.monotonic()
        print("\nsaving at the next weight update, then stopping (once more: stop at once)", file=sys.stderr)
