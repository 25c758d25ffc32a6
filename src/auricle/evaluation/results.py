"""The results store: every score ever measured, appended to one local SQLite file. No PyTorch here.

One transaction per evaluation in SQLite's rollback journal: two writers wait for each other, and a killed one leaves
nothing half written. Not write-ahead logging: two programs that turn it on in a new file at once do not wait for each
other (SQLite answers "database is locked" at once), and it does not work on the network drives of a cluster. A file
from a newer version is refused, not touched.
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

from auricle.core.errors import AuricleError
from auricle.core.io import dumps, make_folder
from auricle.evaluation.evaluation import Evaluation, Score
from auricle.evaluation.scoring import FoldScore

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
JSON_COLUMNS = ("scores", "environment")


@dataclass(frozen=True)
class Result:
    """One row. scores is {"fold 1 / 42": 0.95, …}, by fold and seed; role is "model" or "baseline"; id and time are
    given by the store when it is appended."""

    model: str
    checksum: str
    task: str
    protocol: str
    metric: str
    score: float
    deviation: float | None
    scores: dict[str, float]
    classes: int = 0
    clips: int = 0
    seconds: float = 0.0
    role: str = "model"
    environment: dict[str, Any] = field(default_factory=dict)
    command: str = ""
    id: int | None = None
    time: str = ""


NAME_ANOTHER = "name another file with --store"
COLUMNS = tuple(f.name for f in fields(Result))


@dataclass(frozen=True)
class ResultsStore:
    """``ResultsStore(path)``; the file is made by the first ``append``."""

    path: Path

    def check(self) -> None:
        """Raises AuricleError for a store that could not be appended to, before hours of work and not after."""
        if self.path.exists():
            with self._open():
                pass
        else:
            make_folder(self.path.parent, NAME_ANOTHER)

    def append(self, results: Sequence[Result]) -> list[int]:
        """Write all of them or none; their ids."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        names = [name for name in COLUMNS if name != "id"]
        marks = ", ".join("?" for _ in names)
        with self._open(create=True) as db, db:
            db.execute("BEGIN IMMEDIATE")
            rows = [_encoded(asdict(r) | {"time": r.time or now}) for r in results]
            insert = f"INSERT INTO results ({', '.join(names)}) VALUES ({marks})"
            return [int(db.execute(insert, [row[name] for name in names]).lastrowid or 0) for row in rows]

    def select(self, *, model: str = "", task: str = "", protocol: str = "", baselines: bool = True) -> list[Result]:
        """Rows in the order they were written; each filter is a part of the name. An absent store is empty."""
        if not self.path.exists():
            return []
        wanted = {"model": model, "task": task, "protocol": protocol}
        conditions = [f"instr(lower({name}), lower(?)) > 0" for name, text in wanted.items() if text]
        conditions += [] if baselines else ["role = 'model'"]
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        with self._open() as db:
            query = f"SELECT {', '.join(COLUMNS)} FROM results{where} ORDER BY id"
            rows = db.execute(query, [text for text in wanted.values() if text]).fetchall()
        return [_decoded(dict(zip(COLUMNS, row))) for row in rows]

    @contextmanager
    def _open(self, create: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection to a store of our version. Raises AuricleError for a newer one, or a file that is no store."""
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
                raise AuricleError(f"a result cannot be kept in {self.path}: {error}; nothing was written") from error
            held = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_BUSY
            advice = (
                f"another program has been holding it for {WAIT_SECONDS:.0f} s: end that one, or name another file with --store"
                if held
                else "move it away and the next evaluation starts a new one"
            )
            raise AuricleError(f"the results store {self.path} cannot be used ({error}); {advice}") from error
        finally:
            db.close()

    def _check_version(self, db: sqlite3.Connection) -> None:
        found = db.execute("PRAGMA user_version").fetchone()[0]
        if found > VERSION:
            raise AuricleError(
                f"the results store {self.path} was written by a newer version of auricle (format {found}, this one "
                f"reads {VERSION}): update auricle, or name another file with --store; nothing was changed"
            )


def _prepare(db: sqlite3.Connection) -> None:
    """The table, where it is not there yet."""
    if db.execute("PRAGMA user_version").fetchone()[0] == VERSION:
        return
    with db:
        db.execute("BEGIN IMMEDIATE")
        for statement in SCHEMA.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version={VERSION}")


def _encoded(row: dict[str, Any]) -> dict[str, Any]:
    return row | {name: json.dumps(row[name], sort_keys=True) for name in JSON_COLUMNS}


def _decoded(row: dict[str, Any]) -> Result:
    return Result(**row | {name: json.loads(row[name]) for name in JSON_COLUMNS})


SHOWN = ("id", "time", "model", "task", "protocol", "metric", "score", "deviation", "classes", "clips")


def as_csv(results: Sequence[Result]) -> str:
    """Every column; per-fold scores and environment as JSON text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(_encoded(asdict(result)) for result in results)
    return text.getvalue()


def as_markdown(results: Sequence[Result]) -> str:
    head = [" | ".join(SHOWN), " | ".join("---" for _ in SHOWN)]
    return "\n".join(f"| {line} |" for line in [*head, *(" | ".join(cells(r)).replace("\n", " ") for r in results)])


def as_text(results: Sequence[Result]) -> str:
    """Columns padded with blanks."""
    rows = [list(SHOWN), *(cells(result) for result in results)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(SHOWN))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def as_json(results: Sequence[Result]) -> str:
    return dumps([asdict(result) for result in results], indent=1)


def cells(result: Result) -> list[str]:
    values = [getattr(result, name) for name in SHOWN]
    return ["" if v is None else f"{v:.4f}" if isinstance(v, float) else str(v) for v in values]


FORMATS = {"text": as_text, "csv": as_csv, "markdown": as_markdown, "json": as_json}


# From an Evaluation to the rows of the results store: the model's, one per few-shot point, and the baselines'.


def record(evaluation: Evaluation, store: ResultsStore) -> list[int]:
    """Append everything the evaluation measured, in one transaction; the ids of the rows."""
    pairs = [("model", evaluation.score), *(("baseline", row) for row in evaluation.baselines)]
    return store.append([row for role, score in pairs for row in _rows(evaluation, score, role)])


def _rows(evaluation: Evaluation, score: Score, role: str) -> list[Result]:
    curve = [
        _row(evaluation, score, role, f"{point.shots}-shot", point.score, point.deviation, point.scores)
        for point in score.few_shot
    ]
    own = _row(evaluation, score, role, evaluation.protocol, score.score, score.deviation, score.scores)
    return [own, *curve]


def _row(
    evaluation: Evaluation,
    score: Score,
    role: str,
    protocol: str,
    value: float,
    deviation: float | None,
    scores: Sequence[FoldScore],
) -> Result:
    return Result(
        model=score.model,
        checksum=score.checksum,
        task=evaluation.task,
        protocol=protocol,
        metric=evaluation.metric,
        score=value,
        deviation=deviation,
        scores={f"{s.fold} / {s.seed}": s.score for s in scores},
        classes=evaluation.classes_scored,
        clips=evaluation.coverage.tested,
        seconds=evaluation.seconds,
        role=role,
        environment=evaluation.environment,
        command=evaluation.command,
    )
