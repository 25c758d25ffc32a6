"""From scores over time to events: a label, where it begins and ends, and how sure the network was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from auricle.inference.tag_config import EventSettings

ROUNDING = 1e-9  # seconds


@dataclass(frozen=True)
class Event:
    """``label`` from ``start`` to ``end`` seconds; ``score`` is the highest one in between."""

    label: str
    start: float
    end: float
    score: float


def find_events(
    scores: np.ndarray, spans: np.ndarray, labels: Sequence[str], settings: EventSettings
) -> tuple[Event, ...]:
    """scores (n, C) of n windows, spans (n, 2) their first and last second -> events, by start, surest first.

    Each window speaks for its ``cells``; windows in a row that speak for a label are one event, as far as they touch.
    """
    if len(scores) == 0:
        return ()
    edges, found = cells(spans), []
    gaps = np.flatnonzero(edges[1:, 0] > edges[:-1, 1] + ROUNDING) + 1  # sound that no window heard
    heard = [slice(a, b) for a, b in zip([0, *gaps], [*gaps, len(edges)])]
    for c in map(int, np.flatnonzero((scores >= settings.threshold).any(0))):
        line = median_filtered(scores[:, c], settings.median)
        for part in heard:
            for first, stop in stretches(line[part], settings.threshold, settings.low):
                start, end = float(edges[part][first, 0]), float(edges[part][stop - 1, 1])
                found.append(Event(labels[c], start, end, float(line[part][first:stop].max())))
    return tuple(sorted(found, key=lambda event: (event.start, -event.score)))


def cells(spans: np.ndarray) -> np.ndarray:
    """(n, 2) windows in order -> (n, 2) the stretch each speaks for: up to half way to the centres of its neighbours.

    The first and the last window reach to their own ends. Windows that do not touch speak for themselves alone.
    """
    centres = spans.mean(1)
    halfway = (centres[1:] + centres[:-1]) / 2
    starts = np.concatenate([spans[:1, 0], halfway])
    ends = np.concatenate([halfway, spans[-1:, 1]])
    return np.stack([np.maximum(starts, spans[:, 0]), np.minimum(ends, spans[:, 1])], axis=1)


def median_filtered(line: np.ndarray, width: int) -> np.ndarray:
    """(n,) -> (n,): the median of each value and its neighbours, ``width`` (odd) in all; ends are repeated outwards."""
    if width == 1:
        return line
    padded = np.pad(line, width // 2, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)


def stretches(line: np.ndarray, high: float, low: float) -> Iterator[tuple[int, int]]:
    """[first, stop) of the runs at or above ``low`` that reach ``high`` somewhere."""
    edges = np.diff(np.concatenate([[False], line >= low, [False]]).astype(np.int8))
    for first, stop in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)):
        if line[first:stop].max() >= high:
            yield int(first), int(stop)


# Events as label tracks that Audacity and Raven open beside the sound.

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
