"""HEAR's event tasks: labels of timestamps, and events made of probabilities over timestamps.

Source: [evaluation 7.3](docs/specification/evaluation.md#s7-3), [evaluation 7.4](docs/specification/evaluation.md#s7-4).
Times are milliseconds, spans are in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from auricle.data.manifest.clip_table import Segment
from auricle.metrics.events import FRAME_THRESHOLD, runs

END_SLACK_MS = 0.0001  # an event holds at a timestamp up to this long after its end


@dataclass(frozen=True)
class Decoding:
    """How probabilities become events.

    Attributes:
        median_filter_ms: Length of the median filter over time; 0 for none.
        min_duration_ms: Events whose last timestamp is nearer to the first are dropped.
    """

    median_filter_ms: float = 250.0
    min_duration_ms: float = 125.0

    def __str__(self) -> str:
        return f"median filter {self.median_filter_ms:g} ms, minimum duration {self.min_duration_ms:g} ms"


DEFAULT_DECODINGS = (Decoding(250, 125), Decoding(250, 250))


def decodings(parameters: dict[str, list[float]] | None) -> tuple[Decoding, ...]:
    """Return the decodings of a task's ``event_postprocessing_grid``; HEAR's own grid for None."""
    if not parameters:
        return DEFAULT_DECODINGS
    filters = parameters.get("median_filter_ms") or [DEFAULT_DECODINGS[0].median_filter_ms]
    durations = parameters.get("min_duration") or [d.min_duration_ms for d in DEFAULT_DECODINGS]
    return tuple(Decoding(float(width), float(shortest)) for width, shortest in product(filters, durations))


def timestamp_labels(events: Sequence[Segment], times: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Return which classes hold at each timestamp: (T, C) of 0 and 1.

    Args:
        events: Labelled spans.
        times: (T,) milliseconds.
        classes: The C classes.
    """
    column = {name: i for i, name in enumerate(classes)}
    labels = np.zeros((len(times), len(classes)), np.float32)
    for event in events:
        holds = (times >= 1e3 * event.onset) & (times < 1e3 * event.offset + END_SLACK_MS)
        labels[holds, column[event.label]] = 1
    return labels


def decode_events(
    probabilities: np.ndarray, times: np.ndarray, classes: Sequence[str], decoding: Decoding
) -> tuple[Segment, ...]:
    """Return the events of one clip: runs of timestamps whose filtered probability exceeds one half.

    Args:
        probabilities: (T, C).
        times: (T,) milliseconds, in any order.
        classes: The C classes.
        decoding: Filter and minimum duration.
    """
    order = np.argsort(times, kind="stable")
    values, stamps = probabilities[order], np.asarray(times, np.float64)[order]
    if len(stamps) > 1 and decoding.median_filter_ms:
        from scipy.ndimage import median_filter

        width = round(decoding.median_filter_ms / float(np.mean(np.diff(stamps))))
        values = median_filter(values, size=(width, 1)) if width else values
    events = [
        Segment(float(stamps[first]) / 1e3, float(stamps[stop - 1]) / 1e3, classes[c])
        for c in range(len(classes))
        for first, stop in runs(values[:, c] > FRAME_THRESHOLD)
        if stamps[stop - 1] - stamps[first] >= decoding.min_duration_ms
    ]
    return tuple(sorted(events))
