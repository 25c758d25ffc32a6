"""Draws the comparison: ``python -m benchmarks.small_scale.figure SCORES.csv docs/images/small_scale.png``"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.small_scale.tables import SHOTS

TASKS = ("ESC-10", "digits")
BLUE, GREY, RED = "#2b6cb0", "#9aa5b1", "#c05621"
Rows = list[dict[str, str]]
FAMILIES = {
    "msm-mae-norm": "MSM-MAE, standardised patches",
    "msm-mae": "MSM-MAE as published",
    "mae-ast-frame": "MAE-AST, frames",
    "mae-ast-patch": "MAE-AST, patches",
    "m2d-centred": "M2D, centred",
    "m2d-d2v": "M2D, data2vec-like",
    "m2d-x": "M2D-X",
    "m2d": "M2D as published",
}
PARTS = {"-tall": "40x4", "-columns": "80x4", "-even": "drawn by length"}
LARGE = "batches of 96"  # without "-often" in the name


def in_words(name: str, winner: str) -> str:
    """Return a contender's name as a reader understands it: "MSM-MAE, standardised patches, 40x4"."""
    family = next(start for start in FAMILIES if name.startswith(start))
    parts = [text for part, text in PARTS.items() if part in name] + ([] if "-often" in name else [LARGE])
    return ", ".join([FAMILIES[family], *parts]) + (" (the preset)" if name == winner else "")


def main() -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    args = arguments()
    rows = [
        row for row in csv.DictReader(args.scores.open()) if (row["part"], row["updates"]) == ("honest", args.updates)
    ]
    figure, axes = plt.subplots(1, 4, figsize=(15, 4.8), width_ratios=(1.3, 1.3, 1, 1), layout="constrained")
    names = [name for name in dict.fromkeys(row["contender"] for row in rows) if any_twin(rows, name)]
    for axis, task in zip(axes, TASKS):
        dots(axis, rows, names, task)
    axes[0].set_yticklabels([in_words(name, args.winner) for name in reversed(names)])
    axes[1].set_yticklabels([])
    for axis, task in zip(axes[2:], TASKS):
        few(axis, rows, args.winner, task)
    axes[2].legend(fontsize=8, loc="upper left")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=4, fontsize=9, frameon=False)
    figure.savefig(args.out, dpi=110)


def any_twin(rows: Rows, name: str) -> bool:
    return any(row["contender"] == name and row["untrained"] for row in rows)


def values(rows: Rows, name: str, task: str, labels: str, what: str = "score") -> list[float]:
    """Per cents of all seeds, mean and deviation pooled, logistic regression."""
    wanted = {"contender": name, "task": task, "probe": "logistic", "pooling": "mean_std", "labels": labels}
    return [100 * float(row[what]) for row in rows if all(row[k] == v for k, v in wanted.items())]


def dots(axis: Any, rows: Rows, names: Sequence[str], task: str) -> None:
    """A line per contender from its untrained network to what it became, a small dot per seed."""
    for y, name in enumerate(reversed(names)):
        after, before = values(rows, name, task, "all"), values(rows, name, task, "all", "untrained")
        axis.plot([np.mean(before), np.mean(after)], [y, y], color=BLUE, lw=2, zorder=1)
        axis.plot(after, [y] * len(after), ".", color=BLUE, ms=5, alpha=0.6, label="each seed" if y == 0 else None)
        axis.plot(np.mean(after), y, "o", color=BLUE, ms=8, label="trained, mean of the seeds" if y == 0 else None)
        axis.plot(
            np.mean(before),
            y,
            "o",
            mfc="white",
            mec=GREY,
            mew=1.5,
            ms=7,
            label="the same network untrained" if y == 0 else None,
        )
    axis.axvline(
        values(rows, "log-mel mean+std", task, "all")[0], color=RED, ls="--", lw=1, label="log-mel mean and deviation"
    )
    axis.set_yticks(range(len(names)), list(reversed(names)))
    axis.set(title=f"{task}: accuracy, %", ylim=(-0.6, len(names) - 0.4))
    axis.grid(axis="x", alpha=0.3)


def few(axis: Any, rows: Rows, winner: str, task: str) -> None:
    """Accuracy over labels per class."""
    x = [int(shots) for shots in SHOTS]
    for label, name, what, style in (
        ("the preset", winner, "score", {"color": BLUE, "marker": "o"}),
        ("untrained", winner, "untrained", {"color": GREY, "marker": "o", "mfc": "white"}),
        ("log-mel", "log-mel mean+std", "score", {"color": RED, "ls": "--"}),
    ):
        axis.plot(x, [np.mean(values(rows, name, task, shots, what)) for shots in SHOTS], label=label, **style)
    axis.set_xscale("log", base=2)
    axis.set_xticks(x, SHOTS)
    axis.set(title=f"{task}: accuracy, %, few labels", xlabel="clips per class")
    axis.grid(alpha=0.3)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scores", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--updates", default="1500")
    parser.add_argument("--winner", default="msm-mae-norm-often")
    return parser.parse_args()


if __name__ == "__main__":
    main()
