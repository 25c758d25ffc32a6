"""Whether two scores differ: paired differences over splits and seeds, for ``auricle results --compare`` and reports.

Scores are compared only where they were measured on the same task (``identity.py``); others are refused in words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auricle.core.console import printable
from auricle.core.errors import AuricleError, nearest
from auricle.evaluation.bootstrap import bootstrap_difference
from auricle.evaluation.evaluation import Evaluation, Score
from auricle.evaluation.result_rows import Result, mean_test_ratio, score_table
from auricle.metrics.table import METRICS

SIGNIFICANCE = 0.05  # p-value below which two scores are called different


@dataclass(frozen=True)
class PairedDifference:
    """``paired_difference`` of two scores.

    Attributes:
        mean: Mean of score minus reference over the pairs; of the plain means where nothing can be paired.
        std: Standard deviation (n-1) over the pairs; None with fewer than two, or an infinite difference.
        pairs: How many pairs of split and seed (of splits, where no seed is shared).
        p_value: Two-sided p-value of the corrected t test; None with fewer than two pairs, or an infinite difference.
        wilcoxon: Two-sided p-value of Wilcoxon's signed-rank test; None with fewer than two pairs.
        interval: 95 % interval over bootstrap draws of the tested clips, where the models were compared clip by clip.
    """

    mean: float
    std: float | None
    pairs: int
    p_value: float | None
    wilcoxon: float | None
    interval: tuple[float, float] | None = None

    def verdict(self, metric: str) -> str:
        """Return "better", "worse" or "no difference" of the score, or "unsure" with fewer than two pairs."""
        if self.p_value is None:
            return "unsure"
        if not self.p_value < SIGNIFICANCE:
            return "no difference"
        sign = METRICS[metric].sign if metric in METRICS else 1
        return "better" if sign * self.mean > 0 else "worse"


def paired_difference(
    scores: Mapping[str, float], reference: Mapping[str, float], test_ratio: float | None = None
) -> PairedDifference:
    """Compare two models that were scored on the same splits.

    The t test is the corrected resampled one of Nadeau and Bengio, "Inference for the Generalization Error", Machine
    Learning 52 (2003), 239-281: splits share training clips, so their scores are not independent and the plain paired test
    is too sure. It multiplies the variance of the mean, s²/n, by 1 + n · test_ratio. Wilcoxon's test has no such
    correction: read its p-values as too small.

    Args:
        scores: {"fold 1 / 42": 0.95}, by split and seed.
        reference: The same of the model that is compared with.
        test_ratio: Test clips per training clip; None: 1 / (k - 1) of k splits, as in k-fold cross-validation.

    Returns:
        The difference of score minus reference.
    """
    if not scores.keys() & reference.keys():  # other seeds, or a probe without any: pair the means of the splits
        scores, reference = _split_means(scores), _split_means(reference)
    keys = [key for key in scores if key in reference]
    if not keys:
        apart = float(np.mean(list(scores.values())) - np.mean(list(reference.values())))
        return PairedDifference(apart, None, 0, None, None)
    one, other = (np.array([table[key] for key in keys]) for table in (scores, reference))
    with np.errstate(invalid="ignore"):  # d' is infinite where nothing was confused
        differences = np.where(one == other, 0.0, one - other)
    if not np.isfinite(differences).all():
        return PairedDifference(float(np.mean(differences)), None, len(keys), None, None)
    splits = len(_split_means(dict.fromkeys(keys, 0.0)))
    ratio = test_ratio if test_ratio is not None else 1 / (splits - 1) if splits > 1 else 0.0
    std = float(np.std(differences, ddof=1)) if len(keys) > 1 else None
    mean = float(np.mean(differences))
    return PairedDifference(mean, std, len(keys), corrected_t_test(differences, ratio), wilcoxon_test(differences))


def _split_means(scores: Mapping[str, float]) -> dict[str, float]:
    """{"fold 1 / 42": 0.9, "fold 1 / 43": 0.8} -> {"fold 1": 0.85}; keys without a seed stay."""
    splits: dict[str, list[float]] = {}
    for key, value in scores.items():
        splits.setdefault(key.rpartition(" / ")[0] or key, []).append(value)
    return {split: float(np.mean(values)) for split, values in splits.items()}


def corrected_t_test(differences: np.ndarray, test_ratio: float) -> float | None:
    """Return the two-sided p-value of Nadeau and Bengio's corrected resampled t test; see ``paired_difference``.

    Args:
        differences: (n,), one per split and seed.
        test_ratio: Test clips per training clip; 0 gives Student's plain paired test.

    Returns:
        None for fewer than two differences; where all are equal, 1 if they are 0, else 0.
    """
    from scipy.stats import t

    n = len(differences)
    if n < 2:
        return None
    if np.ptp(differences) < 1e-12:
        return 1.0 if abs(differences[0]) < 1e-12 else 0.0
    statistic = np.mean(differences) / np.sqrt(np.var(differences, ddof=1) * (1 / n + test_ratio))
    return float(2 * t.sf(abs(statistic), n - 1))


def wilcoxon_test(differences: np.ndarray) -> float | None:
    """Return the two-sided p-value of Wilcoxon's signed-rank test of differences (n,).

    Returns:
        None for fewer than two differences, 1 when all are 0; differences of 0 are dropped.
    """
    from scipy.stats import wilcoxon

    if len(differences) < 2:
        return None
    differences = differences[np.abs(differences) > 1e-12]
    return float(wilcoxon(differences).pvalue) if len(differences) else 1.0


def score_difference(score: Score, reference: Score) -> PairedDifference:
    """Compare two scores of one task; see ``paired_difference``. ``compare_evaluations`` checks that the task is one."""
    return paired_difference(score_table(score.scores), score_table(reference.scores), mean_test_ratio(score.scores))


def compare_evaluations(own: Evaluation, other: Evaluation) -> PairedDifference:
    """Return the difference of the scores of two evaluations, own minus other.

    Raises:
        AuricleError: They measured different tasks, protocols or metrics.
    """
    reasons = own.task_identity.differences(other.task_identity)
    for name in ("protocol", "metric"):
        if getattr(own, name) != getattr(other, name):
            reasons.append(f"the {name} {getattr(own, name)} against {getattr(other, name)}")
    if reasons:
        raise AuricleError(
            f"'{own.task}' and '{other.task}' are not the same measurement ({'; '.join(reasons)}): their scores are not compared"
        )
    return evaluation_difference(own, other)


def evaluation_difference(own: Evaluation, other: Evaluation) -> PairedDifference:
    """Compare two evaluations of one task, own minus other: over splits and seeds, else clip by clip. That they measured the
    same task is not checked.
    """
    return _or_by_clips(score_difference(own.score, other.score), own, other)


def row_difference(
    row: Result, reference: Result, evaluation: Evaluation | None = None, other: Evaluation | None = None
) -> PairedDifference:
    """Compare two rows of the results store: over splits and seeds, else clip by clip. That the task is one is not checked.

    Args:
        row: A row.
        reference: The row that is compared with.
        evaluation: The evaluation that ``row`` is of, where it is there.
        other: That of ``reference``.
    """
    ratio = row.test_ratio if row.test_ratio is not None else reference.test_ratio
    difference = paired_difference(row.scores, reference.scores, ratio)
    if evaluation is None or other is None or not row.metric == evaluation.metric == other.metric:
        return difference
    return _or_by_clips(difference, evaluation, other)


def _or_by_clips(difference: PairedDifference, own: Evaluation, other: Evaluation) -> PairedDifference:
    """The difference over splits and seeds; where that cannot be tested, the one over the tested clips, if there is one."""
    return difference if difference.p_value is not None else clip_difference(own, other) or difference


def clip_difference(own: Evaluation, other: Evaluation) -> PairedDifference | None:
    """Compare two evaluations of one task over bootstrap draws of the clips that both tested, own minus other.

    Returns:
        The difference; ``pairs`` is the number of clips. None where scores per clip are not there, where the probes of several
        splits tested them (their scores are not ranked together), or for a metric that has no bootstrap.
    """
    if own.all_scores is None or other.all_scores is None or own.classes != other.classes:
        return None
    if len({p.fold for p in (*own.predictions, *other.predictions)}) > 1 and own.metric != "accuracy":
        return None
    rows = {(p.id, p.fold): row for row, p in enumerate(other.predictions)}
    pairs = [(row, rows[key]) for row, p in enumerate(own.predictions) if (key := (p.id, p.fold)) in rows]
    if not pairs:
        return None
    mine, theirs = (np.array(column) for column in zip(*pairs, strict=True))
    column = {name: i for i, name in enumerate(own.classes)}
    targets = np.zeros((len(mine), len(own.classes)), np.float32)
    for row, place in enumerate(mine):
        targets[row, [column[name] for name in own.predictions[place].true if name in column]] = 1
    scores, reference = np.asarray(own.all_scores)[mine], np.asarray(other.all_scores)[theirs]
    found = bootstrap_difference(own.metric, scores, reference, targets)
    return (
        None
        if found is None
        else PairedDifference(found.mean, found.std, len(mine), found.p_value, None, found.interval)
    )


def same_task(own: Evaluation, other: Evaluation) -> bool:
    """Return True if two evaluations may be compared: one task, protocol and metric, as far as is known.

    Names decide only where an earlier version recorded no more than counts.
    """
    measured = (own.protocol, own.metric) == (other.protocol, other.metric)
    named = own.task == other.task or (own.task_identity.recorded and other.task_identity.recorded)
    return measured and named and not own.task_identity.differences(other.task_identity)


@dataclass(frozen=True)
class Comparison:
    """Two models on one task by one protocol and metric.

    Attributes:
        a: The first model's row of the results store.
        b: The second model's row.
        pairs: How many pairs of split and seed both have.
        difference: b minus a, the mean over the pairs.
        std: Standard deviation (n-1) of the difference over the pairs.
        t_test: p-value of the corrected t test (``paired_difference``), or of the bootstrap over clips.
        wilcoxon: p-value of Wilcoxon's signed-rank test.
        verdict: What b is: "better", "worse", "no difference" or "unsure", as in reports.
        note: What the comparison assumes; "" for nothing.
        interval: 95 % interval of the difference, where the models were compared clip by clip: then ``pairs`` are clips.
    """

    task: str
    protocol: str
    metric: str
    a: Result
    b: Result
    pairs: int
    difference: float
    std: float | None
    t_test: float | None
    wilcoxon: float | None
    verdict: str = "unsure"
    note: str = ""
    interval: tuple[float, float] | None = None


Saved = Callable[[Result], "Evaluation | None"]


def _none_saved(row: Result) -> Evaluation | None:
    return None


def compare(results: Sequence[Result], a: str, b: str, saved: Saved = _none_saved) -> list[Comparison]:
    """Compare two models on every task, protocol and metric that both have; of several measurements the latest counts.

    Args:
        results: Rows of the store.
        a: Id of a row, name of a model, or path of a run folder or weight file.
        b: The same.
        saved: Returns the evaluation of a row, where it is there: single scores are then compared clip by clip.

    Raises:
        AuricleError: A name is unknown or stands for several models, or nothing was measured on the same task.
    """
    comparisons, refused = compare_all(results, a, b, saved)
    if not comparisons:
        raise AuricleError(
            f"'{a}' and '{b}' were not measured on the same task by the same protocol"
            + (f": {'; '.join(refused)}" if refused else "; evaluate both on one first")
        )
    return comparisons


def compare_all(
    results: Sequence[Result], a: str, b: str, saved: Saved = _none_saved
) -> tuple[list[Comparison], list[str]]:
    """Compare as ``compare`` does.

    Returns:
        The comparisons, and for each task, protocol and metric of one name that cannot be compared the reason.
    """
    rows_a, rows_b = _latest(results, a), _latest(results, b)
    comparisons, refused, matched = [], [], set()
    for own in rows_a:
        partner = next((other for other in rows_b if _comparable(own, other)), None)
        if partner is not None:
            comparisons.append(_compare_rows(own, partner, saved))
            matched.add(_named(own))
    for own in rows_a:
        other = next((other for other in rows_b if _named(own) == _named(other)), None)
        if other is not None and _named(own) not in matched:
            matched.add(_named(own))
            reasons = "; ".join(own.identity.differences(other.identity))
            refused.append(
                f"two different tasks are called '{own.task}' ({own.protocol}, {own.metric}): {reasons} "
                f"(rows #{own.id} and #{other.id}); evaluate both models on one of them"
            )
    return comparisons, refused


def _named(row: Result) -> tuple[str, str, str]:
    return row.task, row.protocol, row.metric


def _comparable(own: Result, other: Result) -> bool:
    """True for one protocol, metric and task. The name of the task decides only where its clips were not recorded."""
    if (own.protocol, own.metric) != (other.protocol, other.metric):
        return False
    if own.identity.recorded and other.identity.recorded:
        return own.fingerprint == other.fingerprint
    return own.task == other.task and not own.identity.differences(other.identity)


def _latest(results: Sequence[Result], name: str) -> list[Result]:
    """The latest row of a model for each task, protocol and metric, the newest first."""
    rows = _rows_of_model(results, name)
    latest = {(*_named(r), r.fingerprint): r for r in sorted(rows, key=lambda r: r.id or 0)}
    return sorted(latest.values(), key=lambda r: r.id or 0, reverse=True)


def _rows_of_model(results: Sequence[Result], name: str) -> list[Result]:
    """The rows of an id, of the run or weight file at a path, or of a model's name.

    Raises AuricleError for an unknown name, and for a name that stands for several runs.
    """
    if name.isdigit():
        rows = [r for r in results if str(r.id) == name]
    else:
        base, _, variant = name.partition(" (")  # "runs/first (layers 5, mean)"
        place, variant = str(Path(base).expanduser().absolute().resolve()), f" ({variant}" if variant else ""
        rows = [r for r in results if r.place == place and _variant(r) == variant and r.role == "model"]
        rows = rows or [r for r in results if r.model == name]
    if not rows:
        names = tuple(dict.fromkeys(r.model for r in results))
        raise AuricleError(f"the store has no result of '{name}'{nearest(name, names) if names else ': it is empty'}")
    places = {r.place: r.id for r in rows}
    if len(places) > 1:
        listed = ", ".join(f"{place or 'one that an earlier version measured'} (#{id})" for place, id in places.items())
        raise AuricleError(
            f"'{name}' is the name of several runs: {listed}; name one by its whole path or by a row's number"
        )
    return rows


def _variant(row: Result) -> str:
    """ " (layers 5, mean)" of a model's name, or ""."""
    start = row.model.rfind(" (")
    return row.model[start:] if start >= 0 and row.model.endswith(")") else ""


