"""Results of tagging: typed, printable, and as JSON; with clock times where the recorder named its file by the time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from auricle.audio.recording_time import start_time
from auricle.core.console import audio_length, clock, printable
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
    """The most likely labels of a window from ``start`` to ``end`` seconds, the likeliest first.

    ``detected`` are the labels that reach their thresholds; None for a tagger without thresholds of its own.
    """

    start: float
    end: float
    tags: tuple[Tag, ...]
    detected: tuple[Tag, ...] | None = None


@dataclass(frozen=True)
class FileTags:
    """Labels of one recording of ``seconds``.

    With windows, ``tags`` are the labels with the highest score in any window, and ``events`` where they occur. Without,
    ``windows`` is empty and ``events`` is None. ``notes`` say what is unusual about the file. ``detected`` are the labels that
    reach their thresholds, with windows those of the events; None for a tagger without thresholds of its own.

    ``heads`` are the answers of all heads, by name, for a model with several; the other fields are then the first head's.
    """

    file: str
    seconds: float
    tags: tuple[Tag, ...]
    windows: tuple[WindowTags, ...] = ()
    events: tuple[Event, ...] | None = None
    notes: tuple[str, ...] = ()
    detected: tuple[Tag, ...] | None = None
    heads: dict[str, FileTags] = field(default_factory=dict, hash=False)

    @property
    def start_time(self) -> datetime | None:
        """When the recording began, if its name says so (``recording_time``)."""
        return start_time(self.file)

    def to_json(self, *, time_line: bool = False) -> dict[str, Any]:
        """Return JSON values; scores are rounded to six decimals. ``start_time`` is there if the name of the file holds it.

        Args:
            time_line: with the labels of every window, as "windows".
        """
        values: dict[str, Any] = {"file": self.file, "seconds": self.seconds}
        values |= {} if self.start_time is None else {"start_time": self.start_time.isoformat()}
        values |= {"notes": list(self.notes)} if self.notes else {}
        values |= self._answer_json(time_line)
        heads = {name: head._answer_json(time_line) for name, head in self.heads.items()}
        return values | ({"heads": heads} if heads else {})

    def _answer_json(self, time_line: bool) -> dict[str, Any]:
        values = _tags_json(self)
        values |= {} if self.events is None else {"events": [_rounded(event) for event in self.events]}
        return values | ({"windows": self.time_line()} if time_line and self.windows else {})

    def time_line(self) -> list[dict[str, Any]]:
        """Return the windows as JSON values: start, end and tags of each."""
        return [{"start": w.start, "end": w.end, **_tags_json(w)} for w in self.windows]

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> FileTags:
        """The inverse of ``to_json``, with the time line where ``plain`` holds one as "windows"."""
        common = plain["file"], plain["seconds"]
        heads = {name: cls.from_json({"file": common[0], "seconds": common[1], **head}) for name, head in _heads(plain)}
        windows = (WindowTags(w["start"], w["end"], _tags(w["tags"]), _detected(w)) for w in plain.get("windows", ()))
        events = tuple(Event(**event) for event in plain["events"]) if "events" in plain else None
        notes = tuple(map(str, plain.get("notes", ())))
        return cls(*common, _tags(plain["tags"]), tuple(windows), events, notes, _detected(plain), heads)

    def by_head(self) -> dict[str, FileTags]:
        """Return the answer of each head by its name; of a model with one head this answer, under an empty name."""
        return self.heads or {"": self}

    def with_heads_joined(self) -> FileTags:
        """Return one answer of all heads, without windows: labels are "head: label"."""
        if not self.heads:
            return self
        tags = [Tag(f"{name}: {tag.label}", tag.score) for name, head in self.heads.items() for tag in head.tags]
        events = [
            replace(event, label=f"{name}: {event.label}")
            for name, head in self.heads.items()
            for event in head.events or ()
        ]
        return FileTags(
            self.file,
            self.seconds,
            tuple(sorted(tags, key=lambda tag: -tag.score)),
            events=None
            if self.events is None
            else tuple(sorted(events, key=lambda event: (event.start, -event.score))),
            notes=self.notes,
        )

    def rows(self) -> Iterator[tuple[str, float, float, str, float, bool]]:
        """Yield (file, start, end, label, score, detected), window by window, or once for the whole recording."""
        for part in self.windows or (WindowTags(0.0, self.seconds, self.tags, self.detected),):
            detected = {tag.label: tag for tag in part.detected or ()}
            further = (detected[label] for label in detected.keys() - {tag.label for tag in part.tags})
            for tag in (*part.tags, *sorted(further, key=lambda tag: -tag.score)):
                yield self.file, part.start, part.end, tag.label, tag.score, tag.label in detected

    def event_rows(self) -> Iterator[tuple[str, float, float, str, float, str]]:
        """Yield (file, start, end, label, score, clock time of the start or "") of each event."""
        began = self.start_time
        for event in self.events or ():
            time = "" if began is None else (began + timedelta(seconds=event.start)).isoformat(timespec="seconds")
            yield self.file, event.start, event.end, event.label, event.score, time

    def text(self, *, time_line: bool = False) -> str:
        """Return lines for people: the labels of the whole recording, then the events.

        Args:
            time_line: then the labels of each window, too.
        """
        began = self.start_time
        lines = [f"{printable(self.file)} ({audio_length(self.seconds)}{f', from {began}' if began else ''})"]
        for name, head in self.by_head().items():
            lines += [*([f"Head {printable(name)}"] if name else []), *head._answer_lines(began, time_line)]
        return "\n".join(lines)

    def _answer_lines(self, began: datetime | None, time_line: bool) -> list[str]:
        lines = _label_lines(self)
        if self.events is not None:
            lines += ["Events" if self.events else "No events", *(_event_line(event, began) for event in self.events)]
        if time_line and self.windows:
            marked = any(window.detected for window in self.windows)
            lines += [f"Time line{' (*: detected)' if marked else ''}"]
            lines += [_window_line(window, began) for window in self.windows]
        return lines

    def __str__(self) -> str:
        return self.text()


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
        failed = [f"failed: {printable(failure.error)}" for failure in self.failed]
        return "\n\n".join([*map(str, self.results), *failed])


def _heads(plain: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return list(plain.get("heads", {}).items())


def _rounded(scored: Tag | Event) -> dict[str, Any]:
    return asdict(scored) | {"score": round(scored.score, 6)}


def _tags(plain: list[dict[str, Any]]) -> tuple[Tag, ...]:
    return tuple(Tag(**tag) for tag in plain)


def _detected(plain: dict[str, Any]) -> tuple[Tag, ...] | None:
    return _tags(plain["detected"]) if "detected" in plain else None


def _tags_json(part: FileTags | WindowTags) -> dict[str, Any]:
    """Labels of a recording or a window as JSON values; "detected" only where the tagger has thresholds."""
    values: dict[str, Any] = {"tags": [_rounded(tag) for tag in part.tags]}
    return values if part.detected is None else values | {"detected": [_rounded(tag) for tag in part.detected]}


def _label_lines(result: FileTags) -> list[str]:
    """The labels of a recording, a line each; those that are detected are marked."""
    lines = [f"  {printable(tag.label)}: {tag.score:.3f}" for tag in result.tags]
    if result.detected is None:
        return lines or ["  no label"]
    if not result.detected:
        return [f"  none of its classes{'; the likeliest:' if lines else ''}", *lines]
    detected = {tag.label for tag in result.detected}
    shown = [f"{line}  detected" if tag.label in detected else line for line, tag in zip(lines, result.tags)]
    further = [tag for tag in result.detected if tag not in result.tags]
    return shown + [f"  {printable(tag.label)}: {tag.score:.3f}  detected" for tag in further]


def tag_table(tags: tuple[Tag, ...]) -> str:
    """Return the published program's table: a label and its probability per line."""
    return "\n".join([HEAD, *(f"{tag.label}: {tag.score:.3f}" for tag in tags), FOOT])


