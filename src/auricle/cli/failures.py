"""What the verbs that go over many files say about those that could not be used."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Protocol

SHOWN = 10


class Failed(Protocol):
    @property
    def error(self) -> str: ...


def report_failures(failed: Sequence[Failed], where: str = "") -> None:
    """The first ones on stderr, and how many more (``where`` they are listed)."""
    for item in failed[:SHOWN]:
        print(f"failed: {item.error}", file=sys.stderr)
    if len(failed) > SHOWN:
        print(f"failed: and {len(failed) - SHOWN} more{f', all in {where}' if where else ''}", file=sys.stderr)
