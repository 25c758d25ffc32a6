"""Results of tagging: typed, printable, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from auricle.inference.events import Event

# as the published program prints ([efficientat 5.1](docs/specification/efficientat.md#s5-1))
HEAD = "************* Acoustic Event Detected: *****************"
FOOT = "*" * 56


@dataclass(frozen=True)
class Tag:
    """A label and its probability."""

    label: str
    score: float


@dataclass(frozen=True)
class WindowTags:
    """The most likely labels of a window from ``start`` to ``end`` seconds, the likeliest first."""

    start: float
    end: float
    tags: tuple[Tag, ...]


@dataclass(frozen=True)
class FileTags:
    """Labels of one recording of ``seconds``.

    With windows, ``tags`` are the labels with the highest score in any window, and ``events`` where they occur. Without,
    ``windows`` is empty and ``events`` is None.
    """

    file: str
    seconds: float
    tags: tuple[Tag, ...]
    windows: tuple[WindowTags, ...] = ()
    events: tuple[Event, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; scores are rounded to six decimals."""
        values = {"file": self.file, "seconds": self.seconds, "tags": [_rounded(tag) for tag in self.tags]}
        return values if self.events is None else {**values, "events": [_rounded(event) for event in self.events]}

    def time_line(self) -> list[dict[str, Any]]:
        """Return the windows as JSON values: start, end and tags of each."""
        return [{"start": w.start, "end": w.end, "tags": [_rounded(tag) for tag in w.tags]} for w in self.windows]

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> FileTags:
        """The inverse of ``to_json``, with the time line where ``plain`` holds one as "windows"."""
        windows = (WindowTags(w["start"], w["end"], _tags(w["tags"])) for w in plain.get("windows", ()))
        events = tuple(Event(**event) for event in plain["events"]) if "events" in plain else None
        return cls(plain["file"], plain["seconds"], _tags(plain["tags"]), tuple(windows), events)

    def rows(self) -> Iterator[tuple[str, float, float, str, float]]:
        """Yield (file, start, end, label, score), window by window, or once for the whole recording."""
        for part in self.windows or (WindowTags(0.0, self.seconds, self.tags),):
            for tag in part.tags:
                yield self.file, part.start, part.end, tag.label, tag.score

    def __str__(self) -> str:
        title = f"{self.file} ({self.seconds:.2f} s)"
        if self.events is None:
            return f"{title}\n{tag_table(self.tags)}"
        parts = [title, *(window_text(part) for part in self.windows)]
        return "\n".join([*parts, "Events" if self.events else "No events", *map(_event_line, self.events)])


@dataclass(frozen=True)
class Failure:
    """A file that could not be tagged, and why."""

    file: str
    error: str


@dataclass(frozen=True)
class Tags:
    """Results of all recordings that were tagged with ``model``; prints as tables."""

    model: str
    results: tuple[FileTags, ...]
    failed: tuple[Failure, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the object that ``auricle tag --json`` prints."""
        results = [result.to_json() for result in self.results]
        return {"model": self.model, "results": results, "failed": [asdict(failure) for failure in self.failed]}

    def __str__(self) -> str:
        failed = [f"failed: {failure.error}" for failure in self.failed]
        return "\n\n".join([*map(str, self.results), *failed])


def _rounded(scored: Tag | Event) -> dict[str, Any]:
    return asdict(scored) | {"score": round(scored.score, 6)}


def _tags(plain: list[dict[str, Any]]) -> tuple[Tag, ...]:
    return tuple(Tag(**tag) for tag in plain)


def tag_table(tags: tuple[Tag, ...]) -> str:
    """Return the published program's table: a label and its probability per line."""
    return "\n".join([HEAD, *(f"{tag.label}: {tag.score:.3f}" for tag in tags), FOOT])


def window_text(window: WindowTags, count: int = 5) -> str:
    """Return the published program's lines of one window, and an empty one.

    Source: [efficientat 5.3](docs/specification/efficientat.md#s5-3).
    """
    lines = [f"\t{tag.label}: {tag.score:.2f}" for tag in window.tags[:count]]
    return "\n".join([f"Window: {window.start:.2f} - {window.end:.2f}", *lines, ""])


def _event_line(event: Event) -> str:
    return f"{event.start:10.2f} - {event.end:8.2f} s  {event.score:.2f}  {event.label}"
