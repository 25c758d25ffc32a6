"""``auricle evaluate`` of a suite, or of several models: task by task, resumable, with one comparison at the end.

``periodic`` hands the same code to the training loop.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.commands.evaluate import TAGS, EvaluateConfig, print_problems
from auricle.commands.keep_scores import ScoreKeeper, SuiteKeeper, writable_store
from auricle.core.errors import AuricleError
from auricle.core.io import dumps, write_text
from auricle.evaluation.suites.contract import SuiteFile, WorkContext
from auricle.evaluation.suites.probe_tasks import ProbeTask
from auricle.evaluation.suites.read import Suite, read_suite

if TYPE_CHECKING:
    from auricle.evaluation.suites.comparison import TaskTable
    from auricle.evaluation.suites.run import Outcome
    from auricle.methods.base import TrainProgress
    from auricle.models.base import Encoder


SHOWN = ("task", "protocol", "version", "metric", "score", "std", "interval", "role")


@dataclass(frozen=True)
class SuiteResult:
    """What a suite gave.

    Attributes:
        outcomes: One per model, task and protocol, in the order of the suite.
        tables: The comparison: one table per task and protocol, with published scores and paired differences.
        page: The page that was written; None for none.
    """

    outcomes: tuple[Outcome, ...]
    tables: tuple[TaskTable, ...] = ()
    page: Path | None = None

    @property
    def measured(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if outcome.measured]

    @property
    def skipped(self) -> dict[str, str]:
        """{"task/protocol": reason} of what could not be measured; with the model in front where there are several."""
        several = len({outcome.model for outcome in self.outcomes}) > 1
        lacking = [outcome for outcome in self.outcomes if not outcome.measured]
        return {f"{o.model}: {o.title}" if several else o.title: o.reason for o in lacking}

    @property
    def problems(self) -> list[str]:
        """What could not be written, in words."""
        return list(dict.fromkeys(problem for outcome in self.outcomes for problem in outcome.problems))

    def to_json(self) -> dict[str, Any]:
        evaluations = [o.evaluation.to_json() for o in self.measured if o.evaluation is not None]
        scores = [
            {name: getattr(r, name) for name in SHOWN} | {"model": r.model, "finished_before": o.finished_before}
            for o in self.measured
            for r in o.rows
        ]
        tables = [table.to_json() for table in self.tables]
        return {"evaluations": evaluations, "scores": scores, "absent": self.skipped, "comparison": tables}


def suite_of(config: EvaluateConfig) -> Suite:
    """Return the suite of a config: the named one, or one of the task that it names.

    Raises:
        AuricleError: The suite cannot be read, or lacks a task.
    """
    if config.suite is not None:
        return read_suite(Path(config.suite)).of_tasks(config.tasks)
    file = SuiteFile(Path(config.task.source), Path())
    if config.protocol == TAGS:
        from auricle.evaluation.suites.tags import TagsTask

        return Suite(TAGS, (TagsTask(config.task.title, config.task, file),), "Tags of taggers", (TAGS,))
    task = ProbeTask(config.task.title, config.task, (config.protocol,), file, config.seeds, config.lr)
    return Suite(config.task.title, (task,))


def evaluate_suite(
    config: EvaluateConfig,
    *,
    command: str = "",
    quiet: bool = False,
    show: Callable[[Outcome], None] | None = None,
) -> SuiteResult:
    """Measure models on every task of a suite. What the results store already holds is not measured again.

    Args:
        config: What to measure. Layers, pooling, statistics and baselines hold for every task.
        command: The command line.
        quiet: Show no progress.
        show: Called with each outcome when it is there.

    Raises:
        AuricleError: Suite or store cannot be used, or a worker process died.
    """
    from auricle.evaluation.suites.comparison import compare_outcomes
    from auricle.evaluation.suites.published import read_published_scores
    from auricle.evaluation.suites.run import SuiteRun, run_suite

    store, note = writable_store(config.store)
    outputs = [Path(name) for name in (config.out, config.page) if name]
    for path in outputs:
        ScoreKeeper(store, out=path).check()
    print_problems([note] if note else [])
    suite = suite_of(config)
    published = read_published_scores(suite.published, suite.file)
    context = WorkContext(
        config.encode,
        config.statistics,
        config.baselines,
        command=command,
        quiet=quiet,
        data=config.data,
        text=config.text,
    )
    run = SuiteRun(context, store, SuiteKeeper(store), config.again, config.parallel)
    outcomes = run_suite(suite, config.models, run, show)
    tables = compare_outcomes(outcomes, published)
    result = SuiteResult(tuple(outcomes), tuple(tables))
    if config.page:
        from auricle.reports.suite_page import suite_page

        write_text(Path(config.page), suite_page(suite.title, tables, outcomes, command))
        result = replace(result, page=Path(config.page))
    if config.out:
        write_text(Path(config.out), dumps(result.to_json(), indent=1))
    return result


def print_skipped(skipped: dict[str, str]) -> None:
    """Print on stderr what could not be measured; one reason of several tasks once."""
    tasks: dict[str, list[str]] = {}
    for task, reason in skipped.items():
        tasks.setdefault(reason, []).append(task)
    for reason, names in tasks.items():
        were = "was" if len(names) == 1 else "were"
        print(f"{', '.join(names)} {were} not measured: {reason}", file=sys.stderr)


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
    from auricle.evaluation.suites.run import Outcome, SuiteRun, measure_task

    suite = read_suite(path)
    store, note = writable_store(None)  # a damaged one is refused before the training
    reported: set[str] = set()

    def evaluate(encoder: Encoder, progress: TrainProgress, run: Path) -> dict[str, float]:
        name, problems = encoder.info.name, [note] if note else []
        encoder.update_info(name=f"{run.name} epoch {progress.epoch:g}")
        context = WorkContext(baselines=False, place=f"{run.resolve()} epoch {progress.epoch:g}")
        keeper, outcomes = ScoreKeeper(store, run), list[Outcome]()
        for task in suite.tasks:
            kept = measure_task(encoder, task, SuiteRun(context), lambda m: keeper.keep_rows(m.rows, m.evaluation))
            outcomes += kept
        encoder.update_info(name=name)
        result = SuiteResult(tuple(outcomes))
        problems += result.problems
        print_problems([problem for problem in problems if problem not in reported])
        reported.update(problems)
        print_skipped({task: reason for task, reason in result.skipped.items() if task not in reported})
        reported.update(result.skipped)
        if result.skipped and not result.measured:
            raise AuricleError("; ".join(f"{task}: {reason}" for task, reason in result.skipped.items()))
        return {o.title: o.rows[0].score for o in result.measured}

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
