"""Tables over many tagged recordings: which labels there are, per label, per recording, or per hour.

A label counts for the seconds of its events. In a recording that was tagged as a whole it counts for all of it, where it is
detected; by a tagger without thresholds of its own, where its score reaches the threshold of events. Of a model with several heads
the labels are "head: label".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from auricle.audio.recording_time import start_time
from auricle.core.console import clock, printable
from auricle.inference.events import Event
from auricle.inference.tag_results import FileTags

SUMMARIES = ("label", "file", "hour")
SHOWN_LABELS = 3  # of a recording or an hour
HOUR = 3600.0


@dataclass
class Presence:
    """How often a label was found: events, their seconds, the highest score, and the recordings."""

    events: int = 0
    seconds: float = 0.0
    score: float = 0.0
    files: set[str] = field(default_factory=set)

    def add(self, event: Event, file: str, seconds: float) -> None:
        self.events += 1
        self.seconds += seconds
        self.score = max(self.score, event.score)
        self.files.add(file)


@dataclass
class TimePart:
    """What was found in a recording, an hour, or altogether: seconds recorded, and the labels."""

    seconds: float = 0.0
    labels: dict[str, Presence] = field(default_factory=dict)

    def add(self, event: Event, file: str, seconds: float) -> None:
        self.labels.setdefault(event.label, Presence()).add(event, file, seconds)

    def by_length(self) -> list[tuple[str, Presence]]:
        """Labels with the most seconds first."""
        return sorted(self.labels.items(), key=lambda item: (-item[1].seconds, -item[1].score, item[0]))


class TagSummary:
    """Collects results and gives the tables.

    Args:
        threshold: least score of a label of a recording that was tagged as a whole.
    """

    def __init__(self, threshold: float):
        self.threshold = threshold
        self.all = TimePart()
        self.files: dict[str, TimePart] = {}
        self.hours: dict[datetime | int, TimePart] = {}

    def add(self, result: FileTags) -> None:
        """Add the result of a recording."""
        part = self.files.setdefault(result.file, TimePart())
        for whole in (part, self.all):
            whole.seconds += result.seconds
        began = start_time(result.file)
        for hour, start, end in _hours(began, 0.0, result.seconds):
            self.hours.setdefault(hour, TimePart()).seconds += end - start
        for event in self._events(result):
            for whole in (part, self.all):
                whole.add(event, result.file, event.end - event.start)
            for hour, start, end in _hours(began, event.start, event.end):
                self.hours.setdefault(hour, TimePart()).add(event, result.file, end - start)

    def _events(self, result: FileTags) -> Iterator[Event]:
        for name, head in result.by_head().items():
            for event in self._events_of(head):
                yield replace(event, label=f"{name}: {event.label}") if name else event

    def _events_of(self, result: FileTags) -> tuple[Event, ...]:
        if result.events is not None:
            return result.events
        likely = (
            (tag for tag in result.tags if tag.score >= self.threshold) if result.detected is None else result.detected
        )
        return tuple(Event(tag.label, 0.0, result.seconds, tag.score) for tag in likely)

    def table(self, by: str) -> list[tuple[str, ...]]:
        """Return a heading and the rows of the summary per "label", "file" or "hour"."""
        if by == "label":
            return [("label", "events", "time", "recordings", "highest score"), *self._label_rows()]
        if by == "file":
            parts = [(printable(name), part) for name, part in self.files.items()]
            return [("recording", "length", "events", "labels"), *(_row(name, part) for name, part in parts)]
        return [("hour", "recorded", "events", "labels"), *self._hour_rows()]

    def _label_rows(self) -> Iterator[tuple[str, ...]]:
        for label, total in self.all.by_length():
            time, files = clock(total.seconds), f"{len(total.files)} of {len(self.files)}"
            yield printable(label), str(total.events), time, files, f"{total.score:.2f}"

    def _hour_rows(self) -> Iterator[tuple[str, ...]]:
        """Hours of the day first; then those of recordings whose names hold no time, counted from their beginning."""
        times = sorted(hour for hour in self.hours if isinstance(hour, datetime))
        counted = sorted(hour for hour in self.hours if isinstance(hour, int))
        yield from (_row(f"{hour:%Y-%m-%d %H}:00", self.hours[hour]) for hour in times)
        yield from (_row(f"from {hour}:00:00", self.hours[hour]) for hour in counted)

    def text(self, by: str) -> str:
        """Return the table as aligned text."""
        rows = self.table(by)
        widths = [max(map(len, column)) for column in zip(*rows)]
        return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def _hours(began: datetime | None, start: float, end: float) -> Iterator[tuple[datetime | int, float, float]]:
    """Cut seconds ``start`` to ``end`` of a recording at full hours: of the day where it is known when it began."""
    offset = 0.0
    first: datetime | None = None
    if began is not None:
        first = began.replace(minute=0, second=0)
        offset = (began - first).total_seconds()
    at = start
    while True:
        number = int((offset + at) // HOUR)
        until = min(end, (number + 1) * HOUR - offset)
        yield number if first is None else first + timedelta(hours=number), at, until
        if until >= end:
            return
        at = until


def _row(name: str, part: TimePart) -> tuple[str, ...]:
    labels = part.by_length()
    shown = "; ".join(f"{printable(label)} {clock(total.seconds)}" for label, total in labels[:SHOWN_LABELS])
    more = f"; and {len(labels) - SHOWN_LABELS} more" if len(labels) > SHOWN_LABELS else ""
    return name, clock(part.seconds), str(sum(total.events for _, total in labels)), shown + more
