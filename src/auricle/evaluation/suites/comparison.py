"""The outcomes of a suite side by side: one table per task and protocol, with intervals, paired differences and published scores.

All differences are those of ``evaluation.compare``: the corrected t test over splits and seeds where there are two pairs at least,
else the bootstrap over the tested clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from auricle.evaluation.compare import PairedDifference, row_difference
from auricle.metrics.table import METRICS

if TYPE_CHECKING:
    from auricle.evaluation.result_rows import Result
    from auricle.evaluation.suites.published import PublishedScore
    from auricle.evaluation.suites.run import Outcome


LISTED = 3  # published scores of a task in a terminal


@dataclass(frozen=True)
class ModelPair:
    """Two models on one task.

    Attributes:
        a: Name of the first model.
        b: Name of the second.
        difference: a minus b; None where they cannot be compared.
        verdict: What a is: "better", "worse", "no difference", "unsure".
        reason: Why they cannot be compared; "" where they can.
    """

    a: str
    b: str
    difference: PairedDifference | None
    verdict: str = "unsure"
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


@dataclass(frozen=True)
class TaskTable:
    """One task by one protocol and metric.

    Attributes:
        task: Name of the task.
        protocol: Name of the protocol, without its settings.
        metric: Name of the metric.
        rows: The models' rows of the results store, in the order they were named.
        baselines: The rows of baselines, of the first model.
        pairs: All pairs of models.
        published: Published scores of the task.
    """

    task: str
    protocol: str
    metric: str
    rows: tuple[Result, ...]
    baselines: tuple[Result, ...] = ()
    pairs: tuple[ModelPair, ...] = ()
    published: tuple[PublishedScore, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "task": self.task,
            "protocol": self.protocol,
            "metric": self.metric,
            "scores": {row.model: {"score": row.score, "std": row.std, "interval": row.interval} for row in self.rows},
            "baselines": {row.model: row.score for row in self.baselines},
            "pairs": [pair.to_json() for pair in self.pairs],
            "published": [score.to_json() for score in self.published],
        }


def compare_outcomes(outcomes: Sequence[Outcome], published: Sequence[PublishedScore] = ()) -> list[TaskTable]:
    """Put outcomes of one task, protocol and metric in one table, in the order of the outcomes."""
    groups: dict[tuple[str, str, str], list[tuple[Outcome, Result]]] = {}
    for outcome in outcomes:
        for row in outcome.rows:
            if row.role == "model":
                groups.setdefault((outcome.task, plain_protocol(row.protocol), row.metric), []).append((outcome, row))
    return [_table(*key, group, published) for key, group in groups.items()]


def plain_protocol(name: str) -> str:
    """Return the name of a protocol without its settings: "evar" of "evar, lr 3e-05", whose rate is each family's own."""
    return name.partition(",")[0]


def _table(
    task: str,
    protocol: str,
    metric: str,
    group: Sequence[tuple[Outcome, Result]],
    published: Sequence[PublishedScore],
) -> TaskTable:
    first, main = group[0]
    models = {row.model for _, row in group}  # a baseline that was named as a model stands in one row
    baselines = [
        r
        for r in first.rows
        if r.role == "baseline" and (r.protocol, r.metric) == (main.protocol, metric) and r.model not in models
    ]
    pairs = tuple(_pair(one, other) for one, other in combinations(group, 2))
    beside = tuple(
        score for score in published if (score.task, score.protocol, score.metric) == (task, protocol, metric)
    )
    return TaskTable(task, protocol, metric, tuple(row for _, row in group), tuple(baselines), pairs, beside)


def _pair(one: tuple[Outcome, Result], other: tuple[Outcome, Result]) -> ModelPair:
    (own, a), (theirs, b) = one, other
    reasons = a.identity.differences(b.identity) + (
        [] if a.version == b.version else ["versions of the protocol differ"]
    )
    if reasons:
        return ModelPair(a.model, b.model, None, reason="; ".join(reasons))
    difference = row_difference(a, b, own.evaluation, theirs.evaluation)
    return ModelPair(a.model, b.model, difference, difference.verdict(a.metric))


VERDICTS = {
    "better": "is better than",
    "worse": "is worse than",
    "no difference": "is no different from",
    "unsure": "cannot be told apart from (too few to test)",
}


def pair_sentence(pair: ModelPair, metric: str) -> str:
    """Return what is known of a pair in one sentence."""
    if pair.difference is None:
        return f"{pair.a} and {pair.b} are not compared: {pair.reason}."
    d, chosen = pair.difference, METRICS.get(metric)
    factor, digits = (chosen.factor, chosen.digits) if chosen else (1.0, 3)
    unit = f" {chosen.difference_unit}" if chosen and chosen.difference_unit else ""
    spread = "" if d.std is None else f" ± {factor * d.std:.{digits}f}"
    within = (
        f", 95 % interval {factor * d.interval[0]:+.{digits}f} to {factor * d.interval[1]:+.{digits}f}"
        if d.interval
        else ""
    )
    over = "" if d.p_value is None else f"; p = {d.p_value:.2g}, {d.pairs} {'clips' if d.interval else 'pairs'}"
    return f"{pair.a} {VERDICTS[pair.verdict]} {pair.b} ({factor * d.mean:+.{digits}f}{spread}{unit}{within}{over})."


def tables_as_text(tables: Sequence[TaskTable]) -> str:
    """Write the tables for a terminal: a line per model, published score and pair."""
    return "\n\n".join(_as_text(table) for table in tables)


def _as_text(table: TaskTable) -> str:
    lines = [f"{table.task} · {table.protocol} · {table.metric}"]
    entries = [(row.model, _number(row.score), _spread(row.std) + _interval(row.interval)) for row in table.rows]
    entries += [(row.model, _number(row.score), "  (baseline)") for row in table.baselines]
    best = sorted(table.published, key=lambda score: -score.score)[:LISTED]
    entries += [
        (score.model, _number(score.score), f"{_spread(score.plus_minus)}  (published: {score.source})")
        for score in best
    ]
    width = max(len(name) for name, _, _ in entries)
    lines += [f"  {name:<{width}}  {number}{rest}" for name, number, rest in entries]
    more = len(table.published) - len(best)
    lines += [f"  and {more} more published scores: --page shows all"] if more > 0 else []
    return "\n".join(lines + [f"  {pair_sentence(pair, table.metric)}" for pair in table.pairs])


def _number(value: float) -> str:
    return f"{value:.4f}"


def _spread(std: float | None) -> str:
    return "" if std is None else f" ± {std:.4f}"


def _interval(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f"  [{interval[0]:.4f}, {interval[1]:.4f}]"
