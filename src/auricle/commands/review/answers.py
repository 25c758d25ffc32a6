"""Read the answers of one or several reviewers: precision by score, thresholds, labels for ``auricle finetune``, agreement."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from auricle.commands.review.review import PAGE, QUEUE, ReviewConfig
from auricle.core.console import number_of
from auricle.core.errors import AuricleError
from auricle.core.io import check_own, make_folder, write_text
from auricle.data.manifest.tables import text_file
from auricle.index.answers import COLUMNS, Answer, cells_of, read_answers
from auricle.reports.review_report import review_report
from auricle.review.agreement import Agreement, Conflict, agreements, joined
from auricle.review.labels import label_table, write_labels
from auricle.review.precision import LabelPrecision, few_note, precisions
from auricle.review.thresholds import ThresholdUpdate, is_exclusive, update_thresholds

REPORT, LABELS, PRECISION, CONFLICTS = "report.html", "labels.csv", "precision.csv", "conflicts.csv"  # in --out


@dataclass(frozen=True)
class ReviewedAnswers:
    """What the answers give; prints as text.

    Attributes:
        precision: of each reviewed class.
        agreement: of every two reviewers.
        conflicts: questions on which reviewers differ.
        labels: the table for ``auricle finetune``; None where no answer gives a label.
        files: everything that was written, by name.
        update: the thresholds that a detector got; None if none was named.
        notes: what should be known.
    """

    precision: tuple[LabelPrecision, ...]
    agreement: tuple[Agreement, ...]
    conflicts: tuple[Conflict, ...]
    labels: Path | None
    files: dict[str, Path]
    update: ThresholdUpdate | None
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        update = self.update
        return {
            "classes": [one.to_json() for one in self.precision],
            "agreement": [pair.to_json() for pair in self.agreement],
            "conflicts": [[asdict(answer) for answer in conflict.answers] for conflict in self.conflicts],
            "update": None
            if update is None
            else {"run": str(update.run), "changed": [asdict(c) for c in update.changed], "kept": list(update.kept)},
            "files": {name: str(path) for name, path in self.files.items()},
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        rows = [row for one in self.precision for row in _lines(one)]
        for pair in self.agreement:
            rows.append(
                f"{pair.first or 'unnamed'} and {pair.second or 'unnamed'}: {pair.same} of {pair.decided} the same, kappa "
                f"{pair.kappa.value:.2f} ({pair.kappa.low:.2f} to {pair.kappa.high:.2f})"
            )
        if self.conflicts:
            rows.append(f"{number_of(len(self.conflicts), 'question')} on which reviewers differ")
        for change in self.update.changed if self.update else ():
            rows.append(f"threshold of {change.label}: {change.after:.3f} (was {change.before:.3f})")
        return "\n".join(rows)


def _lines(one: LabelPrecision) -> list[str]:
    precision, low, high = one.at(0.0)
    counts = f"{one.label}: {one.right} yes, {one.wrong} no, {one.unsure} unsure"
    if precision != precision:
        return [counts]
    rows = [f"{counts}; {precision:.2f} right ({low:.2f} to {high:.2f})"]
    chosen = one.chosen
    if one.few or chosen is None:
        return rows
    there = f"{chosen.precision:.2f} right ({chosen.low:.2f} to {chosen.high:.2f}), {chosen.kept:.0%} of the right ones kept"
    if chosen.reached:
        rows.append(f"  from a score of {chosen.threshold:.3f} on: {there}")
    else:
        rows.append(f"  no score reaches {chosen.wanted:g}; nearest, from {chosen.threshold:.3f} on: {there}")
    return rows


def read_review(config: ReviewConfig) -> ReviewedAnswers:
    """Read tables of answers, write what they give, and update a detector if one is named.

    Args:
        config: ``source`` are tables of answers; answers without a reviewer are those of their table, where there are several.

    Raises:
        AuricleError: for tables that cannot be read, and for what ``update_thresholds`` refuses; the files are written then.
    """
    given = _with_reviewers(config.source)
    if not given:
        raise AuricleError(f"{', '.join(config.source)}: no answers")
    wanted = [answer for answer in given if not config.label or answer.label in config.label]
    if not wanted:
        raise AuricleError(f"no answer is about {', '.join(config.label)}")
    folder = Path(config.out)
    _check_out(folder, config.source)
    settled, conflicts = joined(wanted)
    found = precisions(settled, config.goal.wanted_precision, config.bound)
    pairs = agreements(wanted)
    make_folder(folder, "choose another --out")
    notes = [note for note in (few_note(found),) if note]
    precision = _precision_table(found, folder / PRECISION)  # first: it marks the folder as that of a review
    labels, more = _labels(settled, config, folder)
    notes += more
    files: dict[str, Path | None] = {"labels": labels, "precision": precision}
    files["conflicts"] = _conflict_table(conflicts, folder / CONFLICTS) if conflicts else None
    for name, file in (("labels", LABELS), ("conflicts", CONFLICTS)):
        if files[name] is None:  # what earlier answers gave no longer holds
            (folder / file).unlink(missing_ok=True)
    write_text(folder / REPORT, review_report(found, pairs, conflicts, notes, config.goal.wanted_precision))
    files["report"] = folder / REPORT
    update = None
    if config.update:
        update = update_thresholds(config.update, found)
        notes += [*update.notes, *update.kept]
    written = {name: path for name, path in files.items() if path is not None}
    return ReviewedAnswers(tuple(found), tuple(pairs), tuple(conflicts), labels, written, update, tuple(notes))


def _check_out(folder: Path, sources: Sequence[str]) -> None:
    """Raise AuricleError for files in ``--out`` that would be replaced and are not of an earlier review, or are the answers."""
    for source in sources:
        if Path(source).resolve() in {(folder / name).resolve() for name in (LABELS, PRECISION, CONFLICTS)}:
            raise AuricleError(
                f"{source} is a file that this review writes; rename the table of answers, or choose another --out"
            )
    advice = "choose another --out, or rename the file"
    check_own(folder, (REPORT, LABELS, PRECISION, CONFLICTS), (PRECISION, PAGE, QUEUE), advice)


def _with_reviewers(tables: Sequence[str]) -> list[Answer]:
    """Read all answers; of several tables, unnamed reviewers are called by the tables."""
    if len(tables) == 1:
        return read_answers(tables[0])
    return [
        answer if answer.reviewer else replace(answer, reviewer=Path(path).stem)
        for path in tables
        for answer in read_answers(path)
    ]


def _labels(settled: Sequence[Answer], config: ReviewConfig, folder: Path) -> tuple[Path | None, list[str]]:
    exclusive = config.exclusive == "yes"
    if config.exclusive == "auto" and config.update:
        exclusive = is_exclusive(config.update)
    try:
        table = label_table(settled, exclusive=exclusive)
    except AuricleError as error:
        return None, [str(error)]
    return write_labels(table, folder / LABELS), list(table.notes)


def _precision_table(found: Sequence[LabelPrecision], path: Path) -> Path:
    with text_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("label", "threshold", "precision", "low", "high", "kept"))
        writer.writerows((one.label, *(f"{value:.6g}" for value in row)) for one in found for row in one.rows())
    return path


def _conflict_table(conflicts: Sequence[Conflict], path: Path) -> Path:
    with text_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(cells_of(answer) for conflict in conflicts for answer in conflict.answers)
    return path
