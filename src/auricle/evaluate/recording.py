"""From an Evaluation to the rows of the results store: the model's, one per few-shot point, and the baselines'."""

from __future__ import annotations

from collections.abc import Sequence

from auricle.evaluate.evaluation import Evaluation, Score
from auricle.evaluate.results import Result, ResultsStore
from auricle.evaluate.scoring import FoldScore


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
