"""PSDS, the polyphonic sound detection score: events that are found against false alarms, over all thresholds.

Source: Bilen et al. 2020, A Framework for the Robust Evaluation of Sound Event Detection, sections 3 and 4
([arXiv 1910.08440](https://arxiv.org/abs/1910.08440)); the two scenarios are those of task 4 of DCASE 2021. The values are those of
``psds_eval``, which does not compute beside pandas 3.

    detections = [detections_of_scores(scores, edges, labels) for scores, edges in recordings]
    psds(detections, truth, seconds).value
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from auricle.core.errors import AuricleError
from auricle.data.manifest.clip_table import Segment
from auricle.metrics.events import Spans

HOUR = 3600.0  # seconds: false alarms are counted by the hour
THRESHOLDS = 50  # as the programs of DCASE have it
ROUNDING = 1e-9  # of shares that are compared with a tolerance

Detections = Mapping[str, np.ndarray]  # of one recording: by class (n, 3) number of the threshold, onset, offset


@dataclass(frozen=True)
class PSDSSettings:
    """Which detections are right, and what false ones cost.

    Attributes:
        dtc: a detection is right if at least this share of it lies in true events of its class.
        gtc: an event is found if right detections cover at least this share of it.
        cttc: a wrong detection is a cross-trigger of another class if at least this share of it lies in that one's events.
        alpha_ct: weight of cross-triggers beside other false alarms.
        alpha_st: weight of the standard deviation over the classes.
        e_max: false alarms an hour up to which the curve is taken.
    """

    dtc: float
    gtc: float
    cttc: float
    alpha_ct: float
    alpha_st: float
    e_max: float = 100.0


SCENARIOS = {
    "psds1": PSDSSettings(0.7, 0.7, 0.3, alpha_ct=0.0, alpha_st=1.0),  # events are placed exactly
    "psds2": PSDSSettings(0.1, 0.1, 0.3, alpha_ct=0.5, alpha_st=1.0),  # classes are not confused
}


@dataclass(frozen=True)
class PSDS:
    """The score and its curve.

    Attributes:
        value: area under the curve up to ``e_max`` false alarms an hour, from 0 to 1; NaN without true events.
        false_alarms: (n,) effective false alarms an hour, in order.
        found: (n,) share of the events that is found there: the mean over the classes less the weighted deviation.
        classes: those that have true events; others do not count.
        by_class: the same area of each class alone.
    """

    value: float
    false_alarms: np.ndarray
    found: np.ndarray
    classes: tuple[str, ...]
    by_class: dict[str, float]


def detections_of_scores(
    scores: np.ndarray, edges: np.ndarray, labels: Sequence[str], thresholds: int = THRESHOLDS
) -> Detections:
    """Return the detections of a recording at thresholds evenly between 0 and 1: runs of frames at or above each.

    Args:
        scores: (T, C) probabilities.
        edges: (T, 2) start and end of each frame in seconds, in order.
        labels: the C classes.
        thresholds: their number.
    """
    levels = (np.arange(thresholds) + 0.5) / thresholds
    found = {}
    for c, label in enumerate(labels):
        active = np.zeros((thresholds, len(scores) + 2), np.int8)
        active[:, 1:-1] = scores[:, c] >= levels[:, None]
        steps = np.diff(active, axis=1)
        (point, first), (_, stop) = np.nonzero(steps == 1), np.nonzero(steps == -1)
        if len(point):
            found[label] = np.stack([point, edges[first, 0], edges[stop - 1, 1]], axis=1)
    return found


def detections_of_points(points: Sequence[Sequence[Segment]]) -> Detections:
    """Return the detections of a recording from its events at each threshold; events of a class that overlap are one."""
    found: dict[str, list[tuple[int, float, float]]] = {}
    for point, events in enumerate(points):
        for label in {event.label for event in events}:
            spans = united([event for event in events if event.label == label])
            found.setdefault(label, []).extend((point, onset, offset) for onset, offset in spans)
    return {label: np.array(rows, dtype=np.float64) for label, rows in found.items()}


def united(events: Sequence[Segment]) -> np.ndarray:
    """Return the spans (n, 2) that events cover, in order; those of no length are left out."""
    spans: list[list[float]] = []
    for onset, offset in sorted((event.onset, event.offset) for event in events if event.offset > event.onset):
        if spans and onset < spans[-1][1]:
            spans[-1][1] = max(spans[-1][1], offset)
        else:
            spans.append([onset, offset])
    return np.array(spans).reshape(-1, 2)


def psds(
    detections: Sequence[Detections],
    truth: Spans,
    seconds: Sequence[float],
    settings: PSDSSettings = SCENARIOS["psds1"],
) -> PSDS:
    """Compute the score of recordings.

    Args:
        detections: of each recording, at the same thresholds.
        truth: true events of each recording, in the same order; those of a class that overlap are one.
        seconds: length of each recording.
        settings: a value of ``SCENARIOS``, or others.

    Raises:
        AuricleError: for lists of different lengths.

    Example:
        points = [[Segment(0.1, 2.0, "dog")], []]  # at two thresholds
        psds([detections_of_points(points)], [[Segment(0.0, 2.0, "dog")]], [10.0]).value  # 1.0
    """
    if not len(detections) == len(truth) == len(seconds):
        raise AuricleError(
            f"detections, true events and lengths of recordings are as many, not {len(detections)}, {len(truth)} and {len(seconds)}"
        )
    real = [{label: united([e for e in events if e.label == label]) for label in _labels(events)} for events in truth]
    classes = tuple(sorted({label for spans in real for label, rows in spans.items() if len(rows)}))
    if not classes:
        return PSDS(float("nan"), np.zeros(1), np.zeros(1), (), {})
    points = 1 + max((int(rows[:, 0].max()) for found in detections for rows in found.values() if len(rows)), default=0)
    found, false, crossed = _counts(detections, real, classes, points, settings)
    events = np.array([sum(len(spans.get(name, ())) for spans in real) for name in classes])
    lengths = np.array([sum(np.diff(spans[name]).sum() for spans in real if name in spans) for name in classes])
    alarms = false * HOUR / float(np.sum(seconds))
    if len(classes) > 1:
        crosses = (crossed * HOUR / lengths[None, :, None]).sum(1) / (len(classes) - 1)
        alarms = alarms + settings.alpha_ct * crosses
    return _area(classes, found / events[:, None], alarms, settings)


def _labels(events: Sequence[Segment]) -> set[str]:
    return {event.label for event in events}


def _counts(
    detections: Sequence[Detections],
    real: Sequence[Mapping[str, np.ndarray]],
    classes: Sequence[str],
    points: int,
    settings: PSDSSettings,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return events that are found (C, P), false alarms (C, P), and cross-triggers (C, C, P) of true classes in the second axis."""
    count, index = len(classes), {name: c for c, name in enumerate(classes)}
    found, false, crossed = np.zeros((count, points)), np.zeros((count, points)), np.zeros((count, count, points))
    for given, spans in zip(detections, real):
        for name, rows in given.items():
            rows = rows[rows[:, 2] > rows[:, 1]]
            if name not in index or not len(rows):
                continue
            c = index[name]
            point, lengths, own = rows[:, 0].astype(np.int64), rows[:, 2] - rows[:, 1], spans.get(name)
            right = np.zeros(len(rows), bool)
            if own is not None and len(own):
                inside = _overlaps(rows[:, 1:], own)
                right = _reaches(inside.sum(1) / lengths, settings.dtc)
                covered = np.zeros((points, len(own)))
                np.add.at(covered, point[right], inside[right])
                found[c] += _reaches(covered / np.diff(own)[:, 0], settings.gtc).sum(1)
            np.add.at(false[c], point[~right], 1)
            for other, others in spans.items():
                if other != name and other in index and not right.all():
                    share = _overlaps(rows[~right, 1:], others).sum(1) / lengths[~right]
                    crosses = _reaches(share, settings.cttc) & (share > 0)
                    np.add.at(crossed[c, index[other]], point[~right][crosses], 1)
    return found, false, crossed


