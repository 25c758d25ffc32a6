"""One progress bar for every job: on stderr, updated often on a terminal, one line a minute in a log file."""

from __future__ import annotations

import sys
from typing import Any

from tqdm import tqdm


def progress_bar(
    iterable: Any = None, *, total: int | None = None, what: str = "", unit: str = "clip", quiet: bool = False
) -> tqdm:
    """Return a tqdm bar.

    Args:
        iterable: what the bar runs over; None: the caller calls ``update``.
        total: number of steps, where ``iterable`` has no length.
        what: one word in front of the bar.
        unit: what one step is.
        quiet: show nothing.
    """
    live = sys.stderr.isatty()
    return tqdm(
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
