"""What a progress bar says about a long recording of which a part is done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from auricle.audio.sources import AudioSource
from auricle.core.console import clock, printable
from auricle.core.errors import AuricleError

LONG_SECONDS = 30.0  # of a recording, from which on its progress is shown

OnPart = Callable[[AudioSource, float], None]  # called with a recording and the seconds of it that are done


class PartDone:
    """Calls ``show`` with the share (0 to 1) of a recording that is done, and a text about it.

    Args:
        show: such as the method of a progress bar.
    """

    def __init__(self, show: Callable[[float, str], None]):
        self.show = show
        self.lengths: dict[str, float] = {}

    def __call__(self, source: AudioSource, seconds: float) -> None:
        """Show that ``seconds`` of a recording are done."""
        if seconds < LONG_SECONDS:
            return
        if source.name not in self.lengths:
            self.lengths[source.name] = _length(source)
        length = self.lengths[source.name]
        of = f" of {clock(length)}" if length else ""
        name = printable(Path(source.place or source.name).name)
        self.show(seconds / length if length else 0.0, f"{name} {clock(seconds)}{of}")


def _length(source: AudioSource) -> float:
    """Seconds that the header of a recording declares; 0 if it cannot be read."""
    try:
        return source.length()
    except AuricleError:
        return 0.0
