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
