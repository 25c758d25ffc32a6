"""The tables of an index, and transactions on them.

``index.sqlite`` is the truth about an index: a span that is not in ``visible_spans`` is not in the index, whatever files hold.
A recording has at most one row per state. What is read of a recording stays in the state "partial", which no reader sees, until all
of it is there; one transaction then makes it "complete" and removes the version before it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

from auricle.core.errors import AuricleError, first_line
from auricle.core.io import write_failure

VERSION = 1  # of the tables
FILE = "index.sqlite"
WAIT_SECONDS = 60.0  # for another writer's transaction, which takes milliseconds
COMPLETE, PARTIAL, FAILED = "complete", "partial", "failed"
TABLES = """
CREATE TABLE labels (number INTEGER PRIMARY KEY, label TEXT NOT NULL UNIQUE, head TEXT NOT NULL, class TEXT NOT NULL);
CREATE TABLE files (
  id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL, state TEXT NOT NULL, size INTEGER NOT NULL,
  modified INTEGER NOT NULL, sha256 TEXT NOT NULL, seconds REAL NOT NULL, windows INTEGER NOT NULL,
  recorder TEXT NOT NULL DEFAULT '', place TEXT NOT NULL DEFAULT '', began REAL, latitude REAL, longitude REAL,
  failure TEXT NOT NULL DEFAULT '', UNIQUE (path, state)
);
CREATE INDEX files_by_size ON files (size);
CREATE TABLE spans (
  id INTEGER PRIMARY KEY, file INTEGER NOT NULL REFERENCES files ON DELETE CASCADE, start REAL NOT NULL, stop REAL NOT NULL
);
CREATE INDEX spans_by_file ON spans (file, start);
CREATE TABLE scores (
  span INTEGER NOT NULL REFERENCES spans ON DELETE CASCADE, label INTEGER NOT NULL, score REAL NOT NULL,
  PRIMARY KEY (span, label)
) WITHOUT ROWID;
CREATE INDEX scores_by_label ON scores (label, score);
CREATE TABLE events (
  id INTEGER PRIMARY KEY, file INTEGER NOT NULL REFERENCES files ON DELETE CASCADE, label INTEGER NOT NULL,
  start REAL NOT NULL, stop REAL NOT NULL, score REAL NOT NULL
);
CREATE INDEX events_by_file ON events (file, start);
CREATE INDEX events_by_label ON events (label, score);
CREATE TABLE parts (
  file INTEGER NOT NULL REFERENCES files ON DELETE CASCADE, first INTEGER NOT NULL, scores BLOB NOT NULL,
  PRIMARY KEY (file, first)
);
CREATE TABLE answers (
  id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL, start REAL, stop REAL, label TEXT NOT NULL, answer TEXT NOT NULL,
  other TEXT NOT NULL, score REAL, reviewer TEXT NOT NULL, time TEXT NOT NULL, model TEXT NOT NULL, probability REAL
);
CREATE INDEX answers_by_path ON answers (path);
CREATE TABLE claims (path TEXT PRIMARY KEY, owner TEXT NOT NULL);
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT INTO counters VALUES ('next span', 1), ('changes', 0);
CREATE VIEW visible_spans AS
  SELECT spans.id, files.path, spans.start, spans.stop, files.recorder, files.place, files.began, spans.file
  FROM spans JOIN files ON files.id = spans.file WHERE files.state = 'complete';
"""
T = TypeVar("T")


class Database:
    """Transactions on the tables of an index. Threads and processes may share the file; each transaction is a connection.

    Args:
        file: ``index.sqlite``.
    """

    def __init__(self, file: Path):
        self.file = file

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return what ``work`` reads, all of it from one moment. Raises AuricleError for a damaged database."""
        return self._run(work, "BEGIN")

    def write(self, work: Callable[[sqlite3.Connection], T], *, durable: bool = True) -> T:
        """Do ``work`` completely or not at all.

        Args:
            work: what is written.
            durable: return when the disk holds it, so that a power cut does not undo it.

        Raises:
            AuricleError: for a damaged database, a full disk, and a folder that cannot be written.
        """
        return self._run(work, "BEGIN IMMEDIATE", durable)

    def create(self) -> None:
        """Make the tables where there are none."""

        def make(db: sqlite3.Connection) -> None:
            if db.execute("PRAGMA user_version").fetchone()[0] == 0:
                for statement in TABLES.split(";\n"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {VERSION}")

        self._run(lambda db: db.execute("PRAGMA journal_mode = WAL"), "")
        self.write(make)

    def check(self) -> None:
        """Raise AuricleError unless the tables are those of this version."""
        if not self.file.is_file():
            raise AuricleError(
                f"the index {self.file.parent} has lost {self.file.name}; restore the file, or make the index again in "
                "another folder"
            )
        version = self.read(lambda db: int(db.execute("PRAGMA user_version").fetchone()[0]))
        if version > VERSION:
            raise AuricleError(
                f"the tables of {self.file} have version {version}; this version of Auricle reads {VERSION}"
            )
        if version < VERSION:
            raise self._damaged("its tables are missing")

    def _run(self, work: Callable[[sqlite3.Connection], T], begin: str, durable: bool = True) -> T:
        try:
            with closing(self._connect(durable)) as db:
                if not begin:
                    return work(db)
                db.execute(begin)
                try:
                    result = work(db)
                    db.execute("COMMIT")
                except BaseException:
                    with suppress(sqlite3.Error):
                        db.execute("ROLLBACK")
                    raise
                return result
        except sqlite3.OperationalError as error:
            if "no such" in str(error) or "malformed" in str(error):
                raise self._damaged(first_line(error)) from None
            reason = write_failure(error) or first_line(error)
            raise AuricleError(f"the database {self.file} cannot be used: {reason}") from None
        except sqlite3.IntegrityError:
            raise  # a fault of this program
        except sqlite3.DatabaseError as error:
            raise self._damaged(first_line(error)) from None

    def _connect(self, durable: bool) -> sqlite3.Connection:
        name = self.file.absolute().as_uri()
        if not os.access(self.file.parent, os.W_OK):
            log = self.file.with_name(f"{self.file.name}-wal")
            if log.exists() and log.stat().st_size:
                raise AuricleError(
                    f"{self.file} is in a folder that cannot be written, and the last process that wrote into it did not finish: "
                    "open the index once where it can be written"
                )
            name += "?immutable=1"  # otherwise files are made beside it
        db = sqlite3.connect(name, timeout=WAIT_SECONDS, isolation_level=None, uri=True)
        db.execute("PRAGMA foreign_keys = ON")
        db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        return db

    def _damaged(self, reason: str) -> AuricleError:
        return AuricleError(
            f"the database {self.file} is damaged ({reason}); restore it from a copy, or make the index again in another folder"
        )
