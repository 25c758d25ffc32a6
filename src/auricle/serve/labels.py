"""Labels that people gave on the page: parts of recordings that they drew, and answers of the review; a table to learn from."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from auricle.core.errors import AuricleError
from auricle.core.io import writing
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.index.answers import DIGITS, Answer
from auricle.review.labels import label_table
from auricle.serve.errors import Refusal

TABLE = """
CREATE TABLE IF NOT EXISTS labels (
  id INTEGER PRIMARY KEY AUTOINCREMENT, recording TEXT NOT NULL, path TEXT NOT NULL, name TEXT NOT NULL,
  start REAL NOT NULL, stop REAL NOT NULL, label TEXT NOT NULL, time REAL NOT NULL,
  UNIQUE (recording, start, stop, label)
)
"""
COLUMNS = "id, recording, path, name, start, stop, label"
MOST_LABELS = 200_000
COVERS = 0.5  # share of a part that another label must cover to hold there; one that covers less is not known there


@dataclass(frozen=True)
class DrawnLabel:
    """A label that was drawn: its number, the recording (id, file, name), start and end in seconds, and the class."""

    id: int
    recording: str
    path: str
    name: str
    start: float
    end: float
    label: str


class LabelBook:
    """The labels that were drawn, in an SQLite file. Threads may share it; what was added is on disk.

    Raises:
        AuricleError: the file cannot be made, or is no database.
    """

    def __init__(self, file: Path):
        self.file = file
        self._lock = threading.Lock()
        with self._database() as database:
            database.execute(TABLE)

    def add(self, labels: Iterable[DrawnLabel]) -> list[DrawnLabel]:
        """Keep labels, each once, and return them with their numbers.

        Raises:
            Refusal: there are too many, or a path cannot be written in the table that is learnt from.
        """
        labels = list(labels)
        for item in labels:
            if not _is_utf8(item.path):
                raise Refusal(
                    422, f"the path of {item.name} holds bytes that are no UTF-8; rename the file to label it"
                )
        rows = [
            (
                item.recording,
                item.path,
                item.name,
                round(item.start, DIGITS),
                round(item.end, DIGITS),
                item.label,
                time.time(),
            )
            for item in labels
        ]
        with self._database() as database:
            count = database.execute("SELECT count(*) FROM labels").fetchone()[0]
            if count + len(rows) > MOST_LABELS:
                raise Refusal(409, f"there are {count} labels already; remove some of them first")
            database.executemany(
                "INSERT OR IGNORE INTO labels (recording, path, name, start, stop, label, time) VALUES (?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            query = f"SELECT {COLUMNS} FROM labels WHERE recording = ? AND start = ? AND stop = ? AND label = ?"
            keys = [(recording, start, end, label) for recording, _, _, start, end, label, _ in rows]
            return [DrawnLabel(*database.execute(query, key).fetchone()) for key in keys]

    def remove(self, id: int) -> None:
        """Remove a label. Raises Refusal (404) for an unknown number."""
        with self._database() as database:
            if not database.execute("DELETE FROM labels WHERE id = ?", (id,)).rowcount:
                raise Refusal(404, f"there is no label {id}; GET /api/labels lists them")

    def remove_recording(self, recording: str) -> None:
        """Remove the labels of a recording."""
        with self._database() as database:
            database.execute("DELETE FROM labels WHERE recording = ?", (recording,))

    def all(self, recording: str | None = None) -> list[DrawnLabel]:
        """Return the labels (of one recording) by recording and time."""
        query = f"SELECT {COLUMNS} FROM labels WHERE ? IS NULL OR recording = ? ORDER BY name, recording, start, id"
        with self._database() as database:
            return [DrawnLabel(*row) for row in database.execute(query, (recording, recording))]

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        with self._lock, writing(self.file), closing(sqlite3.connect(self.file, timeout=10.0)) as database, database:
            yield database


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def clips_to_learn(drawn: Iterable[DrawnLabel], answers: Iterable[Answer]) -> Manifest:
    """Make the table of clips that ``auricle finetune`` reads.

    A part that was drawn has its label, and all others that cover at least half of it; a class that covers less is not known
    there, and every other class is known to be absent. Of an answer only the class that was asked about is known.

    Raises:
        AuricleError: there is nothing to learn from, or no class of which parts with it and parts without it are known.
    """
    by_file: dict[str, list[DrawnLabel]] = defaultdict(list)
    for label in drawn:
        by_file[label.path].append(label)
    classes = sorted({label.label for labels in by_file.values() for label in labels})
    clips = [clip for labels in by_file.values() for clip in _clips_of(labels, classes)]
    given = list(answers)
    if given:
        try:
            clips += label_table(given).manifest.clips
        except AuricleError:  # no answer says anything about a class
            if not clips:
                raise
    if not clips:
        raise AuricleError("there are no labels yet: label parts of recordings, or answer questions of the review")
    unique = {clip.id: clip for clip in reversed(clips)}  # what was drawn counts before what was answered
    manifest = Manifest(tuple(reversed(unique.values())), Path("/"))
    _check_classes(manifest)
    return manifest


def _check_classes(manifest: Manifest) -> None:
    holds = {label for clip in manifest for label in clip.labels}
    for label in holds:
        if any(label not in clip.labels and (clip.known is None or label in clip.known) for clip in manifest):
            return
    names = ", ".join(sorted(holds)) or "no class"
    raise AuricleError(
        f"the labels name {names} alone: to tell it from other sounds, label parts with something else too, or answer 'no' in "
        "the review"
    )


def _clips_of(labels: list[DrawnLabel], classes: list[str]) -> Iterator[Clip]:
    """The clips of one recording: one for each part that was drawn."""
    for start, end in dict.fromkeys((label.start, label.end) for label in labels):
        covered: dict[str, float] = defaultdict(float)
        for other in labels:
            overlap = min(end, other.end) - max(start, other.start)
            covered[other.label] = min(end - start, covered[other.label] + max(0.0, overlap))
        holds = tuple(label for label, seconds in covered.items() if seconds >= COVERS * (end - start))
        unsure = {label for label, seconds in covered.items() if seconds > 0} - set(holds)
        known = tuple(label for label in classes if label not in unsure) if unsure else None
        path = labels[0].path
        id = f"{path}@{start:.{DIGITS}f}-{end:.{DIGITS}f}"
        yield Clip(id, path=path, start=start, end=end, labels=holds, known=known)
