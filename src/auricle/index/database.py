"""``SoundIndex``: the windows of recordings with their vectors, scores, events and answers, in a folder.

    index = SoundIndex.open("INDEX")
    span = index.spans_by_score("Dog", 0.5)[0]

    INDEX/index.json      what made it (``description.py``)
    INDEX/index.sqlite    files, spans, scores, events and answers (``schema.py``)
    INDEX/vectors/        an embedding store; the id of a row is the id of its span
    INDEX/search/         made from the vectors, for faster search; may be deleted

Readers see complete recordings only. Ids of spans are never used again. No PyTorch here.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from auricle.core.errors import AuricleError
from auricle.core.io import make_folder
from auricle.core.locks import locked
from auricle.data.stores.embeddings import EmbeddingStore, LostDescriptionError
from auricle.data.stores.shards import CLIP, DamagedShardError
from auricle.index import schema
from auricle.index.answers import Answer
from auricle.index.description import DESCRIPTION, IndexInfo

VECTORS, SEARCH, LOCK = "vectors", "search", "lock"
SPAN_COLUMNS = "id, path, start, stop, recorder, place, began"
OF_SPANS = "SELECT value FROM json_each(?)"  # ids as a JSON list: any number of them in one query


@dataclass(frozen=True)
class Span:
    """A window of a recording.

    Attributes:
        id: its number in the index.
        path: absolute path of the recording.
        start, end: seconds of the recording.
        recorder, place: where it was recorded; "" if unknown.
        began: local time at which the recording began; None if unknown.
    """

    id: int
    path: str
    start: float
    end: float
    recorder: str = ""
    place: str = ""
    began: datetime | None = None


@dataclass(frozen=True)
class IndexedFile:
    """A recording of an index.

    Attributes:
        path: absolute.
        seconds: its length.
        size, modified: bytes, and the time of the last change in nanoseconds, when it was read.
        windows: number of spans.
        recorder, place: where it was recorded; "" if unknown.
        began: local time at which the recording began; None if unknown.
        latitude, longitude: degrees; None if unknown.
        failure: why it could not be read; "" for one that was.
    """

    path: str
    seconds: float
    size: int
    modified: int
    windows: int = 0
    recorder: str = ""
    place: str = ""
    began: datetime | None = None
    latitude: float | None = None
    longitude: float | None = None
    failure: str = ""


@dataclass(frozen=True)
class IndexedEvent:
    """An event of a recording, as ``auricle tag --window`` finds it. ``score`` is the highest one from start to end (seconds)."""

    path: str
    label: str
    start: float
    end: float
    score: float


class SpanCondition(Protocol):
    """Which spans are meant, as SQL."""

    def sql(self) -> tuple[str, Sequence[Any]]:
        """Return a condition over the columns id, path, start, stop, recorder, place and began (``visible_spans``), and its values.

        ``began`` is seconds of the local clock since 1970 (``clock_seconds``), or NULL; ``began + start`` is when a span begins.
        """
        ...


class SoundIndex:
    """An index of recordings. ``auricle.build_index`` fills one, ``open`` opens one; threads may share it.

    Args:
        folder: the folder.
        info: what it was made with.

    Raises:
        AuricleError: ``open``: for a folder that is no index, one of a newer version, and a damaged one.

    Example:
        auricle.build_index("sounds", "mn04_as", out="INDEX")
        index = auricle.SoundIndex.open("INDEX")
        for span, score in index.spans_by_score("Dog", 0.5):
            print(index.spans([span])[0].path, score)
    """

    def __init__(self, folder: Path, info: IndexInfo):
        self.folder, self.info = folder, info
        self.database = schema.Database(folder / schema.FILE)
        self._store: EmbeddingStore | None = None

    # ---- opening
    @classmethod
    def create(cls, folder: str | Path, info: IndexInfo) -> SoundIndex:
        """Make an index, or open an existing one that was made with the same.

        Args:
            folder: made if it does not exist.
            info: model, windows, classes.

        Raises:
            AuricleError: for an index that was made with something else, and for a folder of other files.
        """
        folder = Path(folder)
        make_folder(folder, "choose another --out")
        if not cls.is_index(folder):
            _check_empty(folder)  # before the lock, which would stay among the files of the user
        with locked(folder / LOCK):
            if not (folder / DESCRIPTION).exists():
                _check_empty(folder)
                index = cls(folder, info)
                index._remove_unfinished()
                index.database.create()
                rows = [
                    (n, item.label, head.name, item.id)
                    for n, (head, item) in enumerate((head, item) for head in info.heads for item in head.classes)
                ]
                insert = "INSERT OR REPLACE INTO labels VALUES (?, ?, ?, ?)"
                index.database.write(lambda db: db.executemany(insert, rows))
                EmbeddingStore.create(folder / VECTORS, index._about_vectors(), dtype=info.dtype)
                info.write(folder)  # last: a folder with a description is complete
        index = cls.open(folder)
        if different := index.info.differences(info):
            raise AuricleError(
                f"the index {folder} was made with {', '.join(different)}; give the same, or another --out"
            )
        with locked(folder / LOCK):
            index._mend_store()
        if (
            index.info.heads != info.heads
        ):  # thresholds, which decide about the events of recordings that are read from now on
            index.info = replace(index.info, heads=info.heads)
            index.info.write(folder)
        return index

    @classmethod
    def open(cls, folder: str | Path) -> SoundIndex:
        """Open an existing index.

        Raises:
            AuricleError: for a folder that is no index, one of a newer version, and a damaged one.
        """
        folder = Path(folder)
        index = cls(folder, IndexInfo.read(folder))
        index.database.check()
        return index

    def _remove_unfinished(self) -> None:
        """Remove what a process left that was killed before it wrote the description. Raises AuricleError for more than that."""

        def holds_files(db: sqlite3.Connection) -> bool:
            made = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'files'").fetchone()
            return bool(made and db.execute("SELECT 1 FROM files LIMIT 1").fetchone())

        if self.database.file.exists() and self.database.read(holds_files):
            raise AuricleError(
                f"the index {self.folder} has lost {DESCRIPTION}; restore the file, or make the index again in another folder"
            )
        for file in self.folder.glob(f"{schema.FILE}*"):
            file.unlink()
        shutil.rmtree(self.folder / VECTORS, ignore_errors=True)

    @staticmethod
    def is_index(folder: str | Path) -> bool:
        """Return True if the folder has the description of an index."""
        return (Path(folder) / DESCRIPTION).is_file()

    @property
    def store(self) -> EmbeddingStore:
        """The vectors by the ids of their spans. It may hold rows that no span has; those are not in the index."""
        if self._store is None:
            self._store = EmbeddingStore.open(self.folder / VECTORS)
        return self._store

    def _mend_store(self) -> None:
        """Write the description of the vectors again where it is lost or damaged: what is in it follows from that of the index."""
        try:
            EmbeddingStore.open(self.folder / VECTORS)
        except LostDescriptionError:
            EmbeddingStore.describe_again(self.folder / VECTORS, self._about_vectors(), dtype=self.info.dtype)

    def _about_vectors(self) -> dict[str, Any]:
        return {"encoder": self.info.fingerprint, "window": self.info.window, "hop": self.info.hop}

    # ---- files and spans
    def __len__(self) -> int:
        """The number of spans."""
        return int(self.database.read(lambda db: db.execute("SELECT count(*) FROM visible_spans").fetchone()[0]))

    def changes(self) -> int:
        """Return a number that grows whenever spans are added or removed: what was made from the vectors before is old then."""
        query = "SELECT value FROM counters WHERE name = 'changes'"
        return int(self.database.read(lambda db: db.execute(query).fetchone()[0]))

    def files(self) -> list[IndexedFile]:
        """Return the recordings by path: complete ones, and those that could not be read (``failure``)."""
        query = (
            "SELECT path, seconds, size, modified, windows, recorder, place, began, latitude, longitude, failure FROM files "
            "WHERE state != ? ORDER BY path"
        )
        rows = self.database.read(lambda db: db.execute(query, (schema.PARTIAL,)).fetchall())
        names = [field.name for field in fields(IndexedFile)]
        return [IndexedFile(**{**dict(zip(names, row)), "began": _time(row[7])}) for row in rows]

    def spans(self, ids: Iterable[int] | None = None, *, where: SpanCondition | None = None) -> list[Span]:
        """Return spans: by path and time, or with ``ids`` in their order; ids that the index does not have (any more) are left out.

        Args:
            ids: None: all.
            where: only those that it holds for.
        """
        condition, values = _condition(where)
        if ids is None:
            query = f"SELECT {SPAN_COLUMNS} FROM visible_spans WHERE {condition} ORDER BY path, start"
            return [_span(row) for row in self._rows(query, values)]
        wanted = [int(id) for id in ids]
        query = f"SELECT {SPAN_COLUMNS} FROM visible_spans WHERE id IN ({OF_SPANS}) AND {condition}"
        found = {row[0]: _span(row) for row in self._rows(query, (json.dumps(wanted), *values))}
        return [found[id] for id in wanted if id in found]

    def span_ids(self, where: SpanCondition | None = None) -> np.ndarray:
        """Return the ids (n,) int64 of all spans, or of those that ``where`` holds for, in rising order."""
        condition, values = _condition(where)
        rows = self._rows(f"SELECT id FROM visible_spans WHERE {condition} ORDER BY id", values)
        return np.fromiter((id for (id,) in rows), np.int64, len(rows))

    def vectors(self, ids: Iterable[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the ids (n,) int64 and the vectors (n, D) float32 of spans.

        Args:
            ids: None: all, in rising order; otherwise in this order, without those that the index does not have (any more).

        Raises:
            AuricleError: for damaged vectors.
        """
        if ids is None:
            chosen = self.span_ids()
        else:
            wanted = [int(id) for id in ids]
            query = f"SELECT id FROM visible_spans WHERE id IN ({OF_SPANS})"
            known = {id for (id,) in self._rows(query, (json.dumps(wanted),))}
            chosen = np.array([id for id in wanted if id in known], np.int64)
        if not len(chosen):
            return chosen, np.zeros((0, self.info.dim), np.float32)
        names = [str(id) for id in chosen]
        try:
            vectors = self.store.vectors(names, [CLIP])
        except DamagedShardError:  # another process has just put the rows of a shard elsewhere
            self._store = None
            vectors = self.store.vectors(names, [CLIP])
        return chosen, vectors.astype(np.float32, copy=False)

    # ---- scores and events
    def scores(self, ids: Iterable[int]) -> dict[int, dict[str, float]]:
        """Return the calibrated scores of spans by label, the highest first; those of at least ``info.min_score`` are kept."""
        wanted = [int(id) for id in ids]
        query = f"SELECT span, label, score FROM scores WHERE span IN ({OF_SPANS}) ORDER BY score DESC, label"
        labels, found = self.info.labels, {id: dict[str, float]() for id in wanted}
        for span, label, score in self._rows(query, (json.dumps(wanted),)):
            found[span][labels[label]] = score
        return found

    def spans_by_score(
        self, label: str, least: float, most: float = 1.0, where: SpanCondition | None = None
    ) -> list[tuple[int, float]]:
        """Return (span id, score) of the spans whose score of a class lies from ``least`` to ``most``, the highest first.

        Args:
            label: of ``info.labels``; the name or id of a class will do.
            least, most: scores from 0 to 1. Scores below ``info.min_score`` are not kept.
            where: only the spans that it holds for.

        Raises:
            AuricleError: for a label that the index does not have, with similar ones.
        """
        condition, values = _condition(where)
        query = (
            "SELECT scores.span, scores.score FROM scores JOIN visible_spans ON visible_spans.id = scores.span "
            f"WHERE scores.label = ? AND scores.score >= ? AND scores.score <= ? AND {condition} "
            "ORDER BY scores.score DESC, scores.span"
        )
        number = self.info.label_number(label)
        return [(int(id), float(score)) for id, score in self._rows(query, (number, least, most, *values))]

    def events(self, path: str | Path | None = None) -> list[IndexedEvent]:
        """Return the events of one recording (absolute path) or of all, by path and time."""
        query = (
            "SELECT files.path, events.label, events.start, events.stop, events.score FROM events "
            "JOIN files ON files.id = events.file WHERE files.state = ? AND (? OR files.path = ?) "
            "ORDER BY files.path, events.start, events.score DESC"
        )
        labels = self.info.labels
        rows = self._rows(query, (schema.COMPLETE, path is None, str(path)))
        return [IndexedEvent(path, labels[label], start, end, score) for path, label, start, end, score in rows]

    # ---- answers of people
    def add_answers(self, answers: Iterable[Answer]) -> None:
        """Keep answers; when this returns, they are on disk. A later answer to the same question comes behind the earlier one."""
        rows = [_answer_row(answer) for answer in answers]
        marks = ", ".join("?" * len(ANSWER_COLUMNS))
        insert = f"INSERT INTO answers ({', '.join(ANSWER_COLUMNS)}) VALUES ({marks})"
        self.database.write(lambda db: db.executemany(insert, rows))

    def answers(self) -> list[Answer]:
        """Return all answers in the order in which they were given, also about recordings that are no longer in the index."""
        rows = self._rows(f"SELECT {', '.join(ANSWER_COLUMNS)} FROM answers ORDER BY id")
        return [Answer(*row) for row in rows]

    def undo_answer(self, reviewer: str | None = None) -> Answer | None:
        """Remove the last answer (of a reviewer) and return it; None if there is none."""

        def undo(db: sqlite3.Connection) -> Answer | None:
            query = (
                f"SELECT id, {', '.join(ANSWER_COLUMNS)} FROM answers WHERE ? OR reviewer = ? ORDER BY id DESC LIMIT 1"
            )
            row = db.execute(query, (reviewer is None, reviewer)).fetchone()
            if row is None:
                return None
            db.execute("DELETE FROM answers WHERE id = ?", row[:1])
            return Answer(*row[1:])

        return self.database.write(undo)

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple]:
        return self.database.read(lambda db: db.execute(query, values).fetchall())


