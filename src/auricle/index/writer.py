"""Writing into an index: parts of recordings, moves and removals; several processes may write at once.

A recording that is being read is claimed by one writer, so that two share the work. What a writer adds it adds in turns: under the
lock of the index the vectors go into the store and then, in one transaction, spans, scores and events into the database. A process
that is killed in between leaves rows in the store that no span names; ids of spans are reserved before and never used again, and
``tidy`` removes such rows.
"""

from __future__ import annotations

import os
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from auricle.core.errors import AuricleError
from auricle.core.io import is_running, machine_id
from auricle.core.locks import locked
from auricle.data.stores.compaction import keep_only
from auricle.data.stores.shards import CLIP, ClipEmbedding
from auricle.index.database import LOCK, SoundIndex, clock_seconds
from auricle.index.recorders import RecordingPlace
from auricle.index.schema import COMPLETE, FAILED, PARTIAL
from auricle.inference.events import Event

RESERVED = 4096  # ids of spans that a writer takes at a time
LARGEST_FLOAT16 = 65504.0
T = TypeVar("T")
SCORE = np.dtype([("window", "<u4"), ("label", "<u4"), ("score", "<f4")])
"""A score of a window of a recording: position of the window, position of the class in ``IndexInfo.classes``, score."""


@dataclass(frozen=True)
class FileStamp:
    """Size in bytes and time of the last change in nanoseconds: a changed stamp means a changed file."""

    size: int
    modified: int


@dataclass(frozen=True)
class RecordingEnd:
    """What is known when a recording has been read to its end; ``events`` are those of the whole recording, by class number."""

    seconds: float
    sha256: str
    where: RecordingPlace
    events: tuple[tuple[int, Event], ...] = ()


@dataclass(frozen=True, eq=False)
class RecordingPart:
    """Consecutive windows of a recording.

    Attributes:
        path: absolute.
        stamp: of the file that was read.
        first: position of the first window in the recording.
        spans: (n, 2) start and end in seconds.
        vectors: (n, D).
        scores: SCORE (m,), those that are kept.
        event_scores: SCORE (k,), those that decide about events; kept until the recording is complete.
        end: set with the last part.
    """

    path: str
    stamp: FileStamp
    first: int
    spans: np.ndarray
    vectors: np.ndarray
    scores: np.ndarray
    event_scores: np.ndarray
    end: RecordingEnd | None = None


@dataclass(frozen=True, eq=False)
class StoredPart:
    """What an interrupted writer has stored of a recording: spans (n, 2) and the scores that decide about events, SCORE (k,)."""

    spans: np.ndarray
    event_scores: np.ndarray


_living: set[str] = set()  # the writers of this process


