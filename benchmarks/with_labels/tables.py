"""Tables of the results, in markdown: means over folds and seeds, and paired differences."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean, stdev

from benchmarks.with_labels.runs import Result


def markdown(rows: Iterable[Result]) -> str:
    rows = list(rows)
    parts = [folds_table(rows, task) for task in ("ESC-10", "digits")]
    parts += [students_table([row for row in rows if row.part == "students"])]
    parts += [search_table([row for row in rows if row.part == part]) for part in ("search", "student search")]
    return "\n\n".join(filter(None, parts))


def folds_table(rows: list[Result], task: str) -> str:
    """A row for every arm and seed; the last ones compare with the frozen probe, paired over folds."""
    rows = [row for row in rows if row.part == "folds" and row.task == task]
    if not rows:
        return ""
    folds = sorted({row.split for row in rows})
    lines = [
        f"{task}:",
        "",
        f"| | {' | '.join(folds)} | mean | s of training | data wait |",
        "| --- " * (len(folds) + 4) + "|",
    ]
    for arm, seed in dict.fromkeys((row.arm, row.seed) for row in rows):
        found = {row.split: row for row in rows if (row.arm, row.seed) == (arm, seed)}
        cells = [f"{100 * found[fold].accuracy:.2f}" if fold in found else "not run" for fold in folds]
        mean = (
            f"{100 * fmean(row.accuracy for row in found.values()):.2f}" if len(found) == len(folds) else "incomplete"
        )
        waits = [row.data_wait for row in found.values() if row.data_wait is not None]
        trained = f"{sum(row.seconds for row in found.values()):.0f} | {fmean(waits):.1%}" if waits else "| "
        lines.append(f"| {arm}, seed {seed} | {' | '.join(cells)} | {mean} | {trained} |")
    return "\n".join([*lines, *against_probe(rows, task)])


def against_probe(rows: list[Result], task: str) -> list[str]:
    probe = {row.split: row.accuracy for row in rows if row.arm == "frozen probe"}
    lines = []
    for arm in dict.fromkeys(row.arm for row in rows if row.arm != "frozen probe"):
        by_fold = {fold: [r.accuracy for r in rows if (r.arm, r.split) == (arm, fold)] for fold in probe}
        differences = [100 * (fmean(found) - probe[fold]) for fold, found in by_fold.items() if found]
        if len(differences) > 1:
            seeds = len({row.seed for row in rows if row.arm == arm})
            lines.append(
                f"{arm} less frozen probe: {paired(differences)} points ({len(differences)} folds, {seeds} seeds averaged)"
            )
    return ["", *lines] if lines else []


def paired(differences: list[float]) -> str:
    """Mean ± standard error; the mean alone of a single pair."""
    if len(differences) < 2:
        return f"{differences[0]:+.1f}"
    return f"{fmean(differences):+.1f} ± {stdev(differences) / len(differences) ** 0.5:.1f}"


def students_table(rows: list[Result]) -> str:
    """A row for every arm; in brackets what it gains over labels alone, paired over seeds."""
    if not rows:
        return ""
    tasks, arms = (list(dict.fromkeys(getattr(row, name) for row in rows)) for name in ("task", "arm"))
    tasks.sort()
    arms.sort(key=lambda arm: not arm.startswith("labels alone"))
    lines = [f"| taught by | {' | '.join(tasks)} |", "| --- " * (len(tasks) + 1) + "|"]
    for arm in arms:
        cells = []
        for task in tasks:
            plain, own = (
                {r.seed: r.accuracy for r in rows if (r.arm, r.task) == (a, task)} for a in ("labels alone", arm)
            )
            differences = [100 * (own[seed] - plain[seed]) for seed in own if seed in plain]
            gain = f" ({paired(differences)})" if arm != "labels alone" and differences else ""
            each = ", ".join(f"{100 * own[seed]:.1f}" for seed in sorted(own))
            cells.append(f"{100 * fmean(own.values()):.1f}{gain}: {each}" if own else "not run")
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    return "\n".join(lines)


def search_table(rows: list[Result]) -> str:
    if not rows:
        return ""
    lines = ["| task | candidate | accuracy | s of training |", "| --- | --- | --- | --- |"]
    lines += [f"| {row.task} | {row.arm} | {100 * row.accuracy:.2f} | {row.seconds:.0f} |" for row in rows]
    return "\n".join(lines)
