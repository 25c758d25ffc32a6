"""Two models side by side on the tasks both were measured on, with paired tests over folds and seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from auricle.core.errors import AuricleError, nearest
from auricle.evaluation.results import Result


@dataclass(frozen=True)
class Comparison:
    """difference = b - a, its mean over the pairs (fold and seed both have) and its deviation (n-1).

    t_test and wilcoxon are two-sided p-values, None with fewer than two pairs. Folds share training clips, so both
    tests are too sure of themselves: read a p-value near 0.05 as no difference.
    """

    task: str
    protocol: str
    metric: str
    a: Result
    b: Result
    pairs: int
    difference: float
    deviation: float | None
    t_test: float | None
    wilcoxon: float | None


def compare(results: Sequence[Result], a: str, b: str) -> list[Comparison]:
    """One comparison per task, protocol and metric that both have; of several measurements the latest counts.

    a and b are ids of rows, or names of models. Raises AuricleError when a name is unknown or nothing is shared.
    """
    first, second = _latest(results, a), _latest(results, b)
    shared = [key for key in first if key in second]
    if not shared:
        raise AuricleError(
            f"'{a}' and '{b}' were not measured on the same task by the same protocol; evaluate both on one first"
        )
    return [_compared(first[key], second[key]) for key in shared]


def _latest(results: Sequence[Result], who: str) -> dict[tuple[str, str, str], Result]:
    rows = [r for r in results if str(r.id) == who] if who.isdigit() else [r for r in results if r.model == who]
    if not rows:
        names = tuple(dict.fromkeys(r.model for r in results))
        raise AuricleError(f"the store has no result of '{who}'{nearest(who, names) if names else ': it is empty'}")
    return {(r.task, r.protocol, r.metric): r for r in sorted(rows, key=lambda r: r.id or 0)}


def _compared(a: Result, b: Result) -> Comparison:
    first, second = a.scores, b.scores
    if not set(first) & set(second):  # other seeds, or a probe without any: pair the means of the folds
        first, second = by_fold(first), by_fold(second)
    keys = [key for key in first if key in second]
    x, y = (np.array([scores[key] for key in keys]) for scores in (first, second))
    pairs = len(keys)
    mean = float(np.mean(y - x)) if pairs else b.score - a.score
    deviation = float(np.std(y - x, ddof=1)) if pairs > 1 else None
    return Comparison(a.task, a.protocol, a.metric, a, b, pairs, mean, deviation, paired_t(x, y), paired_wilcoxon(x, y))


def by_fold(scores: dict[str, float]) -> dict[str, float]:
    """{"fold 1 / 42": 0.9, "fold 1 / 43": 0.8, …} -> {"fold 1": 0.85, …}."""
    folds: dict[str, list[float]] = {}
    for key, value in scores.items():
        folds.setdefault(key.rpartition(" / ")[0], []).append(value)
    return {fold: float(np.mean(values)) for fold, values in folds.items()}


def paired_t(x: np.ndarray, y: np.ndarray) -> float | None:
    """Two-sided p-value of Student's paired t test; 1 when no pair differs, 0 when all differ by the same."""
    from scipy.stats import ttest_rel

    if len(x) < 2:
        return None
    difference = y - x
    if np.ptp(difference) < 1e-12:
        return 1.0 if abs(difference[0]) < 1e-12 else 0.0
    return float(ttest_rel(x, y).pvalue)


def paired_wilcoxon(x: np.ndarray, y: np.ndarray) -> float | None:
    """Two-sided p-value of Wilcoxon's signed ranks (ties dropped); 1 when no pair differs."""
    from scipy.stats import wilcoxon

    difference = y - x
    difference = difference[np.abs(difference) > 1e-12]
    if len(x) < 2:
        return None
    return float(wilcoxon(difference).pvalue) if len(difference) else 1.0


def as_table(comparisons: Sequence[Comparison]) -> str:
    """Lines of text, a comparison each."""
    lines = []
    for c in comparisons:
        spread = "" if c.deviation is None else f" ± {c.deviation:.4f}"
        tests = "too few to test" if c.t_test is None else f"paired t p = {c.t_test:.3g}, Wilcoxon p = {c.wilcoxon:.3g}"
        lines.append(f"{c.task} · {c.protocol} · {c.metric}")
        lines.append(f"  A {c.a.model} (#{c.a.id})  {c.a.score:.4f}")
        lines.append(f"  B {c.b.model} (#{c.b.id})  {c.b.score:.4f}")
        lines.append(f"  B - A  {c.difference:+.4f}{spread}; pairs of fold and seed: {c.pairs}; {tests}")
    return "\n".join(lines)
