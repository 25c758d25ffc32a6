"""Does pre-training on a small folder of sounds pay? ``python -m benchmarks.small_scale --part search --contenders m2d msm-mae``

One encoder size, one loop, one budget (--updates of 96 clips of about a second), the parts of ``small_scale_data``, the
contenders of ``small_scale_settings``; probes: logistic regression and kNN on mean frames, and with their deviation, all
labels and 1, 2, 4, 8 clips per class, each beside the same network untrained, log-mel mean and deviation, and chance.
Resumable: what is finished is not done again; ``--table`` only prints. Gains are over the untrained network of the same
seed, with standard errors over seeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path

from auricle.evaluate.evaluation import Evaluation, Score
from auricle.evaluate.run import evaluate
from auricle.evaluate.task import Task
from auricle.hub.families import untrained
from auricle.hub.load import load
from auricle.inference.embed_settings import EncodeSettings
from auricle.jobs.methods import PretrainConfig, settings_of, with_flags
from auricle.jobs.pretrain import continue_run, pretrain
from auricle.models.contract import Encoder
from benchmarks.small_scale_data import PARTS, pool, tasks
from benchmarks.small_scale_settings import CONTENDERS, Contender

POOLINGS = ("mean", "mean_std")
PROBES = ("logistic", "knn-vote")


def settings(name: str, args: argparse.Namespace, seed: int, data: Path) -> PretrainConfig:
    chosen: Contender = CONTENDERS[name]
    extra: dict = {}
    if chosen.start:
        extra = {"resume": str(folder(args, chosen.start, seed)), "teacher": "self"}
    source = data.parent / f"pool-{args.part}" if chosen.method == "mae-ast" else data
    config = settings_of(chosen.method)(chosen.method, str(source), str(folder(args, name, seed)), **extra)
    length = {"max_updates": args.updates, "warmup_updates": args.updates // 10, "seed": seed}
    return with_flags(config, {**chosen.flags, **length})


def folder(args: argparse.Namespace, name: str, seed: int) -> Path:
    return Path(args.out) / args.part / f"{args.updates}" / f"{name}-{seed}"


def trained(name: str, args: argparse.Namespace, seed: int, data: Path) -> Path:
    """The finished run of a contender; what it starts from is made first."""
    if CONTENDERS[name].start:
        trained(CONTENDERS[name].start, args, seed, data)
    return finished(settings(name, args, seed, data))


def finished(config: PretrainConfig) -> Path:
    """The run's folder: made, continued, or there already."""
    run = Path(config.out)
    continue_run(run) if (run / "config.yaml").is_file() else pretrain(config)
    return run


def probed(run: Path, seed: int, named: dict[str, Task]) -> dict[str, float]:
    """ "task/probe/pooling/labels/who" -> score, kept beside the run."""
    kept = run / "probes.json"
    if kept.is_file():
        return json.loads(kept.read_text())
    encoder, found = load(run), {}
    encoder.rename(name="trained")
    for who, network in (("trained", encoder), ("untrained", untrained(encoder, seed))):
        for task in named.values():
            for pooling in POOLINGS:
                found |= scores(network, task, pooling, who)
    kept.write_text(json.dumps(found, indent=1))
    return found


def scores(encoder: Encoder, task: Task, pooling: str, who: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for probe in PROBES:
        first = who == "trained"
        result: Evaluation = evaluate(
            encoder, task, probe, encode=EncodeSettings(pooling=pooling), baselines=first, few_shot=probe == "logistic"
        )
        for score in (result.score, *(result.baselines if first else ())):
            label = who if score is result.score else score.model
            found |= {f"{task.title}/{probe}/{pooling}/{shots}/{label}": value for shots, value in by_shots(score)}
    return found


def by_shots(score: Score) -> list[tuple[str, float]]:
    return [("all", score.score), *((str(point.shots), point.score) for point in score.few_shot)]


def table(args: argparse.Namespace) -> str:
    """Gains over the untrained network of the same seed, paired over seeds."""
    lines = [
        "| contender | task | probe, pooling, labels | trained | untrained | gain ± standard error | seeds |",
        "| - |" * 1,
    ]
    lines[1] = "| --- | --- | --- | --- | --- | --- | --- |"
    for name in args.contenders:
        files = [file for seed in args.seeds if (file := folder(args, name, seed) / "probes.json").is_file()]
        rows = [json.loads(file.read_text()) for file in files]
        for key in rows[0] if rows else ():
            if key.endswith("/trained"):
                lines.append(row(name, key, rows))
    return "\n".join(lines)


def row(name: str, key: str, rows: list[dict[str, float]]) -> str:
    task, probe, pooling, shots, _ = key.split("/")
    ours, fresh = ([r[key.replace("/trained", f"/{who}")] for r in rows] for who in ("trained", "untrained"))
    gains = [a - b for a, b in zip(ours, fresh)]
    error = f"{statistics.stdev(gains) / len(gains) ** 0.5:.3f}" if len(gains) > 1 else "?"
    means = f"{statistics.mean(ours):.3f} | {statistics.mean(fresh):.3f} | {statistics.mean(gains):+.3f} ± {error}"
    return f"| {name} | {task} | {probe}, {pooling}, {shots} | {means} | {len(gains)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="search", choices=tuple(PARTS))
    parser.add_argument("--contenders", nargs="+", default=list(CONTENDERS), choices=tuple(CONTENDERS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[11, 12, 13])
    parser.add_argument("--updates", type=int, default=500, help="weight updates of a run")
    parser.add_argument("--shared", default="../shared", help="folder with data/esc10 and data/fsdd")
    parser.add_argument("--out", default="runs/small-scale")
    parser.add_argument("--table", action="store_true", help="print what is there, run nothing")
    args = parser.parse_args()
    out, shared = Path(args.out), Path(args.shared)
    if not args.table:
        out.mkdir(parents=True, exist_ok=True)
        data, named = pool(shared, args.part, out), tasks(shared, args.part, out)
        for seed in args.seeds:
            for name in args.contenders:
                probed(trained(name, args, seed, data), seed, named)
    print(table(args))


if __name__ == "__main__":
    main()
