"""Scores: a table of the runs and their baselines for every task and protocol, and few-shot curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auricle.evaluation.compare import same_task, score_difference
from auricle.evaluation.evaluation import Evaluation, Score
from auricle.reports.drawing.charts import Line, legend, line_chart
from auricle.reports.drawing.html import Measure, details, measure_of, section, subsection, table, text
from auricle.reports.run_view import RunView
from auricle.reports.verdicts import BASELINES, baseline_kind

BAR = 240  # width of the drawing of a score, 0 to 100 %
BOX = f"-10 0 {BAR + 20} 18"
TICKS = (0, 25, 50, 75, 100)
Group = list[tuple[RunView, Evaluation]]


def scores_section(runs: Sequence[RunView]) -> str:
    """Return one table per task and protocol: the runs, then the first run's baselines."""
    groups = grouped(runs)
    if not groups:
        hint = "No evaluation yet. <code>auricle evaluate</code> measures the encoder beside its baselines."
        return section("scores", "Scores", f'<p class="none">{hint}</p>')
    body = "".join(
        subsection(title, _score_table(g) + _details(g[0][1]), text(explained(g[0][1].protocol)))
        for title, g in zip(_titles(groups), groups, strict=True)
    )
    return section("scores", "Scores", body + few_shot(groups), text(LEAD))


LEAD = (
    "How well the encoder's embeddings tell labelled sounds apart. The tested clips were kept from the classifier on top. The "
    "baselines show what training brought: the same network before training, a plain summary of the spectrum, and guessing."
)
PROTOCOLS = {
    "logistic": "A linear classifier (logistic regression) learns the labels from the encoder's embeddings of some clips and names "
    "the others; the encoder stays as it is.",
    "knn": "Each clip gets the label of the clips whose embeddings are most like its own (10 nearest neighbours); nothing is "
    "trained.",
    "evar": "A linear classifier, trained by small steps as in the published benchmark EVAR, names clips that it has not learnt "
    "from; the encoder stays as it is.",
}
VOTE = " Each of the ten has one vote."


def explained(protocol: str) -> str:
    """Return what a protocol does, for a reader who knows sounds and not classifiers; "" for an unknown one."""
    sentence = next((sentence for start, sentence in PROTOCOLS.items() if protocol.startswith(start)), "")
    return sentence + (VOTE if protocol.startswith("knn-vote") else "")


def grouped(runs: Sequence[RunView]) -> list[Group]:
    """Group (run, evaluation) pairs of the same task, protocol and metric, in the order of the first run.

    Two tasks of one name make two groups.
    """
    groups: list[Group] = []
    for run in runs:
        for e in run.evaluations:
            group = next((g for g in groups if same_task(g[0][1], e)), None)
            if group is None:
                groups.append([(run, e)])
            elif not any(
                r is run and (x.variant, x.score.scores) == (e.variant, e.score.scores) for r, x in group
            ):  # saved twice
                group.append((run, e))
    return sorted(groups, key=lambda g: not g[0][1].protocol.startswith("logistic"))


def _titles(groups: Sequence[Group]) -> list[str]:
    """Task and protocol of each group; of several tasks with one name also their numbers of clips and classes."""
    evaluations = [g[0][1] for g in groups]
    names = [f"{e.task}, {e.protocol}" for e in evaluations]
    sizes = [
        f" ({e.coverage.tested} clips, {e.classes_scored} classes, {e.metric}; {e.task_identity.fingerprint[:6]})"
        for e in evaluations
    ]
    return [name + (size if names.count(name) > 1 else "") for name, size in zip(names, sizes, strict=True)]


def _run_name(run: RunView, evaluation: Evaluation) -> str:
    """The name of a run, with what was measured of it where it is not the encoder's own output."""
    return f"{run.name} ({evaluation.variant})" if evaluation.variant else run.name


def _score_table(group: Group) -> str:
    """Score, standard deviation over folds and seeds, and the paired lead of the first row."""
    own, m = group[0][1], measure_of(group[0][1].metric)
    rows = [_row(_run_name(run, e), e.score, own.score, m, own=True) for run, e in group]
    rows += [_row(_named(b.model), b, own.score, m) for b in own.baselines]
    units = [f", {unit}" if unit else "" for unit in (m.unit, m.difference_unit)]
    lead = f"lead of {text(_run_name(*group[0]))}{units[1]}"
    head = ("", text(own.metric) + units[0], lead, _scale() if m.unit else "")
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


