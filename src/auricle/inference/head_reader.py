"""From the logits of a head to labels: of a recording as a whole, or of its windows, with events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import NamedTuple

import numpy as np
from torch import Tensor

from auricle.core.errors import AuricleError, nearest
from auricle.inference.config import EventSettings, TagSettings
from auricle.inference.events import Event, find_events
from auricle.inference.tag_results import FileTags, Tag, WindowTags
from auricle.metrics.events import FRAME_THRESHOLD
from auricle.models.label_space import Detection, LabelSpace


class Scores(NamedTuple):
    """Of n recordings or windows: (n, C) scores of the labels, and (n, C) what thresholds are compared with; None without
    thresholds."""

    rows: np.ndarray
    compared: np.ndarray | None


class Frames(NamedTuple):
    """Of m frames of a recording: (m, C) what thresholds are compared with, and (m, 2) start and end in seconds."""

    scores: np.ndarray
    spans: np.ndarray


class HeadReader:
    """Turns the logits of one head into labels.

    Args:
        space: what the logits mean.
        reported: the indices of the classes that are reported.
        settings, events: of the tagger.

    Attributes:
        labels: the reported classes by name.
        detection: the rule of what is detected; None without thresholds.
    """

    def __init__(self, space: LabelSpace, reported: list[int], settings: TagSettings, events: EventSettings):
        self.space, self.reported, self.settings = space, reported, settings
        self.events = events.with_median(*settings.window_seconds)
        self.frame_events = events.with_median(1.0, 1.0)  # frames do not overlap
        self.labels = tuple(space.names[c] for c in reported)
        self.detection = Detection.of(space, reported, events.threshold)
        everything = reported == list(range(len(space.ids)))
        self._columns = slice(None) if everything else np.array(reported, dtype=int)

    def scores(self, logits: Tensor) -> Scores:
        """Return the scores of (n, C') logits of all classes."""
        whole = self.space.probabilities(logits).cpu().numpy()
        return Scores(whole[:, self._columns], None if self.detection is None else self.detection.scores(whole))

    def join(self, parts: Sequence[Scores]) -> Scores:
        """Return the scores of all windows of batches of them; there may be none."""
        if not parts:
            none = np.zeros((0, len(self.labels)), np.float32)
            return Scores(none, none if self.detection else None)
        compared = [part.compared for part in parts if part.compared is not None]
        return Scores(np.concatenate([part.rows for part in parts]), np.concatenate(compared) if compared else None)

    def whole(self, scores: Scores, files: Sequence[str], seconds: float) -> list[FileTags]:
        """Return the labels of recordings that were scored as a whole, a row each."""
        detected = self._detected(scores.compared, len(files))
        return [
            FileTags(file, seconds, self._top(row), detected=tags)
            for file, row, tags in zip(files, scores.rows, detected)
        ]

    def window(self, start: float, end: float, scores: Scores) -> WindowTags:
        """Return the labels of one window (a single row of scores)."""
        detected = next(self._detected(scores.compared, 1))
        return WindowTags(start, end, self._top(scores.rows[0]), detected)

    def event_scores(self, scores: Scores) -> np.ndarray:
        """Return (n, C) what decides about events."""
        return scores.rows if scores.compared is None else scores.compared

    @property
    def event_thresholds(self) -> np.ndarray:
        """(C,) scores of windows at which events of each class begin."""
        thresholds = self._thresholds(None)
        return np.full(len(self.labels), self.events.high) if thresholds is None else thresholds

    def in_windows(
        self, scores: Scores, times: np.ndarray, file: str, seconds: float, frames: Frames | None = None
    ) -> FileTags:
        """Return the labels and events of a recording that was scored in windows.

        Args:
            times: (n, 2) start and end of each window in seconds.
            frames: scores of frames, in which events are found in place of windows.
        """
        rows, lines = scores.rows, self.event_scores(scores)
        spans = times
        if frames is not None:
            lines, spans = frames
        rule = self.events if frames is None else self.frame_events
        found = find_events(lines, spans, self.labels, rule, self._thresholds(frames), overlapping=frames is None)
        events = tuple(e for e in found if e.score >= self.settings.min_score)
        detected = self._detected(scores.compared, len(rows))
        return FileTags(
            file,
            seconds,
            self._top(rows.max(0)) if len(rows) else (),
            tuple(
                WindowTags(float(start), float(end), self._top(row), tags)
                for (start, end), row, tags in zip(times, rows, detected)
            ),
            events,
            detected=_labels_of(events) if self.detection else None,
        )

    def _thresholds(self, frames: Frames | None) -> np.ndarray | None:
        """Where events of each class begin; None: where the settings say."""
        if self.detection:
            return self.detection.thresholds
        unset = frames is not None and self.events.threshold is None
        return np.full(len(self.labels), FRAME_THRESHOLD) if unset else None

    def _detected(self, compared: np.ndarray | None, count: int) -> Iterator[tuple[Tag, ...] | None]:
        """Yield the detected labels of each of ``count`` rows (C,), the highest score first; None without thresholds."""
        if self.detection is None or compared is None:
            yield from repeat(None, count)
            return
        least = np.maximum(self.detection.thresholds, np.float32(self.settings.min_score))
        for row in compared:
            reached = np.flatnonzero(row >= least)
            yield tuple(Tag(self.labels[c], float(row[c])) for c in reached[np.argsort(-row[reached], kind="stable")])

    def _top(self, scores: np.ndarray) -> tuple[Tag, ...]:
        """(C,) -> the ``top_k`` likeliest, by score; equal scores in the order of the classes."""
        best = np.argsort(-scores, kind="stable")[: self.settings.top_k]
        return tuple(Tag(self.labels[c], float(scores[c])) for c in best if scores[c] >= self.settings.min_score)


def chosen_by_head(spaces: Mapping[str, LabelSpace], only: Sequence[str]) -> dict[str, list[int]]:
    """Return the indices of the classes to report of each head: all but the background, or those with a name or id in ``only``.

    Raises:
        AuricleError: for a label that no head has, with similar ones.
    """
    if not only:
        return {head: list(space.reported) for head, space in spaces.items()}
    chosen: dict[str, set[int]] = {head: set() for head in spaces}
    for label in only:
        names = {label.casefold(), label.strip().casefold()}
        found = {
            head: {c for c in space.reported if {space.ids[c].casefold(), space.names[c].casefold()} & names}
            for head, space in spaces.items()
        }
        if not any(found.values()):
            known = [space.names[c] for space in spaces.values() for c in space.reported]
            raise AuricleError(f"--only: this tagger has no label '{label}'{nearest(label, known)}")
        for head, classes in found.items():
            chosen[head] |= classes
    return {head: sorted(classes) for head, classes in chosen.items()}


def chosen_classes(space: LabelSpace, only: Sequence[str]) -> list[int]:
    """Return the indices of the classes to report of a single head. Raises as ``chosen_by_head``."""
    return chosen_by_head({"": space}, only)[""]


def _labels_of(events: Sequence[Event]) -> tuple[Tag, ...]:
    """The labels of events with their highest scores, the highest first."""
    best: dict[str, float] = {}
    for event in events:
        best[event.label] = max(event.score, best.get(event.label, 0.0))
    return tuple(Tag(label, score) for label, score in sorted(best.items(), key=lambda item: -item[1]))