def _compare_rows(a: Result, b: Result, saved: Saved) -> Comparison:
    d = row_difference(b, a, saved(b), saved(a))
    return Comparison(
        a.task,
        a.protocol,
        a.metric,
        a,
        b,
        d.pairs,
        d.mean,
        d.std,
        d.p_value,
        d.wilcoxon,
        d.verdict(a.metric),
        a.identity.assumed_same(b.identity),
        d.interval,
    )


VERDICTS = {
    "better": "B is better",
    "worse": "B is worse",
    "no difference": "no difference: one like this comes and goes with the folds",
    "unsure": "too few to test",
}


def _tests(c: Comparison) -> str:
    """The tests of a comparison in words, up to the verdict."""
    if c.interval is not None:
        low, high = c.interval
        return f"bootstrap over {c.pairs} clips: 95 % from {low:+.4f} to {high:+.4f}, p = {c.t_test:.3g}; "
    pairs = f"pairs of fold and seed: {c.pairs}; "
    return pairs + (
        "" if c.t_test is None else f"corrected paired t p = {c.t_test:.3g}, Wilcoxon p = {c.wilcoxon:.3g}; "
    )


def as_table(comparisons: Sequence[Comparison]) -> str:
    """Write four lines of text for each comparison."""
    lines = []
    for c in comparisons:
        spread = "" if c.std is None else f" ± {c.std:.4f}"
        tests = _tests(c)
        task = c.task if c.task == c.b.task else f"{c.task} (B: {c.b.task})"
        lines.append(printable(f"{task} · {c.protocol} · {c.metric}"))
        lines.append(printable(f"  A {c.a.model} (#{c.a.id})  {c.a.score:.4f}"))
        lines.append(printable(f"  B {c.b.model} (#{c.b.id})  {c.b.score:.4f}"))
        lines.append(f"  B - A  {c.difference:+.4f}{spread}; {tests}{VERDICTS[c.verdict]}")
        lines += [f"  note: {c.note}"] if c.note else []
    return "\n".join(lines)