def _scale() -> str:
    """The axis above the drawings of the scores: 0 to 100 %."""
    labels = "".join(f'<text x="{BAR * t / 100:.0f}" y="11" text-anchor="middle">{t}</text>' for t in TICKS)
    return f'<svg class="bar scale" viewBox="{BOX}" role="img" aria-label="0 to 100 %">{labels}{_ticks(14, 18)}</svg>'


def _ticks(top: int, bottom: int) -> str:
    return "".join(f'<path class="axis" d="M{BAR * t / 100:.0f} {top}V{bottom}"/>' for t in TICKS)


def _bar(score: Score, own: bool) -> str:
    """The mean with its standard deviation, and a faint dot for every fold, which a pointer names."""
    folds = dict.fromkeys(s.fold for s in score.scores)
    means = {fold: float(np.mean([s.score for s in score.scores if s.fold == fold])) for fold in folds}
    dots = "".join(
        f'<circle class="fold" cx="{BAR * value:.1f}" cy="9" r="2.5"><title>{text(fold)}: {100 * value:.1f} %</title></circle>'
        for fold, value in means.items()
        if 0 <= value <= 1
    )
    half = score.std or 0.0
    low, high = (BAR * min(1.0, max(0.0, v)) for v in (score.score - half, score.score + half))
    kind = "own" if own else "other"
    spread, mean = f"M{low:.1f} 9H{high:.1f}", f"{BAR * score.score:.1f}"
    return (
        f'<svg class="bar {kind}" viewBox="{BOX}" aria-hidden="true"><path class="axis" d="M0 9H{BAR}"/>{_ticks(6, 12)}'
        f'<path class="spread" d="{spread}"/><circle class="mean" cx="{mean}" cy="9" r="4.5">'
        f"<title>mean: {100 * score.score:.1f} %</title></circle>{dots}</svg>"
    )


def _details(e: Evaluation) -> str:
    parts = [f"{e.classes_scored} of {len(e.classes)} classes scored; {e.coverage}."]
    folds, seeds = (len({getattr(s, name) for s in e.score.scores}) for name in ("fold", "seed"))
    if folds > 1:
        parts.append(
            f"The clips were divided {folds} times into those that teach and those that are tested"
            + (f", each time with {seeds} seeds" if seeds > 1 else "")
            + ": the number is the mean, ± the standard deviation, and each small dot is one division. The top of the page says "
            "which leads are more than an accident of the divisions."
        )
    if e.interval:
        low, high = (f"{100 * value:.1f}" for value in e.interval)
        parts.append(
            f"With other clips of the same kind the score would have come out between {low} and {high} % in 95 of 100 cases "
            "(bootstrap: the tested clips are drawn again and again from themselves)."
        )
    notes = "".join(f"<li>{text(note)}</li>" for note in e.notes)
    command = details("the command of this evaluation", f"<pre>{text(e.command)}</pre>") if e.command else ""
    return (
        f'<p class="small">{text(" ".join(parts))}</p>'
        + (f'<ul class="warnings">{notes}</ul>' if notes else "")
        + command
    )


FEW_SHOT = (
    "How far a classifier gets with one, two, four or eight labelled clips of each class, the mean over several draws. This is "
    "where a trained encoder helps most: its line should lie above that of the untrained one at the left."
)


def few_shot(groups: Sequence[Group]) -> str:
    """Return one chart per group that has a few-shot curve: the runs, then the first run's baselines."""
    return "".join(_few_shot_of(group) for group in groups if group[0][1].score.few_shot)


def _few_shot_of(group: Group) -> str:
    m = measure_of(group[0][1].metric)
    named = [(_run_name(run, e), e.score) for run, e in group]
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
    body = legend(names) + f'<div class="charts wide">{chart}</div>'
    return subsection(f"Few-shot curve, {group[0][1].task}", body, FEW_SHOT)


def _curve(name: str, score: Score, colour: int, factor: float, *, dashed: bool) -> Line:
    points = score.few_shot
    spread = [None if p.std is None else factor * p.std for p in points]
    return Line(
        name, [p.shots for p in points], [factor * p.score for p in points], colour, dashed, whiskers=spread, dots=True
    )
