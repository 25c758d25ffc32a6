"""Results of a search: typed, printable, as JSON and as rows of a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from auricle.core.console import number_of, printable, short_names
from auricle.index.database import Span
from auricle.inference.events import Event
from auricle.inference.tag_results import Tag

# "suggested_label", as in suggestions.csv: a table of labels has a column "label", and nobody has confirmed these
SEARCH_COLUMNS = (
    "path",
    "start",
    "end",
    "suggested_label",
    "score",
    "similarity",
    "span",
    "group",
    "recorder",
    "place",
    "time",
    "top_scores",
    "model",
)
SIMILAR = "similar"  # label of a match of an example in a label track


@dataclass(frozen=True)
class Match:
    """A span that was found.

    Attributes:
        span: where it is.
        similarity: to the examples: a cosine from -1 to 1, or the probability of a linear classifier; None without examples.
        label, score: the label that was asked for, and its calibrated score; of a label that the user gave to what is like
            the examples, the similarity from 0 on. "" and None without one.
        tags: the most likely labels of the span, the likeliest first.
        group: number of its group of near duplicates, from 1; None for another query.
    """

    span: Span
    similarity: float | None = None
    label: str = ""
    score: float | None = None
    tags: tuple[Tag, ...] = ()
    group: int | None = None

    @property
    def time(self) -> datetime | None:
        """When the span begins, by the recorder's clock; None if unknown."""
        return self.span.began and self.span.began + timedelta(seconds=self.span.start)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; what does not apply or is unknown is left out."""
        span = self.span
        values: dict[str, Any] = {"span": span.id, "path": span.path, "start": span.start, "end": span.end}
        known = {
            "similarity": None if self.similarity is None else round(self.similarity, 6),
            "label": self.label or None,
            "score": None if self.score is None else round(self.score, 6),
            "group": self.group,
            "recorder": span.recorder or None,
            "place": span.place or None,
            "time": self.time and self.time.isoformat(timespec="seconds"),
        }
        values |= {name: value for name, value in known.items() if value is not None}
        return values | {"tags": [{"label": tag.label, "score": round(tag.score, 6)} for tag in self.tags]}

    def row(self) -> tuple[str, ...]:
        """Return the cells of ``SEARCH_COLUMNS`` but the last."""
        span = self.span
        numbers = ("" if value is None else f"{value:.6f}" for value in (self.score, self.similarity))
        time = "" if self.time is None else self.time.isoformat(timespec="seconds")
        place = (str(span.id), "" if self.group is None else str(self.group), span.recorder, span.place, time)
        return span.path, f"{span.start:.12g}", f"{span.end:.12g}", self.label, *numbers, *place, self.tag_text()

    def tag_text(self) -> str:
        """Return the labels with their scores: "Dog 0.91; Bark 0.70"."""
        return "; ".join(f"{tag.label} {tag.score:.2f}" for tag in self.tags)

    def event(self) -> Event:
        """Return the match for a label track."""
        score = self.score if self.similarity is None else self.similarity
        label = self.label or (f"duplicates {self.group}" if self.group else SIMILAR)
        return Event(label, self.span.start, self.span.end, score or 0.0)


@dataclass(frozen=True)
class SearchResults:
    """The spans of an index that a query found, the best first; prints as a table.

    Attributes:
        query: in words: "like bark.wav".
        method: how examples were compared: "nearest", "rocchio" or "linear"; "" without examples.
        matches: the spans.
        searched: number of spans that the filters left.
        model: "NAME@FINGERPRINT" of the model that gave the scores; "" where the scores are similarities.
        notes: what should be known about the result.
    """

    query: str
    method: str
    matches: tuple[Match, ...]
    searched: int
    model: str = ""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.matches)

    def __iter__(self) -> Iterator[Match]:
        return iter(self.matches)

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``auricle search --json`` prints."""
        return {
            "query": self.query,
            "method": self.method or None,
            "model": self.model,
            "searched": self.searched,
            "matches": [match.to_json() for match in self.matches],
            "notes": list(self.notes),
        }

    def csv(self) -> str:
        """Return a table with a row per match."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(SEARCH_COLUMNS)
        writer.writerows((*match.row(), self.model) for match in self.matches)
        return text.getvalue()

    def tracks(self) -> dict[str, list[Event]]:
        """Return the matches as events by recording, each in the order of time."""
        tracks: dict[str, list[Event]] = {}
        for match in self.matches:
            tracks.setdefault(match.span.path, []).append(match.event())
        return {path: sorted(events, key=lambda event: event.start) for path, events in tracks.items()}

    def __str__(self) -> str:
        how = f" ({self.method})" if self.method else ""
        head = f"{len(self)} of {number_of(self.searched, 'span')} {printable(self.query)}{how}"
        names = short_names([match.span.path for match in self.matches])
        return "\n".join([head, *map(_line, self.matches, names)])


def _line(match: Match, name: str) -> str:
    span = match.span
    value = match.score if match.similarity is None else match.similarity
    parts = [
        "" if match.group is None else f"group {match.group}",
        "" if value is None else f"{value:.3f}",
        f"#{span.id}",
        f"{printable(name)} {span.start:g}-{span.end:g} s",
        "" if match.time is None else f"{match.time:%Y-%m-%d %H:%M:%S}",
        printable(span.place),
        printable(match.tag_text()),
    ]
    return "  " + "  ".join(part for part in parts if part)
