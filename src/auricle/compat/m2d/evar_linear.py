"""EVAR's linear evaluation: ``lineareval.py`` and ``2pass_lineareval.py CONFIG TASK OPTIONS FLAGS``.

Both run the ``evar`` probe here. In the original the first draws new crops for every run and the second repeats the probe on
stored embeddings; embeddings are always stored here, so they differ in the number of seeds alone. Results are written under the
published names: ``results/scores.csv``, and in ``logs/<run>`` a table of the last fold's test clips
([evaluation 2](docs/specification/evaluation.md#s2)).
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from auricle.compat.lines import LineParser
from auricle.compat.m2d.evar_options import FinetuneLine, literal, read_config, truth, with_options
from auricle.compat.m2d.evar_results import append_row
from auricle.compat.m2d.evar_runs import digits, representation, run_id
from auricle.compat.m2d.evar_tasks import LOG_MEL, read_task, seconds_of
from auricle.core.errors import AuricleError
from auricle.core.io import make_folder
from auricle.evaluation.probes.evar import EvarProbe
from auricle.evaluation.protocols import Protocol, protocol
from auricle.evaluation.tasks import Task
from auricle.inference.config import EncodeSettings

if TYPE_CHECKING:
    from auricle.data.manifest.manifest import Manifest
    from auricle.evaluation.evaluation import Evaluation
    from auricle.models.base import Encoder

ONE_PASS, TWO_PASS = "lineareval", "2pass_lineareval"
PROGRAMS = (ONE_PASS, TWO_PASS)
SCORES = Path("results") / "scores.csv"
REPEATS = {ONE_PASS: 1, TWO_PASS: 3}
POOLINGS = {"mean": "clip", "max": "max", "mean_max": "mean_max"}


@dataclass(frozen=True)
class LinearLine(FinetuneLine):
    """A parsed call of one of the programs; ``flags`` are its own, ``given`` the settings that the line itself names."""

    program: str = ONE_PASS
    given: tuple[str, ...] = ()

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(self.flags["seed"] + i for i in range(self.flags["repeat"]))


def parse_linear(program: str, args: Sequence[str]) -> LinearLine:
    """Parse the arguments of a program.

    Raises:
        AuricleError: for unknown settings and flags, with the nearest one, and a line without weights.
    """
    flags = vars(linear_parser(program).parse_args(list(args)))
    config, task, options, folder = (flags.pop(name) for name in ("config", "task", "options", "dataset_dir"))
    settings = with_options(read_config(config), options)
    flags["repeat"] = flags.get("repeat", REPEATS[program])
    flags["hidden"] = _sizes(flags["hidden"])
    if flags["repeat"] < 1:
        raise AuricleError(f"{program} repeats at least once, not {flags['repeat']} times")
    given = tuple(name for name in ("mean", "std") if f"{name}=" in options)
    line = LinearLine(settings, Path(config).stem, task, flags, folder, program, given)
    if not line.weight_file:
        raise AuricleError(f"name the weights: {program}.py config/m2d.yaml TASK weight_file=W")
    return line


def _sizes(hidden: Any) -> tuple[int, ...]:
    sizes = tuple(hidden) if isinstance(hidden, (tuple, list)) else (hidden,)
    if not all(isinstance(size, int) and size > 0 for size in sizes):
        raise AuricleError(f"--hidden is a list of whole numbers such as (512,), not {hidden!r}")
    return sizes


def linear_parser(program: str) -> LineParser:
    parser = LineParser(f"auricle original m2d {program}")
    parser.add_argument("config", help="YAML file: config/m2d.yaml")
    parser.add_argument("task", help="cremad, gtzan, spcv2, esc50, …")
    parser.add_argument("options", nargs="?", default="", help="settings of the file: batch_size=16,weight_file=W")
    parser.add_option("--seed", type=int, default=42, help="of the first run (default 42)")
    if program == TWO_PASS:
        parser.add_option(
            "--repeat", type=int, default=3, help="runs of the probe, each with the next seed (default 3)"
        )
    parser.add_option("--lr", type=float, help="default: lr_lineareval of the configuration")
    parser.add_option("--hidden", type=literal, default=(), help="sizes of hidden layers (default: a linear layer)")
    parser.add_option("--standard_scaler", type=truth, nargs="?", const=True, default=True, help="default True")
    parser.add_option("--mixup", type=truth, nargs="?", const=True, default=False, help="default False")
    parser.add_option("--epochs", type=int, default=200, help="at most (default 200)")
    parser.add_option("--early_stop_epochs", type=int, help="default: early_stop_epochs of the configuration")
    parser.add_option("--unit_sec", type=float, help="length of a clip; default: the task's")
    parser.add_option("--step", default="", help="accepted, no effect: embeddings are always stored")
    parser.add_option("--save", type=truth, nargs="?", const=True, default=False, help="accepted, no effect")
    parser.add_option(
        "--dataset_dir", help="folder of the data set, in its official layout (not an option of the original)"
    )
    return parser


def run_linear(line: LinearLine) -> int:
    """Run one call of a program and print its scores. Return 0, or 1 if clips could not be read."""
    from auricle.commands.evaluate import print_problems
    from auricle.commands.keep_scores import ScoreKeeper, writable_store
    from auricle.evaluation.runner import evaluate
    from auricle.evaluation.scoring import TaskPlan

    store, note = writable_store(None)
    encoder, statistics = encoder_of(line)
    manifest = clips_of(line)
    folds = any(fold is not None for fold in manifest.table.distinct("fold"))
    task = Task(str(manifest.root), name=line.task, seconds=seconds_of(line), split_by="folds" if folds else "split")
    evaluation = evaluate(
        encoder,
        TaskPlan.of(task, manifest),
        probe_of(line),
        encode=encode_of(line),
        seeds=line.seeds,
        baselines=False,
        statistics=statistics,
        place=str(Path(line.weight_file).resolve()),
        clips_by_id=True,
        quiet=False,
    )
    print_problems([*([note] if note else []), *ScoreKeeper(store).keep(evaluation)])
    write_scores(line, evaluation)
    return 1 if evaluation.failed else 0


def clips_of(line: LinearLine) -> Manifest:
    """Return the clips of a task. The task ``as`` is read from AudioSet's recordings here, not from stored spectrograms."""
    if line.task != LOG_MEL:
        return read_task(line)
    from auricle.compat.datasets import read_dataset
    from auricle.data.published.folders import dataset_folder

    return read_dataset("audioset", dataset_folder("audioset", line.dataset_dir, "--dataset_dir"))


