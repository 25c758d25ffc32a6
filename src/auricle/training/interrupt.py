"""Ctrl-C during training: the first one asks the loop to save and stop between two updates, the second stops at once.

Under ``torchrun`` one Ctrl-C arrives twice, from the terminal and from torchrun: a second one within a second does not
count.
"""

from __future__ import annotations

import signal
import sys
import threading
import time

REPEAT_SECONDS = 1.0


class Interrupt:
    """A context in which ``requested`` becomes True at the first SIGINT or SIGTERM. Outside the main thread it does nothing."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.requested = False
        self.when = 0.0

    def __enter__(self) -> Interrupt:
        self.before = {}
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.signal(number, self._request) for number in self.SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: object) -> None:
        if self.requested and time.monotonic() - self.when < REPEAT_SECONDS:
            return
        if self.requested:
            raise KeyboardInterrupt
        self.requested, self.when = True, time.monotonic()
        print("\nsaving at the next weight update, then stopping (once more: stop at once)", file=sys.stderr)
