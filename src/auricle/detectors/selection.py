"""Which frozen head a detector gets: each is tried on held-out folds of the training clips, and the simplest that is not clearly
worse than the best one is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomKey
from auricle.data.manifest.manifest import draw_folds
from auricle.detectors.features import LabelledFeatures
from auricle.detectors.frozen_heads import FrozenHead, fit_head, logits_of
from auricle.methods.supervised.detector_config import FROZEN_HEADS
from auricle.metrics.table import Metric
from auricle.models.label_space import LabelKind

FOLDS = 5
DIGITS = 9  # of scores that are compared: means of equal numbers differ by rounding
STRENGTHS = (0.001, 0.01, 0.1, 1.0, 10.0)  # C of logistic regressions, from the strongest penalty on
ATTENTIVE_STRENGTHS = (0.01, 1.0)


@dataclass(frozen=True)
class Trial:
    """A head that was tried on held-out folds.

    Attributes:
        choice: kind and settings.
        metric: name of the metric.
        fold_scores: its value on every fold that could be scored.
        loss: mean log loss of the held-out clips.
        seconds: that fitting and scoring took.
        logits: (n, C) float32, of every clip by the head that did not learn from its fold.
    """

    choice: FrozenHead
    metric: str
    fold_scores: tuple[float, ...]
    loss: float
    seconds: float
    logits: np.ndarray

    @property
    def score(self) -> float:
        """Mean over the folds; NaN without one."""
        return float(np.mean(self.fold_scores)) if self.fold_scores else float("nan")

    @property
    def error(self) -> float:
        """Standard error of the mean over the folds; NaN for fewer than two."""
        return standard_error(np.array(self.fold_scores))


def standard_error(values: np.ndarray) -> float:
    """Return the standard error of the mean of values (n,); NaN for fewer than two."""
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def inner_folds(features: LabelledFeatures, seed: int = 0) -> np.ndarray:
    """Draw folds of the training clips, (n,) from 0: groups stay whole, classes are spread evenly.

    There are five, or as many as groups where these are fewer; all zeros where there is one group alone.
    """
    groups = len(set(features.groups))
    if groups < 2:
        return np.zeros(len(features), np.int64)
    drawn = draw_folds(features.targets, features.groups, min(FOLDS, groups), seed)
    return np.unique(drawn, return_inverse=True)[1]


def can_be_validated(features: LabelledFeatures, folds: np.ndarray) -> bool:
    """Return True if the classes of most labelled clips occur in other folds too: else held-out scores mean nothing."""
    present = features.targets * features.known > 0
    by_fold = np.stack([present[folds == fold].any(0) for fold in np.unique(folds)])
    in_others = present & (by_fold.sum(0) > 1)
    labelled = present.any(1)
    return len(by_fold) > 1 and 2 * in_others.any(1).sum() > labelled.sum()


def candidates(kinds: Sequence[str], features: LabelledFeatures) -> list[FrozenHead]:
    """Return the heads that are tried: those of the kinds whose features are here, from the simplest on."""
    chosen = [kind for kind in FROZEN_HEADS if kind in kinds]
    heads = {
        "linear": [FrozenHead("linear", strength) for strength in STRENGTHS],
        "prototype": [FrozenHead("prototype")],
        "gated-layers": [
            FrozenHead("gated-layers"),
            *(FrozenHead("gated-layers", strength, scores="linear") for strength in STRENGTHS),
        ],
        "attentive": [FrozenHead("attentive", strength) for strength in ATTENTIVE_STRENGTHS],
    }
    if not features.layers:
        heads["gated-layers"] = []
    if features.frames is None:
        heads["attentive"] = []
    return [head for kind in chosen for head in heads[kind]]


def more_candidates(kinds: Sequence[str], features: LabelledFeatures, seed: int = 0) -> Iterator[FrozenHead]:
    """Yield further heads for a search in a budget of time, without end where a kind has more settings to draw.

    A head may come twice; ``try_heads`` tries it once.
    """
    source, depth = RandomKey(seed).of("autotune"), len(features.layers)
    finer = [float(10.0**e) for e in np.arange(-4.5, 2.6, 0.5) if e % 1]
    halves = [tuple(range(depth // 2, depth)), tuple(range(depth // 2)), tuple(range(depth * 3 // 4, depth))]
    if "linear" in kinds:
        yield from (FrozenHead("linear", strength) for strength in finer)
    if "gated-layers" in kinds and depth > 1:
        yield from (FrozenHead("gated-layers", layers=half) for half in halves if half)
        yield from (
            FrozenHead("gated-layers", s, scores="linear", layers=half)
            for half, s in product(halves, STRENGTHS)
            if half
        )
    while True:
        strength = float(10 ** source.uniform(-4, 2))
        drawn = [FrozenHead("linear", strength)] if "linear" in kinds else []
        if "gated-layers" in kinds and depth > 1:
            layers = tuple(int(i) for i in np.flatnonzero(source.uniform(size=depth) < 0.5)) or (depth - 1,)
            drawn += [FrozenHead("gated-layers", strength, "linear", layers), FrozenHead("gated-layers", layers=layers)]
        if "attentive" in kinds and features.frames is not None:
            per_class, number = bool(source.integers(0, 2)), int(source.integers(0, 1000))
            drawn.append(FrozenHead("attentive", strength, per_class=per_class, seed=number))
        if not drawn:
            return
        yield from drawn


def try_head(
    choice: FrozenHead, features: LabelledFeatures, folds: np.ndarray, kind: LabelKind, metric: Metric
) -> Trial:
    """Fit a head on all folds but one, and score it on that one, for every fold."""
    started, truth = time.perf_counter(), features.truth()
    logits, scores = np.zeros(features.targets.shape, np.float32), list[float]()
    for fold in np.unique(folds):
        held = np.flatnonzero(folds == fold)
        head = fit_head(choice, features.take(np.flatnonzero(folds != fold)), kind)
        logits[held] = logits_of(head, features.take(held))
        score = metric(logits[held], truth[held])
        scores += [float(score)] if np.isfinite(score) else []
    loss = held_out_loss(logits, features.targets, features.known, kind)
    return Trial(choice, metric.name, tuple(scores), loss, time.perf_counter() - started, logits)


def try_heads(
    heads: Iterable[FrozenHead],
    features: LabelledFeatures,
    folds: np.ndarray,
    kind: LabelKind,
    metric: Metric,
    *,
    until: float = float("inf"),
    on_trial: Callable[[Trial], None] | None = None,
) -> list[Trial]:
    """Try heads one after the other, each once.

    Args:
        heads: kinds and settings.
        features, folds, kind, metric: as of ``try_head``.
        until: value of ``time.monotonic`` from which no further head is begun.
        on_trial: called after each.
    """
    trials, tried = list[Trial](), set[FrozenHead]()
    for choice in heads:
        if time.monotonic() >= until:
            break
        if choice in tried:
            continue
        tried.add(choice)
        trials.append(try_head(choice, features, folds, kind, metric))
        if on_trial is not None:
            on_trial(trials[-1])
    return trials


def held_out_loss(logits: np.ndarray, targets: np.ndarray, known: np.ndarray, kind: LabelKind) -> float:
    """Return the mean log loss of logits (n, C) of all annotated labels; ``targets`` and ``known`` are (n, C) of 0 and 1."""
    logits = logits.astype(np.float64)
    if kind == "multiclass":
        likelihoods = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        return float(-(likelihoods * targets).sum(1).mean())
    losses = np.logaddexp(0.0, logits) - logits * targets
    return float((losses * known).sum() / known.sum().clip(min=1))


def best_of_kinds(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trial of each kind of head with the least held-out log loss, from the simplest kind on.

    Log loss and not the metric chooses settings: most settings tie in accuracy, and probabilities make thresholds.
    """
    best: dict[str, Trial] = {}
    for trial in trials:
        known = best.get(trial.choice.kind)
        if known is None or trial.loss < known.loss:
            best[trial.choice.kind] = trial
    return [best[kind] for kind in FROZEN_HEADS if kind in best]


