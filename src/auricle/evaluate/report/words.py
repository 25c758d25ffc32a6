"""What was learnt, in words: verdicts from paired differences over folds and seeds, never better than the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from auricle.evaluate.compare import paired_t
from auricle.evaluate.evaluation import Evaluation, Score
from auricle.evaluate.report.html import percent, signed
from auricle.evaluate.report.view import RunView, main_evaluation

CLEAR = 0.05  # p-value of the paired t test; folds share training clips, so it is read together with the deviation
UNTRAINED, LOG_MEL, CHANCE = "untrained", "logmel-stats", "chance"
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
    return Difference(float(np.mean(x - y)), deviation, len(x), paired_t(y, x))


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
    """Sentences for the top of the page: what training did, and what a probe of the encoder says."""
    return [*_training_words(run), *_probe_words(main_evaluation(run.evaluations))]


def _training_words(run: RunView) -> list[str]:
    losses = [float(row["loss"]) for row in run.rows("step") if "loss" in row]
    if not losses:
        return ["Nothing was logged during training yet."]
    part = max(1, len(losses) // 20)
    first, last = float(np.mean(losses[:part])), float(np.mean(losses[-part:]))
    if len(losses) == 1 or abs(first - last) < 0.01 * abs(first):
        return [f"The loss stands at {last:.3g}; it hardly moved in {run.epochs:.3g} epochs."]
    moved = "fell" if last < first else "rose"
    return [f"Over {run.epochs:.3g} epochs the loss {moved} from {first:.3g} to {last:.3g}."]


def _probe_words(evaluation: Evaluation | None) -> list[str]:
    if evaluation is None:
        return ["Its encoder has not been evaluated: whether it learnt anything useful is not known yet."]
    own = evaluation.score
    spread = "" if own.deviation is None else f" ± {percent(own.deviation)}"
    words = [
        f"On {evaluation.task} ({evaluation.protocol}) it reaches {percent(own.score)}{spread} % {evaluation.metric}."
    ]
    rivals = [(kind, rival(evaluation, kind)) for kind in (UNTRAINED, LOG_MEL)]
    words += [sentence(difference(own, other), RIVALS[kind], other) for kind, other in rivals if other is not None]
    floor = rival(evaluation, CHANCE)
    return [*words, *([f"Chance is {percent(floor.score)} %."] if floor else [])]


def sentence(found: Difference, who: str, other: Score) -> str:
    """One comparison, honestly."""
    by = f"{signed(found.mean)} points" + ("" if found.deviation is None else f" ± {percent(found.deviation)}")
    at = f"({percent(other.score)} %; {by})"
    return {
        "better": f"That is better than {who} {at}.",
        "worse": f"That is worse than {who} {at}.",
        "no difference": f"That is no better than {who} {at}: the difference lies within what folds and seeds do.",
        "unsure": f"Against {who} {at} there is a single pair of scores, so nothing can be said of chance.",
    }[found.verdict]


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
    spread = "" if found.deviation is None else f" ± {percent(found.deviation)}"
    return f"{own.task}, {own.protocol}: {name} {verdict} {other_name} ({signed(found.mean)} points{spread})."


def _key(evaluation: Evaluation) -> tuple[str, str, str]:
    return evaluation.task, evaluation.protocol, evaluation.metric
