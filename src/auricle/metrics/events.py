"""Scores of labelled spans, as sed_eval defines them: by segments of fixed length, and event by event.

Spans are ``Segment`` (onset and offset in seconds, label), one list per recording. ``auricle.metrics.table`` gives the scores
names. HEAR's event tasks use them ([evaluation 7.4](docs/specification/evaluation.md#s7-4)).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from auricle.core.errors import AuricleError
from auricle.data.manifest.clip_table import Segment

Spans = Sequence[Sequence[Segment]]
SEGMENT_SECONDS = 1.0
COLLAR_SECONDS = 0.2
ONSET_COLLAR_SECONDS = 0.05  # of HEAR's stricter scores, as transcriptions of music are scored
FRAME_THRESHOLD = (
    0.5  # of the probability of a frame, from which on a class holds in it; of frames without other thresholds
)
OFFSET_SHARE = 0.2  # of the event's length, by which its end may be off where that is more than the collar


class SpanCounts(NamedTuple):
    """Counts of each class over all recordings; a class without any is left out.

    Attributes:
        hits: Predicted and true.
        predicted: Predicted segments or events.
        true: True segments or events.
    """

    hits: Counter[str]
    predicted: Counter[str]
    true: Counter[str]

    def f(self) -> float:
        """Return F over all classes together (micro average); NaN where nothing is true and nothing is predicted."""
        return _f(self.hits.total(), self.predicted.total(), self.true.total())

    def mean_f(self) -> float:
        """Return the mean F of the classes that occur (macro average); NaN where none does."""
        values = [_f(self.hits[name], self.predicted[name], self.true[name]) for name in self.true if self.true[name]]
        return float(np.mean(values)) if values else float("nan")

    def of_class(self, name: str) -> float:
        """Return F of one class; NaN where it is neither true nor predicted."""
        return _f(self.hits[name], self.predicted[name], self.true[name])


def _f(hits: int, predicted: int, true: int) -> float:
    return 2 * hits / (predicted + true) if predicted + true else float("nan")


def segment_counts(predictions: Spans, truth: Spans, seconds: float = SEGMENT_SECONDS) -> SpanCounts:
    """Count segments of ``seconds`` in which a class holds: every segment that one of its spans touches.

    Args:
        predictions, truth: Spans of each recording, in the same order.
        seconds: Length of a segment.
    """
    counts = SpanCounts(Counter(), Counter(), Counter())
    for predicted, true in _pairs(predictions, truth):
        found, real = _touched(predicted, seconds), _touched(true, seconds)
        for part, cells in zip(counts, (found & real, found, real)):
            part.update(label for label, _ in cells)
    return counts


def _touched(spans: Sequence[Segment], seconds: float) -> set[tuple[str, int]]:
    """The segments (label, number) that spans touch, from the one with the onset to the one before the offset."""
    return {
        (span.label, number)
        for span in spans
        for number in range(int(np.floor(span.onset / seconds)), int(np.ceil(span.offset / seconds)))
    }


def event_counts(
    predictions: Spans, truth: Spans, collar: float = COLLAR_SECONDS, offset_share: float | None = OFFSET_SHARE
) -> SpanCounts:
    """Count events that are found: onset within ``collar``, offset within ``collar`` or a share of the true length.

    Each event is paired at most once, so that there are as many pairs as possible.

    Args:
        predictions, truth: Spans of each recording, in the same order.
        collar: Seconds.
        offset_share: Share of the true event's length; None: the offset does not count.
    """
    counts = SpanCounts(Counter(), Counter(), Counter())
    for predicted, true in _pairs(predictions, truth):
        counts.predicted.update(span.label for span in predicted)
        counts.true.update(span.label for span in true)
        for label in {span.label for span in true}:
            found = [span for span in predicted if span.label == label]
            real = [span for span in true if span.label == label]
            counts.hits[label] += _most_pairs(found, real, collar, offset_share)
    return counts


def _most_pairs(found: Sequence[Segment], real: Sequence[Segment], collar: float, offset_share: float | None) -> int:
    """The largest number of pairs of events that match."""
    if not found or not real:
        return 0
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    a, b = (np.array([(span.onset, span.offset) for span in spans]) for spans in (found, real))
    near = np.abs(a[:, None, 0] - b[None, :, 0]) <= collar
    if offset_share is not None:
        near &= np.abs(a[:, None, 1] - b[None, :, 1]) <= np.maximum(collar, offset_share * (b[:, 1] - b[:, 0]))
    return int((maximum_bipartite_matching(csr_array(near)) >= 0).sum())


def _pairs(predictions: Spans, truth: Spans) -> Iterator[tuple[Sequence[Segment], Sequence[Segment]]]:
    if len(predictions) != len(truth):
        raise AuricleError(f"the spans of {len(predictions)} recordings cannot be scored against those of {len(truth)}")
    return zip(predictions, truth)


def segment_f(predictions: Spans, truth: Spans) -> float:
    """Return F of segments of one second over all classes together."""
    return segment_counts(predictions, truth).f()


def event_f(predictions: Spans, truth: Spans) -> float:
    """Return F of events over all classes together, with a collar of 200 ms."""
    return event_counts(predictions, truth).f()


def onset_f(predictions: Spans, truth: Spans) -> float:
    """Return F of events over all classes together by their onsets alone, with a collar of 200 ms (HEAR)."""
    return event_counts(predictions, truth, offset_share=None).f()


def onset_f_50ms(predictions: Spans, truth: Spans) -> float:
    """Return F of events over all classes together by their onsets alone, with a collar of 50 ms (HEAR)."""
    return event_counts(predictions, truth, ONSET_COLLAR_SECONDS, offset_share=None).f()


def event_f_50ms(predictions: Spans, truth: Spans) -> float:
    """Return F of events over all classes together by onset and offset, with a collar of 50 ms (HEAR)."""
    return event_counts(predictions, truth, ONSET_COLLAR_SECONDS).f()


def segment_error_rate(predictions: Spans, truth: Spans) -> float:
    """Return the error rate of segments of one second, lower is better; NaN where nothing is true.

    In each segment a missed class and one that was predicted in its place count as one substitution. The rate is the number of
    substitutions, deletions and insertions over the number of true classes of all segments, as sed_eval has it.
    """
    errors = true_cells = 0
    for predicted, true in _pairs(predictions, truth):
        found, real = _touched(predicted, SEGMENT_SECONDS), _touched(true, SEGMENT_SECONDS)
        missed, wrong = (Counter(number for _, number in cells) for cells in (real - found, found - real))
        errors += sum(max(missed[number], wrong[number]) for number in missed | wrong)
        true_cells += len(real)
    return errors / true_cells if true_cells else float("nan")


def mean_segment_f(predictions: Spans, truth: Spans) -> float:
    """Return the mean F of segments of one second of the classes that occur."""
    return segment_counts(predictions, truth).mean_f()


def mean_event_f(predictions: Spans, truth: Spans) -> float:
    """Return the mean F of events of the classes that occur, with a collar of 200 ms."""
    return event_counts(predictions, truth).mean_f()


def scores_by_class(predictions: Spans, truth: Spans) -> dict[str, dict[str, float]]:
    """Return for each class that occurs or is predicted its segment F, event F, onset F, and the events of both.

    Args:
        predictions, truth: Spans of each recording, in the same order.

    Example:
        scores_by_class([[Segment(0.1, 2.0, "dog")]], [[Segment(0.0, 2.0, "dog")]])["dog"]["event_f"]  # 1.0
    """
    segments, counted = segment_counts(predictions, truth), event_counts(predictions, truth)
    onsets = event_counts(predictions, truth, offset_share=None)
    return {
        name: {
            "segment_f": segments.of_class(name),
            "event_f": counted.of_class(name),
            "onset_f": onsets.of_class(name),
            "events": counted.true[name],
            "found": counted.predicted[name],
        }
        for name in sorted(counted.true.keys() | counted.predicted.keys())
    }


# ---- from frames to spans


def spans_of(active: np.ndarray, edges: np.ndarray, labels: Sequence[str]) -> tuple[Segment, ...]:
    """Return the spans in which classes hold: runs of neighbouring frames.

    Args:
        active: (T, C) bool.
        edges: (T, 2) start and end of each frame in seconds, in order.
        labels: The C classes.
    """
    spans = []
    for c in map(int, np.flatnonzero(active.any(0))):
        for first, stop in runs(active[:, c]):
            spans.append(Segment(float(edges[first, 0]), float(edges[stop - 1, 1]), labels[c]))
    return tuple(sorted(spans))


def runs(line: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield [first, stop) of the runs of True in (n,) bool."""
    edges = np.diff(np.concatenate([[False], line, [False]]).astype(np.int8))
    yield from zip(map(int, np.flatnonzero(edges == 1)), map(int, np.flatnonzero(edges == -1)))
