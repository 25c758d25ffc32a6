"""Scores of all runs as rows, as tables with gains paired over seeds, and as a file."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from scipy import stats

from benchmarks.small_scale.probes import POOLINGS, scores_file
from benchmarks.small_scale.runs import Comparison
from benchmarks.small_scale.settings import CONTENDERS
from benchmarks.small_scale.sounds import INNER

SHOTS = ("1", "2", "4", "8")


@dataclass(frozen=True)
class Row:
    """One score of one run, and that of the untrained network of the same seed. Floors have seed -1 and no twin."""

    part: str
    updates: int
    contender: str
    seed: int
    task: str
    probe: str
    pooling: str
    labels: str
    score: float
    untrained: float | None

    @property
    def column(self) -> tuple[str, str, str, str]:
        return self.task, self.probe, self.pooling, self.labels


def collect(
    comparison: Comparison, names: Sequence[str], seeds: Sequence[int], layers: Iterable[str] = ()
) -> list[Row]:
    """Every score that is there."""
    rows = []
    floors = comparison.folder / "floor.json"
    for name, scores in (json.loads(floors.read_text()) if floors.is_file() else {}).items():
        rows += [row(comparison, name, -1, key, score, None) for key, score in scores.items()]
    for name in names:
        for seed in seeds:
            if (file := scores_file(comparison.run(name, seed), layers)).is_file():
                kept = json.loads(file.read_text())
                fresh = json.loads((comparison.folder / kept["untrained"]).read_text())
                rows += [row(comparison, name, seed, key, score, fresh[key]) for key, score in kept["scores"].items()]
    return rows


def row(comparison: Comparison, name: str, seed: int, key: str, score: float, fresh: float | None) -> Row:
    return Row(comparison.part, comparison.updates, name, seed, *key.split("/"), score, fresh)


def markdown(rows: Sequence[Row], against: str = "") -> str:
    """Tables of per cents: score (gain over the untrained network of the same seed +- standard error over seeds)."""
    names = list(dict.fromkeys(row.task for row in rows))
    tasks, inner = ([name for name in names if name.endswith(INNER) == cv] for cv in (False, True))
    parts = []
    for probe in ("logistic", "knn-vote"):
        for title, chosen in (("test part", tasks), ("within the training part", inner)):
            parts.append(f"{probe}, all labels, {title}\n\n{table(rows, full(chosen, probe))}")
    for task in tasks:
        columns = [(task, "logistic", pooling, shots) for pooling in POOLINGS for shots in SHOTS]
        parts.append(f"logistic, few labels per class: mean, then mean and deviation\n\n{table(rows, columns)}")
    if against:
        title = f"{against} less each other contender, paired over seeds"
        parts.append(f"{title}\n\n{duels(rows, against, full(tasks, 'logistic'))}")
    return "\n\n".join(parts)


def full(tasks: Sequence[str], probe: str) -> list[tuple[str, ...]]:
    """The columns of all labels."""
    return [(task, probe, pooling, "all") for task in tasks for pooling in POOLINGS]


def table(rows: Sequence[Row], columns: Sequence[tuple[str, ...]]) -> str:
    lines = head("contender", columns)
    for name in dict.fromkeys(row.contender for row in rows):
        own = [row for row in rows if row.contender == name]
        seeds = len({row.seed for row in own})
        label = name if own[0].untrained is None else f"{name} ({seeds})"
        lines.append(line(label, [cell([row for row in own if row.column == column]) for column in columns]))
    return "\n".join([*lines, *untrained_lines(rows, columns)])


def untrained_lines(rows: Sequence[Row], columns: Sequence[tuple[str, ...]]) -> list[str]:
    """A line per architecture, over the seeds that any of its contenders has."""
    lines = []
    for what in dict.fromkeys(architecture(row.contender) for row in rows if row.untrained is not None):
        own = {(row.seed, row.column): row.untrained for row in rows if architecture(row.contender) == what}
        means = [
            [value for (_, column), value in own.items() if column == wanted and value is not None]
            for wanted in columns
        ]
        cells = [f"{100 * float(np.mean(values)):.1f}" if values else "" for values in means]
        lines.append(line(f"untrained {what} ({len({seed for seed, _ in own})})", cells))
    return lines


def architecture(contender: str) -> str:
    """What the untrained network of a contender is: its family and patches."""
    if contender not in CONTENDERS:
        return ""
    chosen = CONTENDERS[contender]
    return f"{'MAE-AST' if chosen.method == 'mae-ast' else 'M2D'} {chosen.flags['patch_size']}"


def head(first: str, columns: Sequence[tuple[str, ...]]) -> list[str]:
    names = [f"{task} {pooling if labels == 'all' else labels}" for task, _, pooling, labels in columns]
    return [line(first, names), line("---", ["---"] * len(columns))]


def line(first: str, cells: Sequence[str]) -> str:
    return f"| {first} | {' | '.join(cells)} |"


def cell(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    score = f"{100 * float(np.mean([row.score for row in rows])):.1f}"
    gains = [row.score - row.untrained for row in rows if row.untrained is not None]
    return f"{score} ({difference(gains)})" if gains else score


def difference(gains: Sequence[float]) -> str:
    """ "+3.1 +- 0.4": mean and standard error; with one seed no error."""
    error = f" ± {100 * float(stats.sem(gains)):.1f}" if len(gains) > 1 else ""
    return f"{100 * float(np.mean(gains)):+.1f}{error}"


def duels(rows: Sequence[Row], winner: str, columns: Sequence[tuple[str, ...]]) -> str:
    """Of each column the mean difference, its standard error and p of a paired t test, over the seeds that both have."""
    score = {(row.contender, row.seed, row.column): row.score for row in rows}
    score |= {("untrained", row.seed, row.column): row.untrained for row in rows if row.contender == winner}
    seeds = sorted({row.seed for row in rows if row.contender == winner})
    lines = head("contender", columns)
    for name in ["untrained", *dict.fromkeys(row.contender for row in rows if row.contender != winner)]:
        cells = []
        for column in columns:
            shared = [(seed, seed if (name, seed, column) in score else -1) for seed in seeds]
            found = [
                (score[winner, a, column], score[name, b, column]) for a, b in shared if (name, b, column) in score
            ]
            cells.append(duel([a - b for a, b in found]))
        lines.append(line(name, cells))
    return "\n".join(lines)


def duel(gains: Sequence[float]) -> str:
    if len(gains) < 2:
        return difference(gains) if gains else ""
    if np.ptp(gains) < 1e-9:
        return difference(gains)
    return f"{difference(gains)}, p {stats.ttest_1samp(gains, 0).pvalue:.2g}"


def write(rows: Sequence[Row], folder: Path) -> None:
    """scores.csv: what is there of other parts and budgets stays."""
    folder.mkdir(parents=True, exist_ok=True)
    file, names = folder / "scores.csv", [field.name for field in fields(Row)]
    ours = {(row.part, str(row.updates), row.contender, str(row.seed)) for row in rows}
    before = list(csv.DictReader(file.open(encoding="utf-8"))) if file.is_file() else []
    kept = [old for old in before if (old["part"], old["updates"], old["contender"], old["seed"]) not in ours]
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
        writer.writerows(
            {**asdict(row), "score": f"{row.score:.4f}", "untrained": shown(row.untrained)} for row in rows
        )


def shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
