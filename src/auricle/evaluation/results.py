"""The results store: every score ever measured, appended to one local SQLite file. No PyTorch here.

One transaction per evaluation in SQLite's rollback journal: two writers wait for each other, and a killed one leaves
nothing half written. Not write-ahead logging: two programs that turn it on in a new file at once do not wait for each
other (SQLite answers "database is locked" at once), and it does not work on the network drives of a cluster. A file
from a newer version is refused and not changed.
"""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.errors import AuricleError
from auricle.core.io import dumps, make_folder
from auricle.evaluation.evaluation import Evaluation, Score
from auricle.evaluation.scoring import FoldScore
from auricle.metrics.table import metric_name

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
ADDED_COLUMNS = {"test_ratio": "REAL"}  # since the first edition; its programs go on working with such a store
COLUMN_OF = {"std": "deviation"}  # where the file keeps a field under the first edition's name
JSON_FIELDS = ("scores", "environment")


@dataclass(frozen=True)
class Result:
    """One row of the store: a score of one model on one task by one protocol.

    Attributes:
        model: Name of the model.
        checksum: Fingerprint of the encoder; "" for chance.
        task: Name of the task.
        protocol: Name of the protocol, or "4-shot" for a point of the few-shot curve.
        metric: Name of the metric.
        score: Mean over splits and seeds.
        std: Standard deviation (n-1) over splits and seeds; None for a single score.
        scores: Every score, {"fold 1 / 42": 0.95}, by split and seed.
        classes: How many classes were tested.
        clips: How many clips were tested.
        seconds: Time that the evaluation took.
        role: "model" or "baseline".
        environment: Versions and machine.
        command: The command line.
        test_ratio: Test clips per training clip, the mean over splits; None in rows of the first edition and of few-shot
            curves.
        id: Given by the store.
        time: When it was appended, given by the store.
    """

    model: str
    checksum: str
    task: str
    protocol: str
    metric: str
    score: float
    std: float | None
    scores: dict[str, float]
    classes: int = 0
    clips: int = 0
    seconds: float = 0.0
    role: str = "model"
    environment: dict[str, Any] = field(default_factory=dict)
    command: str = ""
    test_ratio: float | None = None
    id: int | None = None
    time: str = ""


NAME_ANOTHER = "name another file with --store"
FIELDS = tuple(f.name for f in fields(Result))


@dataclass(frozen=True)
class ResultsStore:
    """The store in a file; the first ``append`` makes it."""

    path: Path

    def check(self) -> None:
        """Raise AuricleError for a store that could not be appended to: before hours of work, not after."""
        if self.path.exists():
            with self._open():
                pass
        else:
            make_folder(self.path.parent, NAME_ANOTHER)

    def append(self, results: Sequence[Result]) -> list[int]:
        """Write all results or none, and return their ids."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        names = [name for name in FIELDS if name != "id"]
        columns, marks = ", ".join(_column(name) for name in names), ", ".join("?" for _ in names)
        with self._open(create=True) as db, db:
            db.execute("BEGIN IMMEDIATE")
            rows = [_encoded(asdict(r) | {"time": r.time or now}) for r in results]
            insert = f"INSERT INTO results ({columns}) VALUES ({marks})"
            return [int(db.execute(insert, [row[name] for name in names]).lastrowid or 0) for row in rows]

    def select(self, *, model: str = "", task: str = "", protocol: str = "", baselines: bool = True) -> list[Result]:
        """Return rows in the order they were written; each filter is a part of the name. An absent store is empty."""
        if not self.path.exists():
            return []
        wanted = {"model": model, "task": task, "protocol": protocol}
        conditions = [f"instr(lower({name}), lower(?)) > 0" for name, part in wanted.items() if part]
        conditions += [] if baselines else ["role = 'model'"]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        with self._open() as db:
            absent = ADDED_COLUMNS.keys() - _columns_of(db)
            columns = ", ".join("NULL" if name in absent else _column(name) for name in FIELDS)
            query = f"SELECT {columns} FROM results{where} ORDER BY id"
            rows = db.execute(query, [part for part in wanted.values() if part]).fetchall()
        return [_decoded(dict(zip(FIELDS, row))) for row in rows]

    @contextmanager
    def _open(self, create: bool = False) -> Iterator[sqlite3.Connection]:
        """Connect to a store of this version. Raises AuricleError for a newer one, or a file that is no store."""
        if create:
            make_folder(self.path.parent, NAME_ANOTHER)
        try:
            db = sqlite3.connect(self.path, timeout=WAIT_SECONDS, isolation_level=None)
        except sqlite3.Error as error:
            raise AuricleError(f"the results store {self.path} cannot be opened: {error}") from None
        try:
            self._check_version(db)
            if create:
                _prepare(db)
            yield db
        except sqlite3.Error as error:
            if isinstance(error, sqlite3.IntegrityError):
                raise AuricleError(f"{self.path} refuses a result: {error}; nothing was written") from error
            locked = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_BUSY
            advice = (
                f"another program has locked it for {WAIT_SECONDS:.0f} s: end that one, or name another file with --store"
                if locked
                else "move it away and the next evaluation starts a new one"
            )
            raise AuricleError(f"the results store {self.path} cannot be used ({error}); {advice}") from error
        finally:
            db.close()

    def _check_version(self, db: sqlite3.Connection) -> None:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            raise AuricleError(
                f"the results store {self.path} was written by a newer version of auricle (format {version}, this one "
                f"reads {VERSION}): update auricle, or name another file with --store; nothing was changed"
            )


def _prepare(db: sqlite3.Connection) -> None:
    """Make the table, and the columns that an older store lacks."""
    if db.execute("PRAGMA user_version").fetchone()[0] == VERSION and ADDED_COLUMNS.keys() <= _columns_of(db):
        return
    with db:
        db.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA.split(";"):
            db.execute(statement)
        for name in sorted(ADDED_COLUMNS.keys() - _columns_of(db)):
            db.execute(f"ALTER TABLE results ADD COLUMN {name} {ADDED_COLUMNS[name]}")
        db.execute(f"PRAGMA user_version={VERSION}")


def _columns_of(db: sqlite3.Connection) -> set[str]:
    return {row[1] for row in db.execute("PRAGMA table_info(results)")}


def _column(name: str) -> str:
    return COLUMN_OF.get(name, name)


def _encoded(row: dict[str, Any]) -> dict[str, Any]:
    return row | {name: json.dumps(row[name], sort_keys=True) for name in JSON_FIELDS}


def _decoded(row: dict[str, Any]) -> Result:
    """A row of the file; the first edition's metric names are read in this edition's spelling."""
    values = {name: json.loads(row[name]) for name in JSON_FIELDS}
    return Result(**row | values | {"metric": metric_name(row["metric"])})


# Tables of results as text, CSV, Markdown and JSON.

SHOWN = ("id", "time", "model", "task", "protocol", "metric", "score", "std", "classes", "clips")


def as_csv(results: Sequence[Result]) -> str:
    """Write every column; scores by split and environment are JSON text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_encoded(asdict(result)) for result in results)
    return text.getvalue()


