"""The forms in which the labels of recordings are written: JSON, tables and label tracks. ``auricle tag`` prints them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import NamedTuple

from auricle.inference.events import SUFFIXES, WRITERS
from auricle.inference.tag_results import FileTags

CSV_COLUMNS = ("file", "start", "end", "label", "score")
EVENT_COLUMNS = (*CSV_COLUMNS, "clock")


def csv_header(*, detects: bool, several_heads: bool) -> tuple[str, ...]:
    """Return the columns of ``csv_rows``.

    Args:
        detects: the tagger has thresholds: a column says whether a label is detected.
        several_heads: a column names the head.
    """
    return (*CSV_COLUMNS, *(("detected",) if detects else ()), *(("head",) if several_heads else ()))


def csv_rows(result: FileTags, *, detects: bool, several_heads: bool) -> Iterator[tuple[str, ...]]:
    """Yield a row of ``csv_header`` per window (or recording) and label."""
    for head, part in result.by_head().items():
        name = (head,) if several_heads else ()
        for file, start, end, label, score, detected in part.rows():
            answer = (("yes" if detected else "no"),) if detects else ()
            yield (file, f"{start:.3f}", f"{end:.3f}", label, f"{score:.6f}", *answer, *name)


def event_header(*, several_heads: bool) -> tuple[str, ...]:
    """Return the columns of ``event_rows``."""
    return (*EVENT_COLUMNS, *(("head",) if several_heads else ()))


def event_rows(result: FileTags, *, several_heads: bool) -> Iterator[tuple[str, ...]]:
    """Yield a row of ``event_header`` per event."""
    for head, part in result.by_head().items():
        name = (head,) if several_heads else ()
        for file, start, end, label, score, clock in part.event_rows():
            yield (file, f"{start:.3f}", f"{end:.3f}", label, f"{score:.6f}", clock, *name)


class TagFormat(NamedTuple):
    """A form of the labels of one recording.

    Attributes:
        title: what it is.
        suffix: of its files.
        media_type: of HTTP.
        write: (result, half the sample rate in hertz) to text.
    """

    title: str
    suffix: str
    media_type: str
    write: Callable[[FileTags, float], str]


def _table(header: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def _json(result: FileTags, _: float) -> str:
    return json.dumps(result.to_json(time_line=True), indent=1) + "\n"


def _csv(result: FileTags, _: float) -> str:
    detects = any(part.detected is not None for part in result.by_head().values())
    form = {"detects": detects, "several_heads": bool(result.heads)}
    return _table(csv_header(**form), csv_rows(result, **form))


def _csv_events(result: FileTags, _: float) -> str:
    several = bool(result.heads)
    return _table(event_header(several_heads=several), event_rows(result, several_heads=several))


def _track(kind: str) -> Callable[[FileTags, float], str]:
    return lambda result, nyquist: WRITERS[kind](result.with_heads_joined().events or (), nyquist)


FORMATS = {
    "json": TagFormat("JSON: labels, events and windows", ".json", "application/json", _json),
    "csv": TagFormat("Table of windows (CSV)", ".csv", "text/csv", _csv),
    "csv-events": TagFormat("Table of events (CSV)", ".events.csv", "text/csv", _csv_events),
    "audacity": TagFormat("Label track for Audacity", SUFFIXES["audacity"], "text/plain", _track("audacity")),
    "raven": TagFormat("Selection table for Raven", SUFFIXES["raven"], "text/tab-separated-values", _track("raven")),
}
