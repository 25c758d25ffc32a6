"""Every task of a task-set file for one encoder; or, instead of a file, a program that is called with the checkpoint.

The same code is handed to the training loop (``periodic``), where a failure is said and never stops the run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError, nearest
from auricle.core.io import make_folder
from auricle.core.options import argument, check_choices, check_ranges, option
from auricle.evaluation.task import Task
from auricle.inference.embed_config import EncodeSettings

if TYPE_CHECKING:
    from auricle.evaluation.evaluation import Evaluation
    from auricle.evaluation.protocols import Protocol
    from auricle.methods.base import TrainProgress
    from auricle.models.base import Encoder


# Measure an encoder on a labelled task, beside its baselines, and append the scores to the results store.

PROBES = {
    "linear": ("logistic", "logistic-cv"),
    "knn": ("knn-vote", "knn-cosine", "knn-xares"),
    "fewshot": ("logistic",),
    "evar": ("evar",),
}


@dataclass(frozen=True)
class EvaluateConfig:
    """One probe of one encoder on one task."""

    probe: str = argument(
        "linear (logistic regression), knn, fewshot (1, 2, 4, 8 clips per class) or evar (EVAR's linear probe)"
    )
    model: str = argument("encoder: a published name, a weight file or a run folder; logmel-stats is the floor")
    task: Task = field(default_factory=lambda: Task(""))
    protocol: str = option(
        "", "linear: logistic (C = 1) or logistic-cv (C chosen in training); knn: knn-vote, knn-cosine, knn-xares"
    )
    lr: float = option(0.0, "learning rate of the evar probe; 0: 3e-4 (M2D's published setting is 3e-5)")
    seeds: tuple[int, ...] = option((42, 43, 44), "seeds of probes that draw")
    baselines: bool = option(True, "score the untrained encoder, log-mel mean and deviation, and chance beside it")
    few_shot: bool = option(False, "also the few-shot curve")
    statistics: str = option(
        "own",
        "normalise with the encoder's own statistics, the task's pooled ones, or EVAR's published running ones",
        choices=("own", "pooled", "published"),
    )
    weights: str | None = option(None, "local weight file of a published model name")
    encode: EncodeSettings = field(default_factory=EncodeSettings)
    store: str | None = option(None, "results file (default: results.sqlite in the cache folder)")
    out: str | None = option(None, "also write the whole result, with every prediction, to this JSON file")

    def __post_init__(self) -> None:
        check_choices(self)
        if self.probe not in PROBES:
            raise AuricleError(f"unknown probe '{self.probe}'{nearest(self.probe, tuple(PROBES))}")
        if self.protocol and self.protocol not in PROBES[self.probe]:
            known = ", ".join(PROBES[self.probe])
            raise AuricleError(f"'{self.probe}' has no protocol '{self.protocol}'; it has {known}")
        if not self.seeds:
            raise AuricleError("--seeds needs at least one number")
        check_ranges(self, ("lr",), 0)


def evaluate(config: EvaluateConfig, *, command: str = "", quiet: bool = False) -> Evaluation:
    """The evaluation, already in the results store (and in ``out``)."""
    from auricle.commands.results import store_path
    from auricle.evaluation.evaluate import evaluate as run
    from auricle.evaluation.results import ResultsStore, record
    from auricle.hub.load import load

    store = ResultsStore(store_path(config.store))
    store.check()
    if config.out:
        make_folder(Path(config.out).parent, "choose another --out")
    encoder = load(config.model, weights=config.weights)
    if Path(config.model).exists():
        encoder.update_info(name=config.model)  # two runs of one family are two rows in the results
    found = run(
        encoder,
        config.task,
        _protocol(config),
        encode=config.encode,
        seeds=config.seeds,
        baselines=config.baselines,
        few_shot=config.few_shot or config.probe == "fewshot",
        statistics=config.statistics,
        command=command,
        quiet=quiet,
    )
    keep(found, Path(config.model), config.out)
    record(found, store)
    return found


def keep(found: Evaluation, model: Path, out: str | None = None) -> None:
    """Write the result to ``out``, and into the run folder where the model is one, for its report."""
    if out:
        found.save(Path(out))
    if (model / "config.yaml").is_file():
        name = re.sub(r"[^A-Za-z0-9]+", "-", f"{found.task}-{found.protocol}").strip("-").lower()
        found.save(model / "evaluations" / f"{name}.json")


def _protocol(config: EvaluateConfig) -> Protocol:
    from auricle.evaluation.protocols import protocol

    chosen = protocol(config.protocol or PROBES[config.probe][0])
    return chosen.with_lr(config.lr) if config.lr else chosen


@dataclass(frozen=True)
class EvaluateSetConfig:
    """One encoder on one task set."""

    tasks: str = argument("task-set file (YAML), or one that is shipped: quick, all")
    model: str = option("", "encoder: a published name, a weight file or a run folder")
    weights: str | None = option(None, "local weight file of a published name")
    baselines: bool = option(True, "score the untrained encoder, log-mel statistics and chance beside it")
    store: str | None = option(None, "results file (default: results.sqlite in the cache folder)")


@dataclass(frozen=True)
class SetResult:
    """What was measured, and the tasks that could not be with the reason."""

    evaluations: tuple[Evaluation, ...]
    absent: dict[str, str]


def evaluate_set(config: EvaluateSetConfig, *, command: str = "", quiet: bool = False) -> SetResult:
    """Raises AuricleError for a wrong file or model; a task whose data are absent is reported, not fatal."""
    from auricle.evaluation.task_set import evaluate_set as run
    from auricle.evaluation.task_set import read_task_set
    from auricle.hub.load import load

    if not config.model:
        raise AuricleError("say what to measure: --model NAME, weight file or run folder")
    entries = read_task_set(Path(config.tasks))
    encoder = load(config.model, weights=config.weights)
    if Path(config.model).exists():
        encoder.update_info(name=config.model)
    found, absent = run(encoder, entries, baselines=config.baselines, command=command, quiet=quiet)
    keep_all(found, Path(config.model), config.store)
    return SetResult(tuple(found), absent)


def keep_all(found: list[Evaluation], model: Path, store: str | None = None) -> None:
    """Into the results store, and into the run folder where the model is one."""
    from auricle.commands.results import store_path
    from auricle.evaluation.results import ResultsStore, record

    results = ResultsStore(store_path(store))
    for evaluation in found:
        keep(evaluation, model)
        record(evaluation, results)


def periodic(source: str, run: Path) -> Callable[[Encoder, TrainProgress], dict[str, float]]:
    """The function that the loop calls: scores by "task/protocol". Raises AuricleError at once for a wrong file."""
    path = Path(source)
    if is_program(path):
        return lambda encoder, progress: call(path, encoder, run, progress)
    from auricle.evaluation.task_set import evaluate_set as measure
    from auricle.evaluation.task_set import read_task_set

    entries = read_task_set(path)
    told: set[str] = set()

    def evaluate(encoder: Encoder, progress: TrainProgress) -> dict[str, float]:
        name = encoder.info.name
        encoder.update_info(name=f"{run.name} epoch {progress.epoch:g}")
        found, absent = measure(encoder, entries, baselines=False)
        encoder.update_info(name=name)
        keep_all(found, run)
        say_absent({task: why for task, why in absent.items() if task not in told})
        told.update(absent)
        if absent and not found:
            raise AuricleError("; ".join(f"{task}: {why}" for task, why in absent.items()))
        return {f"{e.task}/{e.protocol}": e.score.score for e in found}

    return evaluate


def is_program(path: Path) -> bool:
    """A shell script, or any executable file that is no task set."""
    runs = path.suffix == ".sh" or (path.suffix not in (".yaml", ".yml") and os.access(path, os.X_OK))
    return path.is_file() and runs


def say_absent(absent: dict[str, str]) -> None:
    for task, why in absent.items():
        print(f"{task} was not measured: {why}", file=sys.stderr)


def call(program: Path, encoder: Any, run: Path, progress: TrainProgress) -> dict[str, float]:
    """Run a program with the path of a checkpoint. Raises AuricleError when it fails."""
    words = [str(program.resolve())] if os.access(program, os.X_OK) else ["bash", str(program)]
    done = subprocess.run([*words, str(checkpoint_of(encoder, run, progress))], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise AuricleError(f"{program} ended with {done.returncode}: {last}")
    return {}


def checkpoint_of(encoder: Any, run: Path, progress: TrainProgress) -> Path:
    """The published checkpoint of this epoch where the run writes them, else a fresh file of the encoder."""
    from auricle.hub.weight_file import save_encoder

    published = run / f"checkpoint-{progress.epoch:g}.pth"
    if published.is_file():
        return published
    save_encoder(encoder, run / f"encoder-epoch{progress.epoch:g}.safetensors")
    return run / f"encoder-epoch{progress.epoch:g}.safetensors"
