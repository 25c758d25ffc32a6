"""Scores: a table of the runs and their baselines for every task and protocol, and few-shot curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auricle.evaluation.compare import score_difference
from auricle.evaluation.evaluation import Evaluation, Score
from auricle.reports.drawing.charts import Line, legend, line_chart
from auricle.reports.drawing.html import Measure, details, measure_of, section, subsection, table, text
from auricle.reports.run_view import RunView
from auricle.reports.verdicts import BASELINES, baseline_kind

BAR = 240  # width of the drawing of a score, 0 to 100 %
Group = list[tuple[RunView, Evaluation]]


def scores_section(runs: Sequence[RunView]) -> str:
    """Return one table per task and protocol: the runs, then the first run's baselines."""
    groups = grouped(runs)
    if not groups:
        hint = "No evaluation yet. <code>auricle evaluate</code> measures the encoder beside its baselines."
        return section("scores", "Scores", f'<p class="none">{hint}</p>')
    body = "".join(subsection(_title(g[0][1]), _score_table(g) + _details(g[0][1])) for g in groups)
    return section("scores", "Scores", body + few_shot(groups))


def grouped(runs: Sequence[RunView]) -> list[Group]:
    """Group (run, evaluation) pairs of the same task, protocol and metric, in the order of the first run."""
    groups: dict[tuple[str, str, str], Group] = {}
    for run in runs:
        for e in run.evaluations:
            groups.setdefault((e.task, e.protocol, e.metric), []).append((run, e))
    return sorted(groups.values(), key=lambda g: not g[0][1].protocol.startswith("logistic"))


def _title(evaluation: Evaluation) -> str:
    return f"{evaluation.task}, {evaluation.protocol}"


def _score_table(group: Group) -> str:
    """Score, standard deviation over folds and seeds, and the paired lead of the first row."""
    own, m = group[0][1], measure_of(group[0][1].metric)
    rows = [_row(run.name, e.score, own.score, m, own=True) for run, e in group]
    rows += [_row(_named(b.model), b, own.score, m) for b in own.baselines]
    units = [f", {unit}" if unit else "" for unit in (m.unit, m.difference_unit)]
    head = ("", text(own.metric) + units[0], f"lead of {text(group[0][0].name)}{units[1]}", "")
    return table(head, rows, kind="scores", numeric=(1, 2))


def _named(model: str) -> str:
    return BASELINES.get(baseline_kind(model), model)


def _row(name: str, score: Score, first: Score, m: Measure, own: bool = False) -> list[str]:
    shown = f"<b>{text(name)}</b>" if own else text(name)
    lead = score_difference(first, score)
    cell = "" if score is first else m.signed(lead.mean) + _spread(m, lead.std)
    return [shown, m.number(score.score) + _spread(m, score.std), cell, _bar(score, own) if m.unit else ""]


def _spread(m: Measure, std: float | None) -> str:
    """The style sheet sets it in a column of its own."""
    return f'<span class="pm">{text(m.spread(std)).strip()}</span>'


def _bar(score: Score, own: bool) -> str:
    """The mean with its standard deviation, and a faint dot for every fold."""
    folds = dict.fromkeys(s.fold for s in score.scores)
    means = [float(np.mean([s.score for s in score.scores if s.fold == f])) for f in folds]
    dots = "".join(f'<circle class="fold" cx="{BAR * m:.1f}" cy="9" r="2.5"/>' for m in means if 0 <= m <= 1)
    half = score.std or 0.0
    low, high = (BAR * min(1.0, max(0.0, v)) for v in (score.score - half, score.score + half))
    kind = "own" if own else "other"
    spread, mean = f"M{low:.1f} 9H{high:.1f}", f"{BAR * score.score:.1f}"
    return (
        f'<svg class="bar {kind}" viewBox="-4 0 {BAR + 8} 18" aria-hidden="true"><path class="axis" d="M0 9H{BAR}"/>'
        f'{dots}<path class="spread" d="{spread}"/><circle class="mean" cx="{mean}" cy="9" r="4.5"/></svg>'
    )


def _details(e: Evaluation) -> str:
    parts = [f"{e.classes_scored} of {len(e.classes)} classes scored; {e.coverage}."]
    if e.score.std is not None:
        parts.append(f"Mean ± standard deviation over {len(e.score.scores)} folds × seeds; dots are folds.")
    if e.interval:
        parts.append(f"95 % of bootstrap draws over clips: {100 * e.interval[0]:.1f} to {100 * e.interval[1]:.1f} %.")
    notes = "".join(f"<li>{text(note)}</li>" for note in e.notes)
    command = details("the command of this evaluation", f"<pre>{text(e.command)}</pre>") if e.command else ""
    return (
        f'<p class="small">{text(" ".join(parts))}</p>'
        + (f'<ul class="warnings">{notes}</ul>' if notes else "")
        + command
    )


def few_shot(groups: Sequence[Group]) -> str:
    """Return one chart per group that has a few-shot curve: the runs, then the first run's baselines."""
    return "".join(_few_shot_of(group) for group in groups if group[0][1].score.few_shot)


def _few_shot_of(group: Group) -> str:
    m = measure_of(group[0][1].metric)
    named = [(run.name, e.score) for run, e in group]
    named += [(_named(b.model), b) for b in group[0][1].baselines if b.few_shot]
    lines = [
        _curve(name, score, i, m.factor, dashed=i >= len(group))
        for i, (name, score) in enumerate(named)
        if score.few_shot
    ]
    shots = [point.shots for point in group[0][1].score.few_shot]
    names = [(line.name, line.colour, line.dashed) for line in lines]
    note = f"{group[0][1].metric}{' in ' + m.unit if m.unit else ''}, ± standard deviation over folds and draws"
    chart = line_chart(
        "With few labelled clips", lines, note=note, x_label="training clips per class", x_ticks=shots, log_x=True
    )
    return subsection(f"Few-shot curve, {group[0][1].task}", legend(names) + f'<div class="charts wide">{chart}</div>')


def _curve(name: str, score: Score, colour: int, factor: float, *, dashed: bool) -> Line:
    points = score.few_shot
    spread = [None if p.std is None else factor * p.std for p in points]
    return Line(
        name, [p.shots for p in points], [factor * p.score for p in points], colour, dashed, whiskers=spread, dots=True
    )
