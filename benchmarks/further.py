"""Does further pre-training help a small encoder? ``python -m benchmarks.further --shared ../shared [--updates 300]``

A small M2D (width 192, depth 6, 0.96-s crops) learns from the spoken digits; then M2D-X goes on from its weights, with
that very encoder as teacher, on ESC-10's recordings, other ESC-10 recordings as background noise. Both tasks are probed
untrained, before and after (logistic regression on mean frames: ESC-10's five folds, digits with each speaker left
out), over seeds. No labels are seen in pre-training; all clips are. What is finished is not done again.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from auricle.commands.prepare.prepare import PrepareConfig, prepare
from auricle.core.options import with_values
from auricle.evaluation.runner import evaluate
from auricle.evaluation.tasks import Task
from auricle.hub.load import load
from auricle.methods.m2d.config import M2DPretrain, M2DXPretrain
from auricle.models.base import Encoder
from auricle.models.registry import untrained
from benchmarks.small_scale.runs import finished
from benchmarks.small_scale.settings import EMA, PREDICTOR, TRAIN, VIT

SIZES = {**VIT, **PREDICTOR}
TRAINING = {**TRAIN, **EMA, "batch_size": 64, "min_ds_size": 64}
NOISE = 0.3


def tasks(shared: Path) -> dict[str, Task]:
    data = shared / "data"
    digits = {"labels": str(data / "fsdd/meta.csv"), "label_column": "digit", "group_column": "speaker"}
    return {
        "ESC-10": Task(str(data / "esc10/audio"), labels=str(data / "esc10/meta.csv"), name="ESC-10"),
        "digits": Task(str(data / "fsdd/audio"), **digits, folding="groups", name="digits"),
    }


def stages(out: Path, seed: int, updates: int) -> dict[str, Path]:
    """Run folders of both stages."""
    digits, esc = out / "digits", out / "esc10"
    flags = {**SIZES, **TRAINING, "seed": seed, "max_updates": updates, "warmup_updates": updates // 10}
    before = with_values(M2DPretrain("m2d", str(digits), str(out / f"before-{seed}")), flags)
    after = M2DXPretrain("m2d-x", str(esc), str(out / f"after-{seed}"), resume=before.out, teacher=before.out)
    flags = {**flags, "csv_bg_noise": str(esc), "noise_ratio": NOISE}
    return {"before": finished(before), "after": finished(with_values(after, flags))}


def scores(encoder: Encoder, named: dict[str, Task], out: Path) -> dict[str, float]:
    """Task -> accuracy, kept in a file beside the runs."""
    if out.is_file():
        return json.loads(out.read_text())
    found = {name: evaluate(encoder, task, baselines=False).score.score for name, task in named.items()}
    out.write_text(json.dumps(found))
    return found


def measure(args: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    out, named = Path(args.out), tasks(Path(args.shared))
    for folder, task in (("digits", named["digits"]), ("esc10", named["ESC-10"])):
        prepare(PrepareConfig(task.source, str(out / folder)))
    table: dict[str, list[dict[str, float]]] = {"untrained": [], "before": [], "after": []}
    for seed in args.seeds:
        runs = stages(out, seed, args.updates)
        fresh = untrained(load(runs["before"]), seed)
        table["untrained"].append(scores(fresh, named, out / f"untrained-{seed}.json"))
        for stage, run in runs.items():
            table[stage].append(scores(load(run), named, out / f"{stage}-{seed}.json"))
    return table


def line(name: str, rows: list[dict[str, float]], first: list[dict[str, float]]) -> str:
    cells = []
    for task in rows[0]:
        values, gains = [row[task] for row in rows], [row[task] - before[task] for row, before in zip(rows, first)]
        error = statistics.stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else float("nan")
        cells.append(f"{statistics.mean(values):.3f} ({statistics.mean(gains):+.3f} ± {error:.3f})")
    return f"| {name} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", default="../shared", help="folder with data/esc10 and data/fsdd")
    parser.add_argument("--out", default="runs/further", help="folder for everything")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--updates", type=int, default=300, help="weight updates of each stage")
    args = parser.parse_args()
    table = measure(args)
    print("| encoder | ESC-10 (gain over before ± standard error) | digits |\n| --- | --- | --- |")
    for name, rows in table.items():
        print(line(name, rows, table["before"]))
    print(json.dumps(table))


if __name__ == "__main__":
    main()
