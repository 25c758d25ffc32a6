"""What was learnt, in sentences: verdicts from paired differences over splits and seeds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auricle.evaluation.compare import score_difference
from auricle.evaluation.evaluation import Evaluation, Score
from auricle.reports.drawing.html import measure_of
from auricle.reports.run_view import RunView, main_evaluation

UNTRAINED, LOG_MEL, CHANCE = "untrained", "logmel-stats", "chance"
BASELINES = {
    UNTRAINED: "the untrained encoder",
    LOG_MEL: "log-mel mean and standard deviation",
    CHANCE: "chance",
}
SENTENCES = {
    "better": "That is better than {}.",
    "worse": "That is worse than {}.",
    "no difference": "That is no better than {}: differences like these come and go with the folds.",
    "unsure": "The baselines are {}; a single score each cannot be tested.",
}


def baseline_kind(model: str) -> str:
    """Return the key of ``BASELINES`` that a model's name belongs to, or ""."""
    return next((kind for kind in BASELINES if model == kind or model.startswith(f"{kind} ")), "")


def baseline(evaluation: Evaluation, kind: str) -> Score | None:
    """Return the score of one kind of baseline; None where it was not measured."""
    return next((b for b in evaluation.baselines if baseline_kind(b.model) == kind), None)


def learnt(run: RunView) -> list[str]:
    """Return two paragraphs for the top of the page: what training did, and how a probe of the encoder scores."""
    return [_training_sentence(run), " ".join(_probe_sentences(main_evaluation(run.evaluations)))]


def _training_sentence(run: RunView) -> str:
    losses = [
        row["loss"] for row in run.rows("step") if isinstance(row.get("loss"), float) and np.isfinite(row["loss"])
    ]
    if not losses:
        return "Nothing was logged during training yet."
    part = max(1, len(losses) // 20)
    first, last = float(np.mean(losses[:part])), float(np.mean(losses[-part:]))
    if len(losses) == 1 or abs(first - last) < 0.01 * abs(first):
        return f"The loss is {last:.3g}; it hardly changed in {run.length}."
    return f"Over {run.length} the loss {'fell' if last < first else 'rose'} from {first:.3g} to {last:.3g}."


def _probe_sentences(evaluation: Evaluation | None) -> list[str]:
    if evaluation is None:
        return ["The encoder has not been evaluated: whether it learnt anything useful is not known yet."]
    own, chance, m = evaluation.score, baseline(evaluation, CHANCE), measure_of(evaluation.metric)
    spread = "" if own.std is None else f" (standard deviation {m.number(own.std)})"
    beside = f", where chance is {m.value(chance.score)}" if chance else ""
    reached = f"{m.value(own.score)} {evaluation.metric}{spread}"
    return [f"On {evaluation.task} ({evaluation.protocol}) it reaches {reached}{beside}.", *_verdicts(evaluation)]


def _verdicts(evaluation: Evaluation) -> list[str]:
    """A sentence per verdict, naming the baselines it holds for."""
    groups: dict[str, list[str]] = {}
    m = measure_of(evaluation.metric)
    for kind in (UNTRAINED, LOG_MEL):
        other = baseline(evaluation, kind)
        if other is not None:
            difference = score_difference(evaluation.score, other)
            by = m.difference(difference.mean, difference.std)
            named = f"{BASELINES[kind]} ({m.value(other.score)}; {by})"
            groups.setdefault(difference.verdict(evaluation.metric), []).append(named)
    return [SENTENCES[verdict].format(" and ".join(names)) for verdict, names in groups.items()]


def compared(runs: Sequence[RunView]) -> list[str]:
    """Return a sentence per other run, task and protocol that the first run was measured on too."""
    first = {_key(e): e for e in runs[0].evaluations}
    pairs = [(run, e) for run in runs[1:] for e in run.evaluations if _key(e) in first]
    return [_compared(runs[0].name, first[_key(other)], run.name, other) for run, other in pairs]


def _compared(name: str, own: Evaluation, other_name: str, other: Evaluation) -> str:
    difference = score_difference(own.score, other.score)
    verdict = {
        "better": "is better than",
        "worse": "is worse than",
        "no difference": "is no different from",
        "unsure": "cannot be compared with",
    }[difference.verdict(own.metric)]
    by = measure_of(own.metric).difference(difference.mean, difference.std)
    return f"{own.task}, {own.protocol}: {name} {verdict} {other_name} ({by})."


def _key(evaluation: Evaluation) -> tuple[str, str, str]:
    return evaluation.task, evaluation.protocol, evaluation.metric
