"""What is in an index: counts, times, and what made it."""

from __future__ import annotations

import sqlite3
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from auricle.core.console import clock, number_of
from auricle.index.database import SoundIndex
from auricle.index.description import IndexInfo
from auricle.index.schema import COMPLETE, FAILED, PARTIAL

SHOWN = 10  # rows of a list


@dataclass(frozen=True)
class IndexStatus:
    """What is in an index; prints as a few lines.

    Attributes:
        folder, info: the index, and what it was made with.
        recordings, windows, seconds: that can be searched.
        failed, unfinished: recordings that could not be read, and those of which only a part is stored.
        events, answers: numbers of them.
        recorders, places: recordings by name; "" for those whose names say nothing.
        labels: windows by class whose score reaches the threshold of the class, the most frequent first.
        first, last: when the earliest and the latest recording began, by the clocks of the recorders (ISO 8601); "" if unknown.
        bytes: of the folder.
    """

    folder: Path
    info: IndexInfo
    recordings: int
    windows: int
    seconds: float
    failed: int
    unfinished: int
    events: int
    answers: int
    recorders: dict[str, int]
    places: dict[str, int]
    labels: dict[str, int]
    first: str
    last: str
    bytes: int

    @classmethod
    def of(cls, folder: str | Path) -> IndexStatus:
        """Return what is in an index. Raises AuricleError for a folder that is none, and for a damaged one."""
        index = SoundIndex.open(folder)
        return index.database.read(lambda db: _status(index, db))

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; of the classes of the model only their number."""
        info = {name: value for name, value in asdict(self.info).items() if name != "heads"}
        heads = [{"name": head.name, "classes": len(head.classes)} for head in self.info.heads]
        own = {name: value for name, value in self.__dict__.items() if name not in ("folder", "info")}
        return {"index": str(self.folder), **info, "heads": heads, **own}

    def __str__(self) -> str:
        info = self.info
        heads = ", ".join(f"{len(head.classes)} classes of {head.name}" for head in info.heads)
        rows = [
            f"{self.folder}: {number_of(self.recordings, 'recording')}, {clock(self.seconds)}, "
            f"{number_of(self.windows, 'window')} of {info.window:g} s every {info.hop:g} s, {self.bytes / 1e6:.1f} MB",
            f"  model      {info.model}, {info.dim} numbers a vector in {info.dtype}{f'; {heads}' if heads else ''}",
        ]
        if self.first:
            rows.append(f"  recorded   {self.first.replace('T', ' ')} to {self.last.replace('T', ' ')}")
        for name, counts in (("recorders", self.recorders), ("places", self.places)):
            known = [f"{item} {count:,}" for item, count in counts.items() if item]
            rows += [f"  {name:<10} {_first(known)}"] if known else []
        if self.labels:
            rows.append(f"  labels     {_first([f'{label} {count:,}' for label, count in self.labels.items()])}")
        rows.append(f"  events     {self.events:,}")
        counts = {"answers": self.answers, "failed": self.failed, "unfinished": self.unfinished}
        rows += [f"  {name:<10} {count:,}" for name, count in counts.items() if count]
        return "\n".join(rows)


def _first(texts: list[str]) -> str:
    more = len(texts) - SHOWN
    return "; ".join(texts[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _status(index: SoundIndex, db: sqlite3.Connection) -> IndexStatus:
    def one(query: str, *values: object) -> Any:
        return db.execute(query, values).fetchone()

    def counts(column: str) -> dict[str, int]:
        query = f"SELECT {column}, count(*) AS n FROM files WHERE state = ? GROUP BY {column} ORDER BY n DESC, {column}"
        return dict(db.execute(query, (COMPLETE,)).fetchall())

    total = "SELECT count(*), coalesce(sum(windows), 0), coalesce(sum(seconds), 0) FROM files WHERE state = ?"
    recordings, windows, seconds = one(total, COMPLETE)
    began = "SELECT strftime('%Y-%m-%dT%H:%M:%S', {0}(began), 'unixepoch') FROM files WHERE state = ?"
    reached = {
        item.label: one("SELECT count(*) FROM scores WHERE label = ? AND score >= ?", number, item.threshold)[0]
        for number, item in enumerate(index.info.classes)
    }
    often = sorted((item for item in reached.items() if item[1]), key=lambda item: -item[1])
    return IndexStatus(
        folder=index.folder,
        info=index.info,
        recordings=recordings,
        windows=windows,
        seconds=seconds,
        failed=one("SELECT count(*) FROM files WHERE state = ?", FAILED)[0],
        unfinished=one("SELECT count(*) FROM files WHERE state = ?", PARTIAL)[0],
        events=one("SELECT count(*) FROM events")[0],
        answers=one("SELECT count(*) FROM answers")[0],
        recorders=counts("recorder"),
        places=counts("place"),
        labels=dict(often),
        first=one(began.format("min"), COMPLETE)[0] or "",
        last=one(began.format("max"), COMPLETE)[0] or "",
        bytes=sum(file.stat().st_size for file in index.folder.rglob("*") if file.is_file()),
    )
