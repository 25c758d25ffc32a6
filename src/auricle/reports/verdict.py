"""What was learnt, in words: verdicts from paired differences over folds and seeds, never better than the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from auricle.evaluation.evaluation import Evaluation, Score
from auricle.reports.html import measure_of
from auricle.reports.view import RunView, main_evaluation

CLEAR = 0.05  # p-value below which a difference is called one
UNTRAINED, LOG_MEL, CHANCE = "untrained", "logmel-stats", "chance"
SENTENCES = {
    "better": "That is better than {}.",
    "worse": "That is worse than {}.",
    "no difference": "That is no better than {}: differences like these come and go with the folds.",
    "unsure": "Beside it stand {}; with a single score each, nothing can be said of chance.",
}
RIVALS = {UNTRAINED: "the untrained encoder", LOG_MEL: "log-mel mean and deviation", CHANCE: "chance"}


@dataclass(frozen=True)
class Difference:
    """a - b over the folds and seeds that both have; deviation (n-1) and p-value None with fewer than two pairs."""

    mean: float
    deviation: float | None
    pairs: int
    p: float | None

    @property
    def verdict(self) -> str:
        if self.p is None:
            return "unsure"
        return "no difference" if self.p > CLEAR else "better" if self.mean > 0 else "worse"


def difference(a: Score, b: Score) -> Difference:
    """Paired by fold and seed; a score without seeds stands for every seed of the other."""
    x, y = _paired(a, b)
    if not len(x):
        return Difference(a.score - b.score, None, 0, None)
    deviation = float(np.std(x - y, ddof=1)) if len(x) > 1 else None
    ratio = float(np.mean([s.test / max(1, s.train) for s in a.scores]))
    return Difference(float(np.mean(x - y)), deviation, len(x), corrected_p(x - y, ratio))


def corrected_p(differences: np.ndarray, ratio: float) -> float | None:
    """Two-sided p-value of the resampled t test of Nadeau and Bengio (2003), None with fewer than two differences.

    Folds share training clips, so the plain paired test is too sure of itself; ``ratio`` is test per training clips.
    """
    from scipy.stats import t

    if len(differences) < 2:
        return None
    mean, variance = float(np.mean(differences)), float(np.var(differences, ddof=1))
    if variance < 1e-18:
        return 1.0 if abs(mean) < 1e-9 else 0.0
    statistic = mean / np.sqrt(variance * (1 / len(differences) + ratio))
    return float(2 * t.sf(abs(statistic), len(differences) - 1))


def _paired(a: Score, b: Score) -> tuple[np.ndarray, np.ndarray]:
    one, other = ({(s.fold, s.seed): s.score for s in score.scores} for score in (a, b))
    keys = [key for key in one if key in other]
    if keys:
        return np.array([one[k] for k in keys]), np.array([other[k] for k in keys])
    mine, theirs = _fold_means(a), _fold_means(b)
    folds = [fold for fold in mine if fold in theirs]
    return np.array([mine[f] for f in folds]), np.array([theirs[f] for f in folds])


def _fold_means(score: Score) -> dict[str, float]:
    folds = dict.fromkeys(s.fold for s in score.scores)
    return {fold: float(np.mean([s.score for s in score.scores if s.fold == fold])) for fold in folds}


def kind_of(name: str) -> str:
    """Which baseline a model's name is, or ""."""
    return next((kind for kind in RIVALS if name == kind or name.startswith(f"{kind} ")), "")


def rival(evaluation: Evaluation, kind: str) -> Score | None:
    return next((b for b in evaluation.baselines if kind_of(b.model) == kind), None)


def learnt(run: RunView) -> list[str]:
    """Two paragraphs for the top of the page: what training did, and what a probe of the encoder says."""
    return [_training_words(run), " ".join(_probe_words(main_evaluation(run.evaluations)))]


def _training_words(run: RunView) -> str:
    losses = [
        row["loss"] for row in run.rows("step") if isinstance(row.get("loss"), float) and np.isfinite(row["loss"])
    ]
    if not losses:
        return "Nothing was logged during training yet."
    part = max(1, len(losses) // 20)
    first, last = float(np.mean(losses[:part])), float(np.mean(losses[-part:]))
    if len(losses) == 1 or abs(first - last) < 0.01 * abs(first):
        return f"The loss stands at {last:.3g}; it hardly moved in {run.length}."
    return f"Over {run.length} the loss {'fell' if last < first else 'rose'} from {first:.3g} to {last:.3g}."


def _probe_words(evaluation: Evaluation | None) -> list[str]:
    if evaluation is None:
        return ["The encoder has not been evaluated: whether it learnt anything useful is not known yet."]
    own, floor, m = evaluation.score, rival(evaluation, CHANCE), measure_of(evaluation.metric)
    spread = "" if own.deviation is None else f" (deviation {m.number(own.deviation)})"
    chance = f", where chance is {m.value(floor.score)}" if floor else ""
    reached = f"{m.value(own.score)} {evaluation.metric}{spread}"
    return [f"On {evaluation.task} ({evaluation.protocol}) it reaches {reached}{chance}.", *_against_rivals(evaluation)]


def _against_rivals(evaluation: Evaluation) -> list[str]:
    """A sentence per verdict, naming the baselines it holds for."""
    groups: dict[str, list[str]] = {}
    m = measure_of(evaluation.metric)
    for kind in (UNTRAINED, LOG_MEL):
        other = rival(evaluation, kind)
        if other is not None:
            found = difference(evaluation.score, other)
            by = m.difference(found.mean, found.deviation)
            groups.setdefault(found.verdict, []).append(f"{RIVALS[kind]} ({m.value(other.score)}; {by})")
    return [SENTENCES[verdict].format(" and ".join(names)) for verdict, names in groups.items()]


def compared(runs: Sequence[RunView]) -> list[str]:
    """A sentence per other run, task and protocol that the first run was measured on too."""
    first = {_key(e): e for e in runs[0].evaluations}
    pairs = [(run, e) for run in runs[1:] for e in run.evaluations if _key(e) in first]
    return [_against(runs[0].name, first[_key(other)], run.name, other) for run, other in pairs]


def _against(name: str, own: Evaluation, other_name: str, other: Evaluation) -> str:
    found = difference(own.score, other.score)
    verdict = {
        "better": "is better than",
        "worse": "is worse than",
        "no difference": "is no different from",
        "unsure": "cannot be told from",
    }[found.verdict]
    by = measure_of(own.metric).difference(found.mean, found.deviation)
    return f"{own.task}, {own.protocol}: {name} {verdict} {other_name} ({by})."


def _key(evaluation: Evaluation) -> tuple[str, str, str]:
    return evaluation.task, evaluation.protocol, evaluation.metric
