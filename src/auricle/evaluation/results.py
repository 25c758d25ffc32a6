"""The results store: every score ever measured, appended to one local SQLite file. No PyTorch here.

One transaction per evaluation in SQLite's rollback journal: two writers wait for each other, and a killed one leaves
nothing half written. Not write-ahead logging: two programs that turn it on in a new file at once do not wait for each
other (SQLite answers "database is locked" at once), and it does not work on the network drives of a cluster. A file
from a newer version is refused and not changed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.errors import AuricleError, content_fault
from auricle.core.io import make_folder
from auricle.evaluation.evaluation import Evaluation
from auricle.evaluation.result_rows import (
    CANDIDATE,
    FIELDS,
    FORMATS,
    Result,
    as_csv,
    as_json,
    as_markdown,
    as_text,
    decoded,
    encoded,
    rows_of,
)

__all__ = ["FORMATS", "Result", "ResultsStore", "as_csv", "as_json", "as_markdown", "as_text", "record"]

VERSION = 1
WAIT_SECONDS = 60.0
SCHEMA = """
CREATE TABLE IF NOT EXISTS results (
  id INTEGER PRIMARY KEY, time TEXT NOT NULL, model TEXT NOT NULL, checksum TEXT NOT NULL, task TEXT NOT NULL,
  protocol TEXT NOT NULL, metric TEXT NOT NULL, score REAL NOT NULL, deviation REAL, scores TEXT NOT NULL,
  classes INTEGER, clips INTEGER, seconds REAL, role TEXT NOT NULL, environment TEXT NOT NULL, command TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS by_task ON results (task, protocol, model);
"""
ADDED_COLUMNS = {
    "test_ratio": "REAL",
    "fingerprint": "TEXT",
    "identity": "TEXT",
    "place": "TEXT",
    "version": "TEXT",
    "work": "TEXT",
    "interval": "TEXT",
    "notes": "TEXT",
}  # since the first edition; its programs go on working with such a store
COLUMN_OF = {"std": "deviation"}  # where the file keeps a field under the first edition's name
SAME_SCORE = 1e-6  # two measurements of one thing may differ by rounding
NAME_ANOTHER = "name another file with --store"


@dataclass(frozen=True)
class ResultsStore:
    """The store in a file; the first ``append`` makes it.

    Attributes:
        path: The file.
        notes: Rows that could not be read, in words.
    """

    path: Path
    notes: list[str] = field(default_factory=list, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))

    def check(self) -> None:
        """Raise AuricleError for a store that could not be appended to: before hours of work, not after."""
        if not self.path.exists():
            make_folder(self.path.parent, NAME_ANOTHER)
            return
        with self._open() as db:
            fault = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if fault != "ok":
                raise sqlite3.DatabaseError(fault)
            db.execute("BEGIN IMMEDIATE")  # refused where the file or its folder cannot be written
            db.execute("ROLLBACK")

    def append(self, results: Sequence[Result], *, once: bool = False) -> list[int]:
        """Write all results or none, and return their ids.

        Args:
            results: The rows.
            once: Leave out a row that repeats the latest measurement of the same model on the same task: an evaluation that
                was killed and started again, or one that was made twice. Its id is that of the row in the store.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._open(create=True) as db, db:
            db.execute("BEGIN IMMEDIATE")
            rows = [replace(r, time=r.time or now) for r in results]
            return [(once and _repeated(db, row)) or _insert(db, row) for row in rows]

    def select(
        self, *, model: str = "", task: str = "", protocol: str = "", baselines: bool = True, candidates: bool = True
    ) -> list[Result]:
        """Return rows in the order they were written; an absent store is empty.

        Args:
            model: Part of the model's name or place.
            task: Part of the task's name, or the first digits of its fingerprint.
            protocol: Part of the protocol's name.
            baselines: Return baselines too.
            candidates: Return heads that ``finetune`` tried and did not keep too.
        """
        wanted = {"model": model, "task": task, "protocol": protocol}
        left_out = {"baseline": not baselines, CANDIDATE: not candidates}
        return [
            row
            for row in self._rows()
            if not left_out.get(row.role) and all(_matches(row, name, part) for name, part in wanted.items())
        ]

    def of_work(self, work: str) -> list[Result]:
        """Return the rows of a suite's work, those of the latest measurement alone; none where it is not finished.

        Args:
            work: Its key.
        """
        latest: dict[tuple[str, ...], Result] = {}
        for row in self._rows("work = ?", (work,), needs="work"):
            latest[row.model, row.role, row.protocol, row.metric] = row
        return list(latest.values())

    def _rows(self, condition: str = "1", wanted: Sequence[Any] = (), *, needs: str = "id") -> list[Result]:
        """Rows that meet a condition of SQL; damaged ones are noted and left out. None in a store without ``needs``."""
        if not self.path.exists():
            return []
        with self._open() as db:
            present = _columns_of(db)
            if needs not in present:  # an empty file, or a store of an earlier version
                return []
            columns = ", ".join(_column(name) if _column(name) in present else "NULL" for name in FIELDS)
            rows = db.execute(f"SELECT {columns} FROM results WHERE {condition} ORDER BY id", wanted).fetchall()
        self.notes.clear()
        results = []
        for row in rows:
            values = dict(zip(FIELDS, row, strict=True))
            try:
                results.append(decoded(values))
            except Exception as error:  # any cell may hold anything
                self.notes.append(
                    f"row {values['id']} of {self.path} is damaged ({content_fault(error)}) and was left out"
                )
        return results

    @contextmanager
    def _open(self, create: bool = False) -> Iterator[sqlite3.Connection]:
        """Connect to a store of this version. Raises AuricleError for a newer one, or a file that is no store."""
        if create:
            make_folder(self.path.parent, NAME_ANOTHER)
        if self.path.is_dir():
            raise AuricleError(f"the results store {self.path} is a folder; {NAME_ANOTHER}")
        try:
            db = sqlite3.connect(self.path, timeout=WAIT_SECONDS, isolation_level=None)
        except (sqlite3.Error, ValueError) as error:
            raise AuricleError(f"the results store {self.path} cannot be opened: {error}; {NAME_ANOTHER}") from None
        try:
            db.text_factory = lambda content: content.decode("utf-8", "replace")
            self._check_version(db)
            if create:
                _prepare(db)
            yield db
        except sqlite3.IntegrityError as error:
            raise AuricleError(f"{self.path} refuses a result: {error}; nothing was written") from error
        except sqlite3.Error as error:
            fault = " ".join(str(error).split())
            raise AuricleError(f"the results store {self.path} cannot be used ({fault}); {_advice(error)}") from error
        finally:
            db.close()

    def _check_version(self, db: sqlite3.Connection) -> None:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise AuricleError(
                f"the results store {self.path} was written by a newer version of auricle (format {version}, this one "
                f"reads {VERSION}): update auricle, or name another file with --store; nothing was changed"
            )
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        if tables and "results" not in tables:
            raise AuricleError(f"{self.path} is the database of another program (it holds {tables[0]}); {NAME_ANOTHER}")
        lacking = {_column(name) for name in FIELDS} - _columns_of(db) - ADDED_COLUMNS.keys() if tables else ()
        if lacking:
            raise AuricleError(
                f"{self.path} is no results store: its table 'results' has no column {sorted(lacking)[0]}; {NAME_ANOTHER}"
            )


def _advice(error: sqlite3.Error) -> str:
    """What to do about an error of SQLite."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_BUSY:
        return f"another program has locked it for {WAIT_SECONDS:.0f} s: end that one, or {NAME_ANOTHER}"
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return f"it or its folder cannot be written: {NAME_ANOTHER}"
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return f"the disk is full or fails: make room, or {NAME_ANOTHER}"
    return "move it away and the next evaluation starts a new one"


def _prepare(db: sqlite3.Connection) -> None:
    """Make the table, and the columns that an older store lacks; give the rows of earlier versions their fingerprints."""
    lacking = ADDED_COLUMNS.keys() - _columns_of(db)
    if db.execute("PRAGMA user_version").fetchone()[0] != VERSION or lacking:
        with db:
            db.execute("BEGIN IMMEDIATE")
            for statement in SCHEMA.split(";"):
                db.execute(statement)
            for name in sorted(ADDED_COLUMNS.keys() - _columns_of(db)):
                db.execute(f"ALTER TABLE results ADD COLUMN {name} {ADDED_COLUMNS[name]}")
            db.execute(f"PRAGMA user_version={VERSION}")
    old = db.execute("SELECT id, scores, clips, classes FROM results WHERE fingerprint IS NULL").fetchall()
    if not old:
        return
    with db:
        db.execute("BEGIN IMMEDIATE")
        for id, scores, clips, classes in old:
            try:
                row = Result("", "", "", "", "", 0.0, None, dict(json.loads(scores)), classes or 0, clips or 0)
            except Exception:
                continue  # a damaged row is named where it is read
            values = (row.fingerprint, json.dumps(row.identity.to_json()), id)
            db.execute("UPDATE results SET fingerprint = ?, identity = ? WHERE id = ?", values)


def _repeated(db: sqlite3.Connection, row: Result) -> int | None:
    """The id of the latest measurement of the same model on the same task, if it gave what ``row`` says."""
    same = ("model", "place", "task", "fingerprint", "protocol", "metric", "role", "version", "work")
    conditions = " AND ".join(f"coalesce({name}, '') = ?" for name in same)
    query = f"SELECT id, checksum, scores FROM results WHERE {conditions} ORDER BY id DESC LIMIT 1"
    found = db.execute(query, [getattr(row, name) for name in same]).fetchone()
    if found is None or found[1] != row.checksum:
        return None
    try:
        scores = json.loads(found[2])
        equal = scores.keys() == row.scores.keys() and all(
            np.isclose(scores[key], value, rtol=0, atol=SAME_SCORE, equal_nan=True) for key, value in row.scores.items()
        )
    except Exception:  # a damaged row is named where it is read
        return None
    return int(found[0]) if equal else None


def _insert(db: sqlite3.Connection, row: Result) -> int:
    names = [name for name in FIELDS if name != "id"]
    columns, marks = ", ".join(_column(name) for name in names), ", ".join("?" for _ in names)
    values = encoded(row)
    return int(
        db.execute(f"INSERT INTO results ({columns}) VALUES ({marks})", [values[n] for n in names]).lastrowid or 0
    )


def _columns_of(db: sqlite3.Connection) -> set[str]:
    return {row[1] for row in db.execute("PRAGMA table_info(results)")}


def _column(name: str) -> str:
    return COLUMN_OF.get(name, name)


def _matches(row: Result, name: str, part: str) -> bool:
    """True if the part is in the name of a row, in its place, or at the start of its fingerprint."""
    texts = {"model": [row.model, row.place], "task": [row.task]}.get(name, [getattr(row, name)])
    found = any(part.lower() in text.lower() for text in texts)
    return found or (name == "task" and len(part) >= 4 and row.fingerprint.startswith(part.lower()))


def record(evaluation: Evaluation, store: ResultsStore) -> list[int]:
    """Append all that the evaluation measured in one transaction, and return the ids of the rows.

    What repeats the latest measurement of the same model on the same task is not appended again.
    """
    return store.append(list(rows_of(evaluation)), once=True)


def evaluation_file(store: Path, work: str) -> Path:
    """Return where the evaluation of a suite's work is kept, beside the store, with the scores of all classes."""
    return Path(store).parent / "evaluations" / f"{work}.json"


def saved_evaluation(store: Path, work: str) -> Evaluation | None:
    """Return the evaluation of a suite's work; None where it makes none, the file is gone, or the row is of no work ("")."""
    try:
        return Evaluation.load(evaluation_file(store, work)) if work else None
    except AuricleError:
        return None
