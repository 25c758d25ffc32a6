"""Run a suite: every task for every model, one work after the other or in several processes.

A work whose key is in the results store is finished and is not measured again: a suite that was killed goes on where it was.
The key is a hash of the task's fingerprint, the encoder (weights, statistics, front end), how clips become vectors, the protocol
and its version. What cannot be measured is an ``Outcome`` with a reason; the rest is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError
from auricle.core.parallel import parallel_map
from auricle.embeddings.cache import describe_encoding, hash_of
from auricle.evaluation.results import ResultsStore, saved_evaluation
from auricle.evaluation.suites.contract import Measured, MissingData, SuiteTask, Work, WorkContext
from auricle.evaluation.suites.models import ModelToMeasure
from auricle.inference.config import EmbedSettings

if TYPE_CHECKING:
    from auricle.evaluation.evaluation import Evaluation
    from auricle.evaluation.result_rows import Result
    from auricle.evaluation.suites.read import Suite
    from auricle.models.base import Encoder

Keep = Callable[[ModelToMeasure, Measured], "list[str]"]


@dataclass(frozen=True)
class Outcome:
    """What became of one work.

    Attributes:
        model: Name of the model.
        task: Name of the task.
        protocol: Name of the protocol; "" where the model could not be loaded.
        rows: Its rows in the results store, the model's main score first; empty where it was not measured.
        evaluation: The evaluation with predictions, where the work makes one and it is there.
        failed: Clips that could not be read, with the reason.
        finished_before: True if the results store had it already.
        reason: Why it was not measured; "" where it was.
        missing: True if the reason is that the data are not there.
        problems: What could not be written, in words.
    """

    model: str
    task: str
    protocol: str
    rows: tuple[Result, ...] = ()
    evaluation: Evaluation | None = None
    failed: dict[str, str] = field(default_factory=dict)
    finished_before: bool = False
    reason: str = ""
    missing: bool = False
    problems: tuple[str, ...] = ()

    @property
    def measured(self) -> bool:
        return not self.reason

    @property
    def title(self) -> str:
        """ "esc50/evar, lr 3e-05"."""
        return f"{self.task}/{self.protocol}" if self.protocol else self.task


@dataclass(frozen=True)
class SuiteRun:
    """How a suite is run.

    Attributes:
        context: What every work is given.
        store: The results store; None: nothing is looked up, and nothing counts as finished.
        keep: Called with each model and what was measured, in the process that measured it, before the next work begins;
            returns what could not be written. It must be picklable for several processes.
        again: Measure finished works too.
        workers: Processes, each with one thread; 1: this one.
    """

    context: WorkContext = field(default_factory=WorkContext)
    store: ResultsStore | None = None
    keep: Keep | None = None
    again: bool = False
    workers: int = 1


def run_suite(
    suite: Suite, models: Sequence[ModelToMeasure], run: SuiteRun, on_outcome: Callable[[Outcome], None] | None = None
) -> list[Outcome]:
    """Measure every task of a suite for every model.

    Args:
        suite: The tasks.
        models: The models.
        run: How.
        on_outcome: Called with each outcome when it is there.

    Returns:
        The outcomes, task by task, model by model.

    Raises:
        AuricleError: A worker process died. What was finished is in the results store.
    """
    jobs = [_TaskForModel(model, task, run) for model in models for task in suite.tasks]
    outcomes = []
    for part in parallel_map(_run_job, jobs, min(run.workers, len(jobs)), chunk=1):
        for outcome in part:
            outcomes.append(outcome)
            if on_outcome is not None:
                on_outcome(outcome)
    order = {task.name: i for i, task in enumerate(suite.tasks)}
    return sorted(outcomes, key=lambda outcome: order.get(outcome.task, len(order)))


@dataclass(frozen=True)
class _TaskForModel:
    """One task for one model, sent to a process."""

    model: ModelToMeasure
    task: SuiteTask
    run: SuiteRun


def _run_job(job: _TaskForModel) -> list[Outcome]:
    encoder = _loaded(job.model)
    if isinstance(encoder, str):
        return [Outcome(job.model.name, job.task.name, "", reason=encoder)]
    context = replace(job.run.context, place=job.model.place)
    keep = job.run.keep
    run = replace(job.run, context=context, keep=None)
    kept = (lambda measured: keep(job.model, measured)) if keep is not None else None
    return list(measure_task(encoder, job.task, run, kept))


@lru_cache(maxsize=1)
def _loaded(model: ModelToMeasure) -> Encoder | str:
    """The encoder, or why it cannot be loaded; that of the last job is kept."""
    try:
        return model.load()
    except AuricleError as error:
        return str(error)


def measure_task(
    encoder: Encoder, task: SuiteTask, run: SuiteRun, keep: Callable[[Measured], list[str]] | None = None
) -> Iterator[Outcome]:
    """Measure one encoder on one task, and yield an outcome for each of its works.

    Args:
        encoder: The encoder; it is not changed.
        task: The task.
        run: How; its ``keep`` and ``workers`` are not used.
        keep: Called with what was measured; returns what could not be written.
    """
    for work in task.works(encoder.info, run.context.data):
        yield _outcome(encoder, work, run, keep)


def _outcome(encoder: Encoder, work: Work, run: SuiteRun, keep: Callable[[Measured], list[str]] | None) -> Outcome:
    outcome = Outcome(encoder.info.name, work.task, work.protocol)
    try:
        key = work_key(encoder, work, run.context) if run.store is not None else ""
        if run.store is not None and not run.again and (before := run.store.of_work(key)):
            return replace(
                outcome, rows=tuple(before), evaluation=saved_evaluation(run.store.path, key), finished_before=True
            )
        measured = work.measure(encoder, run.context)
    except MissingData as error:
        return replace(outcome, reason=str(error), missing=True)
    except AuricleError as error:
        return replace(outcome, reason=str(error))
    except MemoryError as error:
        return replace(outcome, reason=f"out of memory ({error}): try a smaller --batch-size")
    except Exception as error:  # of a library or a module of the user: the other tasks are measured
        fault = " ".join(str(error).split())
        return replace(outcome, reason=f"it ended in an error that was not expected ({type(error).__name__}: {fault})")
    rows = tuple(replace(row, version=work.version, work=key) for row in measured.rows)
    problems = keep(replace(measured, rows=rows)) if keep is not None else []
    return replace(
        outcome, rows=rows, evaluation=measured.evaluation, failed=dict(measured.failed), problems=tuple(problems)
    )


def work_key(encoder: Encoder, work: Work, context: WorkContext) -> str:
    """Return the key of a work for an encoder. Raises what ``Work.fingerprint`` raises."""
    fingerprint = work.fingerprint()  # first: absent data are said before weights are hashed
    encoding: dict[str, Any] = describe_encoding(encoder, EmbedSettings(**vars(context.encode)))
    return hash_of(
        {
            "task": fingerprint,
            "encoder": encoding,
            "layers": list(context.encode.layers),
            "name": [encoder.info.name, context.place],
            "statistics": context.statistics,
            "baselines": context.baselines,
            "text": context.text,
            "protocol": [work.task, work.protocol, work.version],
        }
    )
