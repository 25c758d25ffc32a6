"""Events as label tracks that Audacity and Raven open beside the sound."""

from __future__ import annotations

from collections.abc import Sequence

from auricle.inference.events import Event

RAVEN_COLUMNS = (
    "Selection",
    "View",
    "Channel",
    "Begin Time (s)",
    "End Time (s)",
    "Low Freq (Hz)",
    "High Freq (Hz)",
    "Annotation",
    "Score",
)


def audacity(events: Sequence[Event], nyquist: float) -> str:
    """A label track (File, Import, Labels): start, end and label per line, tabs between."""
    return "".join(f"{e.start:.6f}\t{e.end:.6f}\t{_plain(e.label)} {e.score:.2f}\n" for e in events)


def raven(events: Sequence[Event], nyquist: float) -> str:
    """A selection table with a header. Selections reach from 0 to ``nyquist`` hertz: a tagger knows no frequencies."""
    rows = [
        (i, "Spectrogram 1", 1, f"{e.start:.6f}", f"{e.end:.6f}", 0, f"{nyquist:g}", _plain(e.label), f"{e.score:.4f}")
        for i, e in enumerate(events, 1)
    ]
    return "".join("\t".join(map(str, row)) + "\n" for row in (RAVEN_COLUMNS, *rows))


def _plain(label: str) -> str:
    """Without what would break a line or a column."""
    return " ".join(label.split())


WRITERS = {"audacity": audacity, "raven": raven}
SUFFIXES = {"audacity": ".labels.txt", "raven": ".selections.txt"}
