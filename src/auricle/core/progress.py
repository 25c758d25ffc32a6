"""One progress bar for every job: on stderr, updated often on a terminal, one line a minute in a log file.

A bar's steps are also where a long job looks at the load of the machine (``core/devices.py``).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from tqdm import tqdm

from auricle.core.devices import recheck


class ProgressBar(tqdm):
    """A tqdm bar that adapts the number of threads to the load, and writes a line when it has changed."""

    def __iter__(self) -> Iterator[Any]:
        for item in super().__iter__():
            self._look_at_load()
            yield item

    def update(self, n: float | None = 1) -> bool | None:
        self._look_at_load()
        return super().update(n)

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
        disable=quiet,
        dynamic_ncols=live,
        mininterval=0.2 if live else 60.0,
        maxinterval=10.0 if live else 120.0,
        leave=True,
    )
