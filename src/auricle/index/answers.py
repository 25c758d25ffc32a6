"""What a person answered about a span of a recording, and the table ``answers.csv`` that holds answers.

    path,start,end,label,answer,other,score,reviewer,time,model,probability

One row is one answer of one reviewer to the question "is ``label`` in this span?". An index keeps the same fields
(``database.py``), so answers of the page, of the server and of a table can be joined.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from auricle.core.errors import AuricleError
from auricle.data.manifest.tables import place_of_row, read_table, text_file

YES, NO, OTHER, UNSURE = "yes", "no", "other", "unsure"
ANSWERS = (YES, NO, OTHER, UNSURE)
DIGITS = 3  # of seconds: two spans that differ by less than a millisecond are one


@dataclass(frozen=True)
class Answer:
    """What one reviewer answered about one span.

    Attributes:
        path: the recording.
        start, end: seconds of the recording; None: the whole recording.
        label: the class that was asked about.
        answer: "yes", "no", "other" (it is something else) or "unsure".
        other: with "other", the label that the reviewer gave; "" if the reviewer named none.
        score: calibrated score of ``label`` when the span was shown, from 0 to 1; None if there was none.
        reviewer: who answered; "" if not named.
        time: when, in the format of ISO 8601; "" if unknown.
        model: name and fingerprint of the model that gave the score, "NAME@FINGERPRINT"; "" if unknown.
        probability: with which the span was drawn for review, above 0 and at most 1; None: it was not drawn, all were shown.

    Raises:
        AuricleError: for values that an answer cannot have.

    Example:
        >>> Answer("/night/a.wav", 2.0, 5.0, "Frog", "yes", score=0.8).holds
        True
    """

    path: str
    start: float | None
    end: float | None
    label: str
    answer: str
    other: str = ""
    score: float | None = None
    reviewer: str = ""
    time: str = ""
    model: str = ""
    probability: float | None = None

    def __post_init__(self) -> None:
        if not self.path:
            raise AuricleError("an answer needs the path of its recording")
        if not self.label:
            raise AuricleError("an answer needs the label that was asked about")
        if self.answer not in ANSWERS:
            raise AuricleError(f"an answer is one of {', '.join(ANSWERS)}, not '{self.answer}'")
        if self.other and self.answer != OTHER:
            raise AuricleError(
                f"only the answer 'other' names another label; found '{self.answer}' with '{self.other}'"
            )
        if (self.start is None) != (self.end is None):
            raise AuricleError("a span has a start and an end, or neither (the whole recording)")
        if self.start is not None and self.end is not None and not 0 <= self.start < self.end < math.inf:
            raise AuricleError(f"a span starts at 0 s or later and ends after that, not {self.start:g} to {self.end:g}")
        if self.score is not None and not 0 <= self.score <= 1:
            raise AuricleError(f"a score lies between 0 and 1, not {self.score:g}")
        if self.probability is not None and not 0 < self.probability <= 1:
            raise AuricleError(f"a probability of being drawn lies above 0 and at most at 1, not {self.probability:g}")

    @property
    def holds(self) -> bool | None:
        """Whether the label holds in the span: True for "yes", False for "no" and "other", None for "unsure"."""
        return None if self.answer == UNSURE else self.answer == YES

    @property
    def question(self) -> tuple[str, float | None, float | None, str]:
        """What was asked: (path, start, end, label), with seconds rounded to milliseconds."""
        start, end = (None if seconds is None else round(seconds, DIGITS) for seconds in (self.start, self.end))
        return self.path, start, end, self.label


COLUMNS = tuple(field.name for field in fields(Answer))
NEEDED = ("path", "label", "answer")
NUMBERS = ("start", "end", "score", "probability")


def now() -> str:
    """Return the present time with the local time zone, in the format of ISO 8601, to the second."""
    return datetime.now(UTC).astimezone().isoformat(timespec="seconds")


def newest(answers: Iterable[Answer]) -> list[Answer]:
    """Return the last answer of each reviewer to each question, in the order of the first ones.

    Answers count in the order in which they are given here; a table is written in the order of answering.
    """
    last: dict[tuple, Answer] = {}
    for answer in answers:
        last[*answer.question, answer.reviewer] = answer
    return list(last.values())


def read_answers(tables: str | os.PathLike | Sequence[str | os.PathLike]) -> list[Answer]:
    """Read the answers of one or several tables (CSV, TSV, JSON, JSONL or Parquet).

    Columns other than those of an answer are ignored; ``start``, ``end`` and all after ``answer`` may be missing. Relative
    paths start from the folder of the table.

    Args:
        tables: the files.

    Returns:
        All answers, table by table, in the order of the rows; ``newest`` leaves out those that were changed later.

    Raises:
        AuricleError: for a file that is no table of answers, with the line and the column of an impossible value.

    Example:
        answers = read_answers("review/answers.csv")
    """
    paths = [tables] if isinstance(tables, (str, os.PathLike)) else tables
    return [answer for path in paths for answer in _answers_of(Path(path))]


def is_answers(header: Iterable[str]) -> bool:
    """Return True if a table with these columns holds answers."""
    return set(NEEDED) <= {name.strip().lower() for name in header}


def write_answers(path: str | os.PathLike, answers: Iterable[Answer]) -> Path:
    """Write answers as a CSV table that ``read_answers`` reads; atomic.

    Args:
        path: the file.
        answers: in the order of answering.

    Returns:
        The file.
    """
    with text_file(Path(path)) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(cells_of(answer) for answer in answers)
    return Path(path)


def cells_of(answer: Answer) -> list[str]:
    """Return the cells of an answer's row, in the order of ``COLUMNS``."""
    values = [getattr(answer, name) for name in COLUMNS]
    return ["" if value is None else f"{value:.12g}" if isinstance(value, float) else str(value) for value in values]


def _answers_of(path: Path) -> list[Answer]:
    answers: list[Answer] = []
    for number, row in enumerate(read_table(path)):
        plain = {name.strip().lower(): cell for name, cell in row.items()}
        if not is_answers(plain):
            missing = ", ".join(name for name in NEEDED if name not in plain)
            raise AuricleError(
                f"{path} is no table of answers: it has no column {missing}; 'auricle review QUEUE' writes such tables"
            )
        try:
            answers.append(_answer(plain, path.parent))
        except AuricleError as error:
            raise AuricleError(f"{place_of_row(path, number)}: {error}") from None
    return answers


def _answer(row: dict[str, Any], folder: Path) -> Answer:
    values: dict[str, Any] = {}
    for name in COLUMNS:
        cell = row.get(name)
        if name in NUMBERS:
            values[name] = _number(name, cell)
        else:
            values[name] = "" if cell is None else str(cell).strip()
    values["answer"] = values["answer"].lower()
    if values["path"]:
        values["path"] = os.path.abspath(folder / values["path"])
    return Answer(**values)


def _number(name: str, cell: Any) -> float | None:
    """Return the number in a cell, which a spreadsheet may have written with a decimal comma; None for an empty cell."""
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        return None
    try:
        value = float(cell.replace(",", ".") if isinstance(cell, str) else cell)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise AuricleError(f"'{cell}' in the column {name} is no number")
    return value
