"""Every task of a task-set file for one encoder; or, instead of a file, a program that is called with the checkpoint.

The same code is handed to the training loop (``periodic``), where a failure is said and never stops the run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.errors import AuricleError
from auricle.options import argument, option

if TYPE_CHECKING:
    from auricle.evaluate.evaluation import Evaluation
    from auricle.models.contract import Encoder
    from auricle.objectives.base import Progress


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
    from auricle.evaluate.task_set import evaluate_set as run
    from auricle.evaluate.task_set import read_task_set
    from auricle.hub.load import load

    if not config.model:
        raise AuricleError("say what to measure: --model NAME, weight file or run folder")
    entries = read_task_set(Path(config.tasks))
    encoder = load(config.model, weights=config.weights)
    if Path(config.model).exists():
        encoder.rename(name=config.model)
    found, absent = run(encoder, entries, baselines=config.baselines, command=command, quiet=quiet)
    keep_all(found, Path(config.model), config.store)
    return SetResult(tuple(found), absent)


def keep_all(found: list[Evaluation], model: Path, store: str | None = None) -> None:
    """Into the results store, and into the run folder where the model is one."""
    from auricle.evaluate.recording import record
    from auricle.evaluate.results import ResultsStore
    from auricle.jobs.evaluate import keep
    from auricle.jobs.results import store_path

    results = ResultsStore(store_path(store))
    for evaluation in found:
        keep(evaluation, model)
        record(evaluation, results)


def periodic(source: str, run: Path) -> Callable[[Encoder, Progress], dict[str, float]]:
    """The function that the loop calls: scores by "task/protocol". Raises AuricleError at once for a wrong file."""
    path = Path(source)
    if is_program(path):
        return lambda encoder, progress: call(path, encoder, run, progress)
    from auricle.evaluate.task_set import evaluate_set as measure
    from auricle.evaluate.task_set import read_task_set

    entries = read_task_set(path)
    told: set[str] = set()

    def evaluate(encoder: Encoder, progress: Progress) -> dict[str, float]:
        name = encoder.info.name
        encoder.rename(name=f"{run.name} epoch {progress.epoch:g}")
        found, absent = measure(encoder, entries, baselines=False)
        encoder.rename(name=name)
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


def call(program: Path, encoder: Any, run: Path, progress: Progress) -> dict[str, float]:
    """Run a program with the path of a checkpoint. Raises AuricleError when it fails."""
    words = [str(program.resolve())] if os.access(program, os.X_OK) else ["bash", str(program)]
    done = subprocess.run([*words, str(checkpoint_of(encoder, run, progress))], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise AuricleError(f"{program} ended with {done.returncode}: {last}")
    return {}


def checkpoint_of(encoder: Any, run: Path, progress: Progress) -> Path:
    """The published checkpoint of this epoch where the run writes them, else a fresh file of the encoder."""
    from auricle.hub.files import save_encoder

    published = run / f"checkpoint-{progress.epoch:g}.pth"
    if published.is_file():
        return published
    save_encoder(encoder, run / f"encoder-epoch{progress.epoch:g}.safetensors")
    return run / f"encoder-epoch{progress.epoch:g}.safetensors"