def simplest(trials: Sequence[Trial], sign: int = 1) -> tuple[Trial, str]:
    """Choose the simplest head whose score is within one standard error of the best one's.

    Linear heads are simplest: one matrix, with a unique solution. Prototype heads add a norm and a scale, gated layers read all
    blocks, attentive heads every frame. The difference of two heads is taken fold by fold, because a hard fold is hard for
    both: the rule of one standard error of ([Hastie 2009, section 7.10](https://hastie.su.domains/ElemStatLearn/)) on paired
    scores.

    Args:
        trials: of all heads that were tried, on the same folds.
        sign: 1, or -1 where a lower score is better.

    Returns:
        The trial, and a sentence that says why it was kept.

    Raises:
        AuricleError: no head could be scored.
    """
    ranked = best_of_kinds([trial for trial in trials if np.isfinite(trial.score)])
    if not ranked:
        raise AuricleError(
            "no head could be scored on held-out clips; give each class recordings of two groups or more (or two clips)"
        )
    best = max(ranked, key=lambda trial: round(sign * trial.score, DIGITS))  # the simplest of equal ones
    for trial in ranked:
        if trial is best:
            break
        lost = sign * (np.array(best.fold_scores) - np.array(trial.fold_scores))
        if lost.mean() <= np.nan_to_num(standard_error(lost)):
            return trial, (
                f"{trial.choice.kind} is kept: the best one, {best.choice.kind}, is better by {lost.mean():.4f}, which is within "
                f"one standard error ({standard_error(lost):.4f})"
            )
    if any(trial is not best and round(sign * (trial.score - best.score), DIGITS) == 0 for trial in ranked):
        return best, f"{best.choice.kind} is kept: it is the simplest of those with the best score"
    return best, f"{best.choice.kind} is kept: it is the best one" + (
        ", and no simpler one is within one standard error" if best is not ranked[0] else ""
    )


def trial_table(trials: Sequence[Trial], kept: Trial) -> str:
    """Return the best trial of each kind as lines of a table, the kept one marked."""
    rows = [("head", trials[0].metric, "standard error", "log loss", "seconds")]
    for trial in best_of_kinds(trials):
        own = kept if trial.choice.kind == kept.choice.kind else trial
        spent = sum(other.seconds for other in trials if other.choice.kind == own.choice.kind)
        mark = "* " if own is kept else "  "
        rows.append((f"{mark}{own.choice}", f"{own.score:.4f}", f"{own.error:.4f}", f"{own.loss:.4f}", f"{spent:.1f}"))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)
