"""Find events in scores over time, of windows or of frames, and write them as label tracks for Audacity and Raven."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from auricle.inference.config import EventSettings
from auricle.metrics.events import runs

ROUNDING = 1e-9  # seconds


@dataclass(frozen=True)
class Event:
    """``label`` from ``start`` to ``end`` seconds; ``score`` is the highest one in between."""

    label: str
    start: float
    end: float
    score: float


def find_events(
    scores: np.ndarray,
    spans: np.ndarray,
    labels: Sequence[str],
    settings: EventSettings,
    thresholds: np.ndarray | None = None,
    *,
    overlapping: bool = True,
) -> tuple[Event, ...]:
    """Find the events of a recording.

    Args:
        scores: (n, C) of n windows.
        spans: (n, 2) start and end of each window in seconds.
        labels: the C labels.
        overlapping: the spans are windows, which may overlap; False: what each row decides for, as ``cells`` gives it.
        thresholds: (C,) scores at which events of each class begin; None: ``settings.high`` for all.

    Returns:
        Events by start; of those that start together, the highest score first. A window decides for its ``cells``;
        neighbouring windows with the same label are one event as far as they touch.
    """
    if len(scores) == 0:
        return ()
    edges, events = cells(spans) if overlapping else spans, list[Event]()
    gaps = np.flatnonzero(edges[1:, 0] > edges[:-1, 1] + ROUNDING) + 1  # audio that no window covers
    parts = [slice(a, b) for a, b in zip([0, *gaps], [*gaps, len(edges)])]
    high = [settings.high] * scores.shape[1] if thresholds is None else thresholds.tolist()
    for c in map(int, np.flatnonzero((scores >= np.asarray(high, scores.dtype)).any(0))):
        line = median_filtered(scores[:, c], settings.median or 1)
        for part in parts:
            for first, stop in stretches(line[part], high[c], high[c] * settings.hysteresis):
                start, end = float(edges[part][first, 0]), float(edges[part][stop - 1, 1])
                events.append(Event(labels[c], start, end, float(line[part][first:stop].max())))
    return tuple(sorted(events, key=lambda event: (event.start, -event.score)))


def cells(spans: np.ndarray) -> np.ndarray:
    """Return the part of the recording that each window decides for: up to halfway to its neighbours' centres.

    The first and the last window reach to their own ends, and so do windows that do not touch their neighbour.

    Args:
        spans: (n, 2) start and end of each window in seconds, in order.

    Returns:
        (n, 2) start and end in seconds.
    """
    centres = spans.mean(1)
    halfway = (centres[1:] + centres[:-1]) / 2
    starts = np.concatenate([spans[:1, 0], halfway])
    ends = np.concatenate([halfway, spans[-1:, 1]])
    return np.stack([np.maximum(starts, spans[:, 0]), np.minimum(ends, spans[:, 1])], axis=1)


def median_filtered(line: np.ndarray, width: int) -> np.ndarray:
    """Replace each value of (n,) by the median of ``width`` (odd) values around it; the end values are repeated."""
    if width == 1:
        return line
    padded = np.pad(line, width // 2, mode="edge")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)


def stretches(line: np.ndarray, high: float, low: float) -> Iterator[tuple[int, int]]:
    """Yield [first, stop) of the runs at or above ``low`` that reach ``high`` somewhere."""
    for first, stop in runs(line >= low):
        if line[first:stop].max() >= high:
            yield first, stop


# ---- scores of frames, for detectors that learnt frames: finer in time than windows
LONGEST_GAP = 2.5  # hops between neighbouring frames, one of which may be lost between two windows; more is not covered


class FrameScores(NamedTuple):
    """Scores (T, C) of the frames of one window, and their centres (T,) in seconds from its start."""

    scores: np.ndarray
    times: np.ndarray


def join_frames(parts: Sequence[FrameScores], windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join the frames of overlapping windows: each window gives the frames of the part that it decides for.

    Args:
        parts: of n windows.
        windows: (n, 2) start and end of each window in seconds.

    Returns:
        (m, C) scores, and (m, 2) start and end of the part of the recording that each frame decides for.
    """
    rows, times = [], []
    for part, (start, _), (first, last) in zip(parts, windows, cells(windows), strict=True):
        at = part.times + start
        kept = (at >= first) & (at < last)
        rows.append(part.scores[kept])
        times.append(at[kept])
    scores, centres = np.concatenate(rows), np.concatenate(times)
    order = np.argsort(centres, kind="stable")
    return scores[order], frame_spans(centres[order], float(windows[0, 0]), float(windows[-1, 1]))


def frame_spans(centres: np.ndarray, start: float, end: float) -> np.ndarray:
    """Return the spans (m, 2) of frames by their centres (m,): halfway to the neighbours, up to the ends of the recording."""
    if len(centres) < 2:
        return np.tile([start, end], (len(centres), 1)).astype(np.float64)
    gaps = np.diff(centres)
    hop = float(np.median(gaps))
    middle = (centres[1:] + centres[:-1]) / 2
    near = gaps <= LONGEST_GAP * hop
    starts = np.concatenate([[start], np.where(near, middle, centres[1:] - hop / 2)])
    ends = np.concatenate([np.where(near, middle, centres[:-1] + hop / 2), [end]])
    return np.stack([starts, ends], axis=1)


# ---- label tracks
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
    """Return a label track for Audacity (File, Import, Labels): start, end and label per line, separated by tabs."""
    return "".join(f"{e.start:.6f}\t{e.end:.6f}\t{_plain(e.label)} {e.score:.2f}\n" for e in events)


def raven(events: Sequence[Event], nyquist: float) -> str:
    """Return a Raven selection table with a header. Selections reach from 0 to ``nyquist`` hertz: events have no band."""
    rows = [
        (i, "Spectrogram 1", 1, f"{e.start:.6f}", f"{e.end:.6f}", 0, f"{nyquist:g}", _plain(e.label), f"{e.score:.4f}")
        for i, e in enumerate(events, 1)
    ]
    return "".join("\t".join(map(str, row)) + "\n" for row in (RAVEN_COLUMNS, *rows))


def _plain(label: str) -> str:
    """The text without line breaks and tabs."""
    return " ".join(label.split())


WRITERS = {"audacity": audacity, "raven": raven}
SUFFIXES = {"audacity": ".labels.txt", "raven": ".selections.txt"}