# ---- rows
ANSWER_COLUMNS = tuple("stop" if field.name == "end" else field.name for field in fields(Answer))


def _answer_row(answer: Answer) -> tuple:
    return tuple(getattr(answer, field.name) for field in fields(Answer))


def clock_seconds(local: datetime) -> float:
    """Return a local time as the database holds it: seconds that its clock counts since 1970-01-01 00:00."""
    return local.replace(tzinfo=UTC).timestamp()


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def _span(row: tuple) -> Span:
    id, path, start, end, recorder, place, began = row
    return Span(id, path, start, end, recorder, place, _time(began))


def _condition(where: SpanCondition | None) -> tuple[str, Sequence[Any]]:
    if where is None:
        return "1", ()
    condition, values = where.sql()
    return (f"({condition})" if condition else "1"), values


def _check_empty(folder: Path) -> None:
    """Raise AuricleError for a folder with files that are not those of an index that was about to be made."""
    ours = {LOCK, VECTORS, SEARCH, DESCRIPTION}
    names = sorted(path.name for path in folder.iterdir())
    others = [name for name in names if name not in ours and not name.startswith((schema.FILE, f".{DESCRIPTION}."))]
    if others:
        raise AuricleError(f"{folder} is no index and holds other files ({others[0]} …); choose another --out")