def _overlaps(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the seconds (n, m) that spans (n, 2) and (m, 2) share."""
    ends = np.minimum(first[:, None, 1], second[None, :, 1])
    return np.maximum(ends - np.maximum(first[:, None, 0], second[None, :, 0]), 0.0)


def _reaches(share: np.ndarray, wanted: float) -> np.ndarray:
    return share >= wanted - ROUNDING


def _area(classes: Sequence[str], found: np.ndarray, alarms: np.ndarray, settings: PSDSSettings) -> PSDS:
    """Return the score of shares found and effective false alarms (C, P)."""
    places = np.unique(np.append(alarms, 0.0))
    curves = np.stack([_best_up_to(places, x, y) for x, y in zip(alarms, found)])
    curve = np.maximum(curves.mean(0) - settings.alpha_st * curves.std(0), 0.0)
    widths = np.diff(np.append(places, np.inf).clip(max=settings.e_max))
    areas = (curves * widths).sum(1) / settings.e_max
    value = float((curve * widths).sum() / settings.e_max)
    return PSDS(value, places, curve, tuple(classes), dict(zip(classes, map(float, areas))))


def _best_up_to(places: np.ndarray, alarms: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the largest share that is found at each number of false alarms or fewer."""
    best = np.zeros(len(places))
    np.maximum.at(best, np.searchsorted(places, alarms), found)
    return np.maximum.accumulate(best)