def as_markdown(results: Sequence[Result]) -> str:
    """Write a Markdown table of the main columns."""
    head = [" | ".join(SHOWN), " | ".join("---" for _ in SHOWN)]
    return "\n".join(f"| {line} |" for line in [*head, *(" | ".join(_cells(r)).replace("\n", " ") for r in results)])


def as_text(results: Sequence[Result]) -> str:
    """Write the main columns, padded with blanks."""
    rows = [list(SHOWN), *(_cells(result) for result in results)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(SHOWN))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def as_json(results: Sequence[Result]) -> str:
    """Write every column as a JSON list."""
    return dumps([asdict(result) for result in results], indent=1)


def _cells(result: Result) -> list[str]:
    values = [getattr(result, name) for name in SHOWN]
    return ["" if v is None else f"{v:.4f}" if isinstance(v, float) else str(v) for v in values]


FORMATS = {"text": as_text, "csv": as_csv, "markdown": as_markdown, "json": as_json}


# From an Evaluation to rows of the store: the model's, one per few-shot point, and those of the baselines.


def record(evaluation: Evaluation, store: ResultsStore) -> list[int]:
    """Append all that the evaluation measured in one transaction, and return the ids of the rows."""
    pairs = [("model", evaluation.score), *(("baseline", row) for row in evaluation.baselines)]
    return store.append([row for role, score in pairs for row in _rows(evaluation, score, role)])


def _rows(evaluation: Evaluation, score: Score, role: str) -> list[Result]:
    def row(protocol: str, value: float, std: float | None, scores: Sequence[FoldScore], ratio: float | None) -> Result:
        return Result(
            model=score.model,
            checksum=score.checksum,
            task=evaluation.task,
            protocol=protocol,
            metric=evaluation.metric,
            score=value,
            std=std,
            scores=score_table(scores),
            classes=evaluation.classes_scored,
            clips=evaluation.coverage.tested,
            seconds=evaluation.seconds,
            role=role,
            environment=evaluation.environment,
            command=evaluation.command,
            test_ratio=ratio,
        )

    curve = [row(f"{p.shots}-shot", p.score, p.std, p.scores, None) for p in score.few_shot]
    return [row(evaluation.protocol, score.score, score.std, score.scores, mean_test_ratio(score.scores)), *curve]


def score_table(scores: Sequence[FoldScore]) -> dict[str, float]:
    """Return {"fold 1 / 42": 0.95}, by split and seed."""
    return {f"{s.fold} / {s.seed}": s.score for s in scores}


def mean_test_ratio(scores: Sequence[FoldScore]) -> float:
    """Return the mean over splits of test clips per training clip."""
    return float(np.mean([s.test / max(1, s.train) for s in scores]))
