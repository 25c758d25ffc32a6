"""``auricle evaluate``: measure an encoder on a labelled task or on a suite of tasks, beside its baselines.

Every score goes to the results store. ``periodic`` hands the same code to the training loop.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.commands.keep_scores import ScoreKeeper, writable_store
from auricle.core.errors import AuricleError
from auricle.core.io import dumps, write_text
from auricle.core.options import check_choices, check_ranges, option, paths_as_text
from auricle.evaluation.protocols import protocol
from auricle.evaluation.tasks import SEEDS, Task
from auricle.inference.config import EncodeSettings

if TYPE_CHECKING:
    from auricle.evaluation.evaluation import Evaluation
    from auricle.methods.base import TrainProgress
    from auricle.models.base import Encoder


@dataclass(frozen=True)
class EvaluateConfig:
    """One encoder on one task, or on the tasks of a suite."""

    task: Task = field(default_factory=lambda: Task(""))
    model: str = option("", "encoder: a published name, a weight file or a run folder; logmel-stats is the baseline")
    protocol: str = option(
        "linear",
        "linear (logistic regression, C = 1), logistic-cv (C chosen in training), knn, knn-cosine, knn-xares, "
        "fewshot (1, 2, 4, 8 clips per class) or evar (EVAR's linear probe)",
    )
    suite: str | None = option(None, "instead of one task: a file of tasks and protocols (YAML), or quick or all")
    lr: float | None = option(
        None,
        "learning rate of the evar protocol; none: 3e-4 (M2D's published setting is 3e-5)",
        special={"none": None},
        old={0: None},
        advanced=True,
    )
    seeds: tuple[int, ...] = option(SEEDS, "seeds of protocols that draw", advanced=True)
    baselines: bool = option(
        True, "score the untrained encoder, log-mel mean and standard deviation, and chance beside it"
    )
    few_shot: bool = option(False, "also the few-shot curve")
    statistics: str = option(
        "own",
        "normalise with the encoder's own statistics, the task's pooled ones, or EVAR's published running ones",
        choices=("own", "pooled", "published"),
        advanced=True,
    )
    weights: str | None = option(None, "local weight file of a published model name")
    encode: EncodeSettings = option(factory=EncodeSettings, group="how a clip becomes a vector", advanced=True)
    store: str | None = option(None, "results file (default: results.sqlite in the cache folder)", advanced=True)
    out: str | None = option(None, "also write the whole result, with every prediction, to this JSON file")

    def __post_init__(self) -> None:
        paths_as_text(self)
        check_choices(self)
        protocol(self.protocol)
        if not self.model:
            raise AuricleError("name the encoder to measure: --model NAME, weight file or run folder")
        if self.suite is None and not self.task.source:
            raise AuricleError("name the labelled audio to measure on, or a suite of tasks with --suite")
        if self.suite is not None and self.task.source:
            raise AuricleError(f"give either labelled audio ({self.task.source}) or --suite {self.suite}, not both")
        if not self.seeds:
            raise AuricleError("--seeds needs at least one number")
        if self.suite is not None and (self.few_shot or self.lr or self.seeds != SEEDS or self.protocol != "linear"):
            raise AuricleError(
                "--protocol, --few-shot, --lr and --seeds are for one task; a suite's file names protocols, lr and seeds itself"
            )
        if self.lr == 0:  # the first edition's value for "not set"
            object.__setattr__(self, "lr", None)
        if self.lr is not None:
            check_ranges(self, ("lr",), 0)
            protocol(self.protocol).with_lr(self.lr)


@dataclass(frozen=True)
class SuiteResult:
    """Evaluations in the order of the suite, {"task/protocol": reason} of those that could not be measured, and what could
    not be written, in words."""

    evaluations: tuple[Evaluation, ...]
    skipped: dict[str, str]
    problems: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"evaluations": [e.to_json() for e in self.evaluations], "absent": self.skipped}


def evaluate(config: EvaluateConfig, *, command: str = "", quiet: bool = False) -> Evaluation:
    """Measure an encoder on one task, and keep the score.

    Returns:
        The evaluation; it is in the results store, in ``out``, and in the run folder where the model is one. What could
        not be written is printed on stderr.

    Raises:
        AuricleError: Model, task or store cannot be used, or the score would mean nothing.
    """
    evaluation, keeper = measure(config, command=command, quiet=quiet)
    print_problems(keeper.keep(evaluation))
    return evaluation


def measure(config: EvaluateConfig, *, command: str = "", quiet: bool = False) -> tuple[Evaluation, ScoreKeeper]:
    """Measure an encoder on one task; what can be refused is refused before a model is downloaded.

    Returns:
        The evaluation, and what keeps it.

    Raises:
        AuricleError: Model, task or store cannot be used, or the score would mean nothing.
    """
    from auricle.embeddings.cache import EmbeddingCache
    from auricle.evaluation.runner import evaluate as run
    from auricle.evaluation.scoring import TaskPlan
    from auricle.hub.published.table import find

    keeper, cache = _places(config), EmbeddingCache()
    loaded = _load(config) if find(config.model) is None else None  # here, or an unknown name
    chosen = protocol(config.protocol)
    plan = TaskPlan.of(config.task, few_shot=config.few_shot or chosen.few_shot)
    evaluation = run(
        _load(config) if loaded is None else loaded,
        plan,
        chosen if config.lr is None else chosen.with_lr(config.lr),
        cache=cache,
        encode=config.encode,
        seeds=config.seeds,
        baselines=config.baselines,
        few_shot=config.few_shot,
        statistics=config.statistics,
        place=place_of(config.model),
        command=command,
        quiet=quiet,
    )
    return evaluation, keeper


def evaluate_suite(
    config: EvaluateConfig,
    *,
    command: str = "",
    quiet: bool = False,
    show: Callable[[Evaluation], None] | None = None,
) -> SuiteResult:
    """Measure an encoder on every task of a suite; a task whose data are absent is skipped with the reason.

    Args:
        config: What to measure. Layers, pooling, statistics and baselines hold for every task.
        command: The command line.
        quiet: Show no progress.
        show: Called with each evaluation when it is there, before it is written anywhere.

    Raises:
        AuricleError: Suite, model or store cannot be used.
    """
    from auricle.evaluation.task_set import evaluate_task_set, read_task_set

    keeper = _places(replace(config, out=None))
    ScoreKeeper(keeper.store, out=Path(config.out) if config.out else None).check()
    entries = read_task_set(Path(config.suite or ""))
    problems: list[str] = []

    def keep(evaluation: Evaluation) -> None:
        try:
            if show is not None:
                show(evaluation)
        finally:
            problems.extend(keeper.keep(evaluation))

    evaluations, skipped = evaluate_task_set(
        _load(config),
        entries,
        baselines=config.baselines,
        encode=config.encode,
        statistics=config.statistics,
        place=place_of(config.model),
        command=command,
        quiet=quiet,
        on_evaluation=keep,
    )
    result = SuiteResult(tuple(evaluations), skipped, tuple(dict.fromkeys(problems)))
    if config.out:
        write_text(Path(config.out), dumps(result.to_json(), indent=1))
    return result


def print_skipped(skipped: dict[str, str]) -> None:
    """Print the tasks that could not be measured on stderr."""
    for task, reason in skipped.items():
        print(f"{task} was not measured: {reason}", file=sys.stderr)


def print_problems(problems: Sequence[str]) -> None:
    """Print on stderr what could not be written."""
    for problem in problems:
        print(f"auricle: {problem}", file=sys.stderr)


def place_of(model: str) -> str:
    """Return the absolute path of a run folder or weight file: two runs may have one relative name; "" for others."""
    return str(Path(model).expanduser().resolve()) if Path(model).expanduser().exists() else ""


def _places(config: EvaluateConfig) -> ScoreKeeper:
    """Check where scores go. Raises AuricleError for a place that cannot be written."""
    store, note = writable_store(config.store)
    run = Path(config.model) if (Path(config.model) / "config.yaml").is_file() else None
    keeper = ScoreKeeper(store, run, Path(config.out) if config.out else None)
    keeper.check()
    print_problems([note] if note else [])
    return keeper


def _load(config: EvaluateConfig) -> Encoder:
    from auricle.hub.load import load

    encoder = load(config.model, weights=config.weights)
    if Path(config.model).exists():
        encoder.update_info(name=config.model)  # two runs of one family are two models in the results
    return encoder


# While a run trains: a suite, or a program that is called with the checkpoint.


def periodic(source: str) -> Callable[[Encoder, TrainProgress, Path], dict[str, float]]:
    """Make the function that the training loop calls to measure its encoder.

    Args:
        source: A suite (file, "quick" or "all"), or a program (a shell script, or an executable file).

    Returns:
        A function of the encoder, the progress and the run folder that returns scores by "task/protocol". Evaluations
        are saved in the run folder and the results store. It raises AuricleError when nothing could be measured.

    Raises:
        AuricleError: The suite cannot be read, or the results store cannot be used.
    """
    path = Path(source)
    if _is_program(path):
        return lambda encoder, progress, run: _call_program(path, encoder, run, progress)
    from auricle.evaluation.task_set import evaluate_task_set, read_task_set

    entries = read_task_set(path)
    store, note = writable_store(None)  # a damaged one is refused before the training
    reported: set[str] = set()

    def evaluate(encoder: Encoder, progress: TrainProgress, run: Path) -> dict[str, float]:
        name, problems = encoder.info.name, [note] if note else []
        encoder.update_info(name=f"{run.name} epoch {progress.epoch:g}")
        evaluations, skipped = evaluate_task_set(
            encoder,
            entries,
            baselines=False,
            place=f"{run.resolve()} epoch {progress.epoch:g}",
            on_evaluation=lambda evaluation: problems.extend(ScoreKeeper(store, run).keep(evaluation)),
        )
        encoder.update_info(name=name)
        print_problems([problem for problem in problems if problem not in reported])
        reported.update(problems)
        print_skipped({task: reason for task, reason in skipped.items() if task not in reported})
        reported.update(skipped)
        if skipped and not evaluations:
            raise AuricleError("; ".join(f"{task}: {reason}" for task, reason in skipped.items()))
        return {f"{e.task}/{e.protocol}": e.score.score for e in evaluations}

    return evaluate


def _is_program(path: Path) -> bool:
    executable = path.suffix == ".sh" or (path.suffix not in (".yaml", ".yml") and os.access(path, os.X_OK))
    return path.is_file() and executable


def _call_program(program: Path, encoder: Any, run: Path, progress: TrainProgress) -> dict[str, float]:
    """Run a program with the path of a checkpoint. Raises AuricleError when it fails."""
    command = [str(program.resolve())] if os.access(program, os.X_OK) else ["bash", str(program)]
    done = subprocess.run([*command, str(_checkpoint(encoder, run, progress))], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise AuricleError(f"{program} ended with {done.returncode}: {last}")
    return {}


def _checkpoint(encoder: Any, run: Path, progress: TrainProgress) -> Path:
    """The published checkpoint of this epoch where the run writes them, else a new file of the encoder."""
    from auricle.hub.weight_file import save_encoder

    published = run / f"checkpoint-{progress.epoch:g}.pth"
    if published.is_file():
        return published
    save_encoder(encoder, run / f"encoder-epoch{progress.epoch:g}.safetensors")
    return run / f"encoder-epoch{progress.epoch:g}.safetensors"