def encoder_of(line: LinearLine) -> tuple[Encoder, str]:
    """Return the encoder of a line, as the configuration wants it, and what normalises its input.

    ``flat_features`` averages all tokens; ``dur_frames`` resizes the positions; ``mean`` and ``std`` of the line replace the
    file's, and empty ones are measured as EVAR does.
    """
    from auricle.evaluation.suites.models import ModelToMeasure

    encoder, config = ModelToMeasure(line.weight_file).load(), line.config
    if encoder.info.family == "m2d":
        if config["dur_frames"]:
            encoder = encoder.with_duration(config["dur_frames"])
        if config["flat_features"]:
            flat: Any = {"pools": "tokens"}  # of M2D: its clip is then the mean of all tokens
            encoder = encoder.with_classes(1, **flat)
    if config["mean"] is None or config["std"] is None:
        return encoder, "published"
    if len(line.given) == 2:
        encoder = encoder.with_stats(config["mean"], config["std"])
    return encoder, "own"


def encode_of(line: LinearLine) -> EncodeSettings:
    """Return how clips become vectors: ``batch_size``, ``output_layers``, ``temporal_pooling_type``."""
    config, kind = line.config, line.config["temporal_pooling_type"]
    if kind not in POOLINGS:
        raise AuricleError(f"temporal_pooling_type is one of {', '.join(POOLINGS)}, not {kind}")
    chosen = list(config["output_layers"] or ["all"])
    layers = () if chosen == [-1] else tuple(map(str, chosen))
    pooling = "mean" if layers and kind == "mean" else POOLINGS[kind]
    return EncodeSettings(layers=layers, pooling=pooling, batch_size=config["batch_size"])