@dataclass
class IndexWriter:
    """Adds recordings to an index.

    Args:
        index: the index.

    Attributes:
        owner: names this writer in the claims.
    """

    index: SoundIndex
    owner: str = field(default_factory=lambda: f"{machine_id()}-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    _reserved: list[int] = field(default_factory=lambda: [0, 0])  # the next id, and the first that is not ours

    def __enter__(self) -> IndexWriter:
        _living.add(self.owner)
        return self

    def __exit__(self, *_: object) -> None:
        _living.discard(self.owner)
        with suppress(AuricleError):  # of a full disk; claims of a writer that is gone do not count
            self._write(lambda db: db.execute("DELETE FROM claims WHERE owner = ?", (self.owner,)), durable=False)

    # ---- who reads what
    def claim(self, paths: Sequence[str]) -> list[str]:
        """Claim recordings and return those that no other living writer has claimed."""

        def take(db: sqlite3.Connection) -> list[str]:
            owners = db.execute("SELECT DISTINCT owner FROM claims").fetchall()
            db.executemany("DELETE FROM claims WHERE owner = ?", [owner for owner in owners if not _is_alive(owner[0])])
            insert = "INSERT OR IGNORE INTO claims VALUES (?, ?)"
            return [path for path in paths if db.execute(insert, (path, self.owner)).rowcount]

        return self._write(take, durable=False)

    def release(self, path: str) -> None:
        """Give back a recording that was claimed and is not read."""
        values = (path, self.owner)
        self._write(lambda db: db.execute("DELETE FROM claims WHERE path = ? AND owner = ?", values), durable=False)

    # ---- what is read
    def is_complete(self, path: str, stamp: FileStamp) -> bool:
        """Return True if the file is in the index as it is."""
        return self.index.database.read(lambda db: _is_complete(db, path, stamp))

    def stored_part(self, path: str, stamp: FileStamp) -> StoredPart | None:
        """Return what is stored of a recording that is not complete; None if nothing is. That of another stamp is removed."""

        def look_up(db: sqlite3.Connection) -> StoredPart | None:
            query = "SELECT id, size, modified FROM files WHERE path = ? AND state = ?"
            row = db.execute(query, (path, PARTIAL)).fetchone()
            if row is None:
                return None
            if row[1:] != (stamp.size, stamp.modified):
                db.execute("DELETE FROM files WHERE id = ?", row[:1])
                return None
            spans = db.execute("SELECT start, stop FROM spans WHERE file = ? ORDER BY id", row[:1]).fetchall()
            blobs = db.execute("SELECT scores FROM parts WHERE file = ? ORDER BY first", row[:1]).fetchall()
            scores = [np.frombuffer(blob, SCORE) for (blob,) in blobs]
            return StoredPart(np.array(spans).reshape(-1, 2), np.concatenate([np.zeros(0, SCORE), *scores]))

        return self._write(look_up, durable=False)

    def add(self, parts: Sequence[RecordingPart]) -> list[str]:
        """Add parts of recordings; when this returns, they are on disk.

        Returns:
            The paths of recordings that another writer was faster with; nothing of these parts was added.

        Raises:
            AuricleError: for a full disk, and for vectors that the dtype of the index cannot hold.
        """
        first_ids = {id(part): self._reserve(len(part.spans)) for part in parts}
        clips = [
            ClipEmbedding(str(first_ids[id(part)] + i), {CLIP: vector})
            for part in parts
            for i, vector in enumerate(part.vectors)
        ]
        if self.index.info.dtype == "float16" and any(np.abs(c.vectors[CLIP]).max() > LARGEST_FLOAT16 for c in clips):
            raise AuricleError("a vector is too large for --dtype float16: make the index with float32 or int8")

        def insert(db: sqlite3.Connection) -> list[str]:
            late = [part.path for part in parts if not self._insert(db, part, first_ids[id(part)])]
            _note_change(db)
            return late

        with locked(self.index.folder / LOCK):
            self.index.store.append(clips, replace=True)
            return self._write(insert)

    def _reserve(self, count: int) -> int:
        """Return the first of ``count`` consecutive ids that no span has had or will have."""
        if self._reserved[0] + count > self._reserved[1]:
            number = max(RESERVED, count)
            update = "UPDATE counters SET value = value + ? WHERE name = 'next span'"
            query = "SELECT value FROM counters WHERE name = 'next span'"

            def take(db: sqlite3.Connection) -> int:
                db.execute(update, (number,))
                return int(db.execute(query).fetchone()[0])

            stop = self._write(take)
            self._reserved[:] = stop - number, stop
        first = self._reserved[0]
        self._reserved[0] += count
        return first

    def _insert(self, db: sqlite3.Connection, part: RecordingPart, first_id: int) -> bool:
        """Insert one part; return False, and insert nothing, unless it continues what is stored of the recording."""
        query = "SELECT id, windows FROM files WHERE path = ? AND state = ? AND size = ? AND modified = ?"
        stamp = part.stamp.size, part.stamp.modified
        file, windows = db.execute(query, (part.path, PARTIAL, *stamp)).fetchone() or (0, 0)
        if windows != part.first or _is_complete(db, part.path, part.stamp):
            return False
        if not file:
            db.execute("DELETE FROM files WHERE path = ? AND state = ?", (part.path, PARTIAL))
            columns = "path, state, size, modified, sha256, seconds, windows"
            values = (part.path, PARTIAL, *stamp, "", 0.0, 0)
            row = db.execute(f"INSERT INTO files ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id", values)
            (file,) = row.fetchone()
        spans = [(first_id + i, file, *span) for i, span in enumerate(part.spans.tolist())]
        db.executemany("INSERT INTO spans VALUES (?, ?, ?, ?)", spans)
        ids = (part.scores["window"].astype(np.int64) - part.first + first_id).tolist()
        scores = zip(ids, part.scores["label"].tolist(), part.scores["score"].tolist())
        db.executemany("INSERT INTO scores VALUES (?, ?, ?)", scores)
        db.execute("UPDATE files SET windows = ? WHERE id = ?", (part.first + len(spans), file))
        if part.end is not None:
            self._complete(db, file, part, part.end)
        else:
            blob = part.event_scores.astype(SCORE).tobytes()
            db.execute("INSERT INTO parts VALUES (?, ?, ?)", (file, part.first, blob))
        return True

    def _complete(self, db: sqlite3.Connection, file: int, part: RecordingPart, end: RecordingEnd) -> None:
        """Make a recording visible, in place of its earlier version."""
        db.execute("DELETE FROM files WHERE path = ? AND id != ?", (part.path, file))
        db.execute("DELETE FROM parts WHERE file = ?", (file,))
        events = [(file, label, event.start, event.end, event.score) for label, event in end.events]
        db.executemany("INSERT INTO events (file, label, start, stop, score) VALUES (?, ?, ?, ?, ?)", events)
        update = "UPDATE files SET state = ?, sha256 = ?, seconds = ? WHERE id = ?"
        db.execute(update, (COMPLETE, end.sha256, end.seconds, file))
        _set_place(db, part.path, end.where)
        db.execute("DELETE FROM claims WHERE path = ?", (part.path,))

    # ---- what else happens to recordings
    def fail(self, path: str, stamp: FileStamp, reason: str, where: RecordingPlace) -> None:
        """Note that a recording cannot be read. What an earlier version of the file gave is removed: it is no longer there."""

        def note(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM files WHERE path = ?", (path,))
            db.execute("DELETE FROM claims WHERE path = ? AND owner = ?", (path, self.owner))
            columns = "path, state, size, modified, sha256, seconds, windows, failure"
            values = (path, FAILED, stamp.size, stamp.modified, "", 0.0, 0, reason)
            db.execute(f"INSERT INTO files ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values)
            _set_place(db, path, where)
            _note_change(db)

        self._write(note)

    def move(self, old: str, new: str, stamp: FileStamp, where: RecordingPlace) -> None:
        """Give a recording, and the answers about it, another path."""

        def rename(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM files WHERE path = ?", (new,))
            update = "UPDATE files SET path = ?, size = ?, modified = ? WHERE path = ? AND state = ?"
            if db.execute(update, (new, stamp.size, stamp.modified, old, COMPLETE)).rowcount:
                db.execute("DELETE FROM files WHERE path = ?", (old,))
                db.execute("UPDATE answers SET path = ? WHERE path = ?", (new, old))
                _set_place(db, new, where)
                _note_change(db)

        self._write(rename)

    def touch(self, path: str, stamp: FileStamp) -> None:
        """Note the new time of a file whose content is the same."""
        update = "UPDATE files SET modified = ? WHERE path = ? AND state = ? AND size = ?"
        self._write(lambda db: db.execute(update, (stamp.modified, path, COMPLETE, stamp.size)))

    def describe(self, places: Iterable[tuple[str, RecordingPlace]]) -> None:
        """Set recorder, place and time of recordings by path."""

        def update(db: sqlite3.Connection) -> None:
            for path, where in places:
                _set_place(db, path, where)

        self._write(update)

    def remove(self, paths: Iterable[str]) -> None:
        """Remove recordings with their spans, scores and events; answers about them stay."""

        def delete(db: sqlite3.Connection) -> None:
            db.executemany("DELETE FROM files WHERE path = ?", [(path,) for path in paths])
            _note_change(db)

        self._write(delete)

    def repair(self) -> list[str]:
        """Remove recordings whose vectors are lost, so that they are read again; return notes about them."""
        with locked(self.index.folder / LOCK):
            notes = self.index.store.discard_damaged(content=False)
            present = set(map(int, self.index.store.ids))

            def remove(db: sqlite3.Connection) -> int:
                lost = {file for id, file in db.execute("SELECT id, file FROM spans") if id not in present}
                db.executemany("DELETE FROM files WHERE id = ?", [(file,) for file in lost])
                return len(lost)

            lost = self._write(remove)
        return [*notes, f"the vectors of {lost} recordings were lost; they are read again"] if lost else notes

    def tidy(self) -> None:
        """Remove the vectors of spans that are gone and of killed writers from the store, if there are any."""
        with locked(self.index.folder / LOCK):
            ids = self.index.database.read(lambda db: [str(id) for (id,) in db.execute("SELECT id FROM spans")])
            if len(ids) != len(self.index.store):
                keep_only(self.index.store, ids)

    def _write(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = True) -> T:
        return self.index.database.write(work, durable=durable)


def stamp_of(path: str | Path) -> FileStamp:
    """Return the stamp of a file. Raises OSError."""
    stat = os.stat(path)
    return FileStamp(stat.st_size, stat.st_mtime_ns)


def _is_complete(db: sqlite3.Connection, path: str, stamp: FileStamp) -> bool:
    query = "SELECT 1 FROM files WHERE path = ? AND state = ? AND size = ? AND modified = ?"
    return db.execute(query, (path, COMPLETE, stamp.size, stamp.modified)).fetchone() is not None


def _set_place(db: sqlite3.Connection, path: str, where: RecordingPlace) -> None:
    began = None if where.began is None else clock_seconds(where.began)
    values = (where.recorder, where.place, began, where.latitude, where.longitude, path)
    update = "UPDATE files SET recorder = ?, place = ?, began = ?, latitude = ?, longitude = ? WHERE path = ?"
    db.execute(update, values)


def _note_change(db: sqlite3.Connection) -> None:
    db.execute("UPDATE counters SET value = value + 1 WHERE name = 'changes'")


def _is_alive(owner: str) -> bool:
    """Return False for a writer whose process is gone. One of another machine cannot share the database, and counts as gone."""
    machine, process, _ = owner.split("-")
    if machine != machine_id():
        return False
    return owner in _living if int(process) == os.getpid() else is_running(int(process))
