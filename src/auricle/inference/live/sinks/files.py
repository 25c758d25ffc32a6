"""Events of a stream as lines of files: JSON lines, CSV, and a label track for Audacity. Each line is written at once."""

from __future__ import annotations

import csv
import io
import secrets
from collections.abc import Callable
from pathlib import Path

import numpy as np

from auricle.core.io import dumps, make_folder, writing
from auricle.inference.events import audacity
from auricle.inference.live.events import EventChange

COLUMNS = ("start", "end", "label", "score", "peak", "clock", "head")
KEPT = "; the lines before are kept"


def json_line(change: EventChange, clock: str) -> str:
    """Return a change as a line of JSON."""
    return dumps({**change.to_json(), "clock": clock}) + "\n"


class MessageIds:
    """Ids of messages, one for each: who gets a message twice, because its confirmation was lost, can tell by them."""

    def __init__(self) -> None:
        self.run, self.count = secrets.token_hex(8), 0

    def message(self, change: EventChange, clock: str) -> str:
        """Return a change as JSON with the next id: the id of this run and a number that rises by one."""
        self.count += 1
        return dumps({"id": f"{self.run}-{self.count}", **change.to_json(), "clock": clock})


def csv_line(change: EventChange, clock: str) -> str:
    """Return an event as a line of CSV, of ``COLUMNS``."""
    times = (f"{change.start:.3f}", f"{change.end:.3f}")
    return csv_row((*times, change.label, f"{change.score:.6f}", f"{change.peak:.3f}", clock, change.head))


def csv_row(values: tuple[str, ...]) -> str:
    """Return values as a line of CSV."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()


def label_line(change: EventChange, clock: str) -> str:
    """Return an event as a line of an Audacity label track."""
    return audacity([change.event], 0.0)


class LinesFile:
    """Appends a line per change to a file.

    Args:
        path: the file; its folder is made.
        line: (change, clock) -> the line.
        every: all changes; False: events when they are closed.
        header: the first line of a new file.
    """

    def __init__(self, path: Path, line: Callable[[EventChange, str], str], *, every: bool = False, header: str = ""):
        make_folder(path.parent)
        self.path, self.line, self.every = path, line, every
        if header and not (path.exists() and path.stat().st_size):
            self._append(header)

    def add_audio(self, samples: np.ndarray, rate: int, start: float) -> None:
        """Take no notice of the sound."""

    def take(self, change: EventChange, clock: str) -> None:
        if self.every or change.kind == "closed":
            self._append(self.line(change, clock))

    def close(self) -> tuple[str, ...]:
        return ()

    def _append(self, line: str) -> None:
        with writing(self.path, KEPT), open(self.path, "a", encoding="utf-8", newline="") as file:
            file.write(line)


def file_sinks(folder: Path) -> list[LinesFile]:
    """Return the files of ``--out FOLDER``: events.jsonl with all changes, events.csv and events.labels.txt with the events."""
    return [
        LinesFile(folder / "events.jsonl", json_line, every=True),
        LinesFile(folder / "events.csv", csv_line, header=csv_row(COLUMNS)),
        LinesFile(folder / "events.labels.txt", label_line),
    ]