def probe_of(line: LinearLine) -> Protocol:
    """Return the ``evar`` protocol with the settings of a line; what differs from the original's values is in its name."""
    flags, config = line.flags, line.config
    lr = flags["lr"] or config["lr_lineareval"]
    patience = flags["early_stop_epochs"] or config["early_stop_epochs"]
    base = protocol("evar").with_lr(lr)
    probe = EvarProbe(
        lr=lr,
        epochs=flags["epochs"],
        patience=patience,
        hidden=flags["hidden"],
        standardise=flags["standard_scaler"],
        mixup=flags["mixup"],
    )
    usual = EvarProbe(lr=lr)
    differing = [
        f"{name} {getattr(probe, name)}"
        for name in ("epochs", "patience", "hidden", "standardise", "mixup")
        if getattr(probe, name) != getattr(usual, name)
    ]
    return replace(base, name=", ".join([base.name, *differing]), probe=probe)


# ---- what is written


def write_scores(line: LinearLine, evaluation: Evaluation) -> None:
    """Append a row for every seed, write the tables of the last fold, and print both."""
    folder = Path("logs") / run_id(line)
    make_folder(folder)
    for seed in line.seeds:
        scores = [score.score for score in evaluation.score.scores if score.seed == seed]
        score = sum(scores) / len(scores)
        append_row(
            SCORES,
            {
                "representation": representation(line),
                "task": line.task,
                "score": f"{score:.5f}",
                "run_id": run_id(line),
                "report": report(line, seed, scores),
            },
        )
        print(f"{line.task} seed {seed}: {score:.5f}")
    mean = evaluation.score.score
    clips = folder / f"{line.task}_ar-m2d.M2D-LE_{digits(line)}_{mean:.5f}.csv"
    _write_rows(clips, clip_rows(evaluation))
    per_class = evaluation.per_class()
    _write_rows(
        folder / "last_score_by_class.csv", [list(per_class), ["" if v is None else v for v in per_class.values()]]
    )
    print(f"{run_id(line)}: {line.task} {evaluation.metric} {mean:.5f}; {SCORES}, {clips}")


def report(line: LinearLine, seed: int, scores: Sequence[float]) -> str:
    """Return the text that the results table keeps of a run."""
    shown = ", ".join(f"{score:.5f}" for score in scores)
    return (
        f"Linear evaluation: {representation(line)} on {line.task}, seed {seed}, scores [{shown}], config {line.config}"
    )


def clip_rows(evaluation: Evaluation) -> list[list[Any]]:
    """Return GT and prediction of the last fold's test clips, or ap, auc and class where clips have several labels."""
    if not evaluation.multilabel:
        last = evaluation.predictions[-1].fold
        rows = [[p.true[0], p.predicted] for p in evaluation.predictions if p.fold == last]
        return [["", "GT", "prediction"], *([number, *row] for number, row in enumerate(rows))]
    from auricle.metrics.classification import roc_auc_per_class

    column = {name: i for i, name in enumerate(evaluation.classes)}
    assert evaluation.all_scores is not None
    targets = np.zeros(evaluation.all_scores.shape)
    for row, prediction in enumerate(evaluation.predictions):
        targets[row, [column[name] for name in prediction.true]] = 1
    areas = roc_auc_per_class(evaluation.all_scores, targets)
    values = zip(evaluation.per_class().items(), areas, strict=True)
    return [["", "ap", "auc", "class"], *([i, ap, auc, name] for i, ((name, ap), auc) in enumerate(values))]


def _write_rows(path: Path, rows: Sequence[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
