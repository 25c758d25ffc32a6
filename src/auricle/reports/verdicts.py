"""What was learnt, in sentences: verdicts from paired differences over splits and seeds."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from auricle.core.console import duration, number_of
from auricle.core.errors import AuricleError
from auricle.evaluation.compare import evaluation_difference, same_task, score_difference
from auricle.evaluation.evaluation import Evaluation, Score
from auricle.metrics.table import METRICS
from auricle.reports.drawing.html import measure_of
from auricle.reports.run_view import RunView, main_evaluation
from auricle.training.log import LossChange

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
    """Return paragraphs for the top of the page and the terminal: what training did, how a probe scores, what to do next."""
    evaluation = main_evaluation(run.evaluations)
    measured = " ".join(probe_sentences(evaluation))
    paragraphs = [training_sentence(run), measured if evaluation else held_out_sentence(run) or measured]
    return [*paragraphs, *([advice] if evaluation and (advice := next_steps(evaluation, run)) else [])]


def training_sentence(run: RunView) -> str:
    change = LossChange.of(run.rows("step"))
    return "Nothing was logged during training yet." if change is None else change.sentence(run.length)


PARTS = {"test_": "test part", "val_": "validation part"}  # of the data of a run that learns from labels


def held_out_sentence(run: RunView) -> str:
    """Return the last score on clips that did not train, of a run that learns from labels; "" for another run."""
    for prefix, part in PARTS.items():
        for row in reversed(run.rows("validation")):
            scores = [
                f"{measure_of(name).value(row[prefix + name])} {name}" for name in METRICS if prefix + name in row
            ]
            if scores:
                return f"On the {part} of its data it reaches {', '.join(scores)}."
    return ""


def probe_sentences(evaluation: Evaluation | None) -> list[str]:
    """Return what the encoder reached, and how that compares with the baselines."""
    if evaluation is None:
        return ["The encoder has not been evaluated: whether it learnt anything useful is not known yet."]
    own, chance, m = evaluation.score, baseline(evaluation, CHANCE), measure_of(evaluation.metric)
    spread = "" if own.std is None else f" (standard deviation {m.number(own.std)})"
    beside = f", where chance is {m.value(chance.score)}" if chance else ""
    reached = f"{m.value(own.score)} {evaluation.metric}{spread}"
    sentences = [f"On {evaluation.task} ({evaluation.protocol}) it reaches {reached}{beside}."]
    return sentences + [SENTENCES[verdict].format(" and ".join(names)) for verdict, names in _verdicts(evaluation)]


def verdict_text(evaluation: Evaluation, model: Path) -> str:
    """Return the verdict on an encoder that was measured, in the words of the page, and what to try next.

    Args:
        evaluation: the scores.
        model: the run folder of the encoder; another path or name stands for an encoder that was not trained here.
    """
    try:
        run = RunView.open(model)
    except AuricleError:
        run = None
    return " ".join([*probe_sentences(evaluation), *filter(None, [next_steps(evaluation, run)])])


def verdict_against(evaluation: Evaluation, kind: str) -> str:
    """Return the verdict of ``PairedDifference`` against one kind of baseline; "" where it was not measured."""
    other = baseline(evaluation, kind)
    return "" if other is None else score_difference(evaluation.score, other).verdict(evaluation.metric)


def _verdicts(evaluation: Evaluation) -> list[tuple[str, list[str]]]:
    """Each verdict with the baselines it holds for."""
    groups: dict[str, list[str]] = {}
    m = measure_of(evaluation.metric)
    for kind in (UNTRAINED, LOG_MEL):
        other = baseline(evaluation, kind)
        if other is not None:
            difference = score_difference(evaluation.score, other)
            by = m.difference(difference.mean, difference.std)
            named = f"{BASELINES[kind]} ({m.value(other.score)}; {by})"
            groups.setdefault(verdict_against(evaluation, kind), []).append(named)
    return list(groups.items())


NOT_BETTER = ("no difference", "worse")
TAGGERS = ("mn10_as", "mn40_as")


def next_steps(evaluation: Evaluation, run: RunView | None = None) -> str:
    """Return what to try where training shows no gain on a task; empty where it shows one.

    Args:
        evaluation: the task and the baselines.
        run: the run that trained the encoder; None for an encoder that was not trained here.
    """
    source = (evaluation.settings.get("task") or {}).get("source") or "DATA"
    tagger = next(name for name in TAGGERS if name != evaluation.score.model)
    published = f"a published tagger ('{shlex.join(['auricle', 'evaluate', source, '--model', tagger])}')"
    if verdict_against(evaluation, UNTRAINED) in NOT_BETTER:
        options = [published]
        if run is not None:
            options += [f"longer training (this run made {number_of(run.updates, 'weight update')})", _more_sound(run)]
        return f"What may help: {', or '.join(options)}. 'auricle advise' weighs these for your data."
    if verdict_against(evaluation, LOG_MEL) in NOT_BETTER:
        return (
            "A plain summary of the spectrum does as well on this task. The difference may show with few labels "
            f"('--protocol fewshot') or on harder classes; otherwise try {published}."
        )
    return ""


def _more_sound(run: RunView) -> str:
    seconds = (run.snapshot.facts if run.snapshot else {}).get("seconds")
    return "more recordings" + (f" (this run had {duration(seconds)} of sound)" if seconds else "")


def compared(runs: Sequence[RunView]) -> list[str]:
    """Return a sentence per other run and evaluation that the first run has too.

    Evaluations of different tasks are not compared, also where the tasks have one name: the sentence says so.
    """
    sentences = []
    for run in runs[1:]:
        for other in run.evaluations:
            own = [e for e in runs[0].evaluations if e.variant == other.variant]
            same = next((e for e in own if same_task(e, other)), None)
            named = next((e for e in own if _key(e) == _key(other)), None)
            if same is not None:
                sentences.append(_compared(runs[0].name, same, run.name, other))
            elif named is not None:
                sentences.append(_not_compared(runs[0].name, named, run.name, other))
    return sentences


def _not_compared(name: str, own: Evaluation, other_name: str, other: Evaluation) -> str:
    reasons = own.task_identity.differences(other.task_identity)
    return (
        f"{own.task}, {own.protocol}: {name} and {other_name} were measured on two different tasks of this name "
        f"({'; '.join(reasons)}), so their scores are not compared."
    )


def _compared(name: str, own: Evaluation, other_name: str, other: Evaluation) -> str:
    difference = evaluation_difference(own, other)
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