def window_text(window: WindowTags, count: int = 5) -> str:
    """Return the published program's lines of one window, and an empty one.

    Source: [efficientat 5.3](docs/specification/efficientat.md#s5-3).
    """
    lines = [f"\t{tag.label}: {tag.score:.2f}" for tag in window.tags[:count]]
    return "\n".join([f"Window: {window.start:.2f} - {window.end:.2f}", *lines, ""])


def _event_line(event: Event, began: datetime | None) -> str:
    return f"{_span(event.start, event.end, began)}  {event.score:.2f}  {printable(event.label)}"


def _window_line(window: WindowTags, began: datetime | None) -> str:
    detected = {tag.label for tag in window.detected or ()}
    labels = "; ".join(
        f"{printable(tag.label)} {tag.score:.2f}{'*' if tag.label in detected else ''}" for tag in window.tags
    )
    return f"{_span(window.start, window.end, began)}  {labels}".rstrip()


def _span(start: float, end: float, began: datetime | None) -> str:
    """Two times since the beginning, and the time of day of the first; with its date on another day than the recording's."""
    text = f"  {clock(start, 2)} - {clock(end, 2)}"
    if began is None:
        return text
    time = began + timedelta(seconds=start)
    return f"{text}  {time:{'%H:%M:%S' if time.date() == began.date() else '%Y-%m-%d %H:%M:%S'}}"
