"""One page that compares models on the tasks of a suite: scores with intervals, paired differences, published scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from auricle.evaluation.suites.comparison import TaskTable, pair_sentence
from auricle.reports.drawing.html import Measure, details, measure_of, section, subsection, table, text
from auricle.reports.page import document
from auricle.reports.sections.scores import explained

if TYPE_CHECKING:
    from auricle.evaluation.result_rows import Result
    from auricle.evaluation.suites.run import Outcome

LEAD = (
    "Every number is the mean over folds and seeds; ± is the standard deviation over them, the interval in brackets holds the "
    "score of the first seed in 95 of 100 bootstrap draws of the tested clips. An empty cell was not measured; a list below "
    "then says why."
)
PUBLISHED = (
    "What others printed for the same task, as data with its source. The clips, the split and the learning rate may differ from "
    "those here; ± is the printed 95 % interval."
)


def suite_page(title: str, tables: Sequence[TaskTable], outcomes: Sequence[Outcome], command: str = "") -> str:
    """Return the whole document.

    Args:
        title: Name of the suite in print.
        tables: The comparison.
        outcomes: What was measured, and what could not be.
        command: The command line.
    """
    models = list(dict.fromkeys(row.model for table in tables for row in table.rows))
    body = "".join(
        (
            _header(title, models, outcomes),
            section("overview", "Scores", _overview(tables, models), text(LEAD)),
            section("tasks", "Task by task", "".join(_task(table) for table in tables)),
            section("absent", "Not measured", _absent(outcomes)),
            details("the command", f"<pre>{text(command)}</pre>") if command else "",
        )
    )
    return document(title, body, "{}")


def _header(title: str, models: Sequence[str], outcomes: Sequence[Outcome]) -> str:
    measured = sum(outcome.measured for outcome in outcomes)
    lacking = len(outcomes) - measured
    words = f"{measured} measurement{'s' * (measured != 1)} of {len(models)} model{'s' * (len(models) != 1)}"
    words += f"; {lacking} could not be made." if lacking else "."
    return (
        f'<header class="top"><p class="kicker">suite · Auricle report</p><h1>{text(title)}</h1>'
        f'<div class="learnt"><p>{text(words)}</p></div></header>'
    )


def _overview(tables: Sequence[TaskTable], models: Sequence[str]) -> str:
    """One row per task, one column per model; the best of a row is bold."""
    head = ("task", "protocol", "metric", *(text(model) for model in models))
    rows = [_overview_row(one, models) for one in tables]
    return table(head, rows, numeric=range(3, 3 + len(models))) if rows else ""


def _overview_row(one: TaskTable, models: Sequence[str]) -> list[str]:
    m, own = measure_of(one.metric), {row.model: row for row in one.rows}
    cells = [_score(own[model], m) if model in own else "" for model in models]
    return [text(one.task), text(one.protocol), text(one.metric + (f", {m.unit}" if m.unit else "")), *cells]


def _score(row: Result, m: Measure) -> str:
    interval = ""
    if row.interval is not None:
        interval = f" [{m.number(row.interval[0])}, {m.number(row.interval[1])}]"
    return f"{m.number(row.score)}{text(m.spread(row.std))}{text(interval)}"


def _task(one: TaskTable) -> str:
    m = measure_of(one.metric)
    rows = [
        [f"<b>{text(row.model)}</b>", _score(row, m), text(row.protocol), f"{row.clips}", text(row.version or "–")]
        for row in one.rows
    ]
    rows += [[text(row.model), _score(row, m), text(row.protocol), f"{row.clips}", "baseline"] for row in one.baselines]
    unit = f", {m.unit}" if m.unit else ""
    body = table(("", text(one.metric + unit), "protocol", "clips tested", "version"), rows, numeric=(1, 3))
    sentences = "".join(f"<li>{text(pair_sentence(pair, one.metric))}</li>" for pair in one.pairs)
    notes = "".join(f"<li>{text(row.model)}: {text(note)}</li>" for row in one.rows for note in row.notes)
    body += f"<ul>{sentences}</ul>" if sentences else ""
    body += f'<ul class="warnings">{notes}</ul>' if notes else ""
    return subsection(f"{one.task}, {one.protocol}", body + _published(one, m), text(explained(one.protocol)))


def _published(one: TaskTable, m: Measure) -> str:
    rows = [
        [text(score.model), m.number(score.score) + text(m.spread(score.plus_minus)), text(score.source)]
        for score in sorted(one.published, key=lambda score: -score.score)
    ]
    if not rows:
        return ""
    unit = f", {m.unit}" if m.unit else ""
    lead = f'<p class="small">{text(PUBLISHED)}</p>'
    return details(
        f"{len(rows)} published scores", lead + table(("", text(one.metric + unit), "source"), rows, numeric=(1,))
    )


def _absent(outcomes: Sequence[Outcome]) -> str:
    items = [
        f"<li>{text(outcome.model)}, {text(outcome.title)}: {text(outcome.reason)}</li>"
        for outcome in outcomes
        if not outcome.measured
    ]
    return f"<ul>{''.join(items)}</ul>" if items else ""
