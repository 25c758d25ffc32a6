"""The adapter of MAEB: a task of mteb, run by mteb's own evaluator, its scores in the results store.

  - {name: BeijingOpera, adapter: maeb}
  - {name: FSD2019Kaggle, adapter: maeb, subsets: [curated]}
  - {name: mine, adapter: maeb, task: my_tasks:Mine}

``task`` names a task of mteb where ``name`` is another, or a class MODULE:NAME of one's own. mteb downloads its data sets through
the library ``datasets`` and writes result files for its leaderboard; AURICLE_OFFLINE switches downloads off. Needs ``[mteb]``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from auricle.evaluation.suites.contract import Measured, SuiteFile, SuiteTask, TaskRecord, Work, WorkContext
from auricle.evaluation.suites.maeb.library import (
    TaskSize,
    import_mteb,
    load_data,
    mteb_version,
    open_task,
    result_folder,
    scores_of,
)

if TYPE_CHECKING:
    from auricle.evaluation.identity import TaskIdentity
    from auricle.evaluation.result_rows import Result
    from auricle.models.base import Encoder
    from auricle.models.info import EncoderInfo

TEXT = "text"
RULES = ("samples_per_label", "n_experiments", "n_splits", "is_cross_validation", "train_split")  # of mteb's tasks


@dataclass(frozen=True)
class MaebTask(SuiteTask):
    """A task of mteb.

    Attributes:
        name: Name of the task in results.
        file: The suite's file.
        task: mteb's name, or MODULE:NAME of a class.
        subsets: Parts of the data set that are scored; () for all.
    """

    name: str
    file: SuiteFile
    task: str
    subsets: tuple[str, ...] = ()

    @classmethod
    def read(cls, record: TaskRecord) -> MaebTask:
        """Make the task of a record: ``name``, ``task``, ``subsets``."""
        record.only("name", "task", "subsets")
        task, subsets = record.get("task") or record.get("name"), record.get("subsets", list) or []
        if not task:
            raise record.file.fault(f"a task of MAEB needs a 'name' or a 'task', found {dict(record.values)!r}")
        if not all(isinstance(subset, str) for subset in subsets):
            raise record.file.fault(f"subsets should be a list of names, found {subsets!r}")
        return cls(record.get("name") or task.partition(":")[2] or task, record.file, task, tuple(subsets))

    def works(self, model: EncoderInfo, data: str | None = None) -> list[Work]:
        return [MaebWork(self)]


@dataclass(frozen=True)
class MaebWork(Work):
    """A task of mteb by mteb's protocol. The version is mteb's."""

    entry: MaebTask

    protocol = "maeb"

    @property
    def task(self) -> str:  # type: ignore[override]
        return self.entry.name

    @property
    def version(self) -> str:  # type: ignore[override]
        return f"mteb {mteb_version()}"

    @cached_property
    def description(self) -> dict[str, Any]:
        """What decides the score beside the model: the data set with its revision, the parts, the rules of the task."""
        task = open_task(self.entry.task, self.entry.subsets)
        return {
            "task": task.metadata.name,
            "dataset": {name: str(value) for name, value in sorted(task.metadata.dataset.items())},
            "splits": list(task.eval_splits),
            "subsets": sorted(task.hf_subsets),
            "metric": task.metadata.main_score,
            "rules": {name: getattr(task, name) for name in RULES if hasattr(task, name)},
        }

    def fingerprint(self) -> str:
        from auricle.embeddings.cache import hash_of

        return hash_of(self.description)

    def measure(self, encoder: Encoder, context: WorkContext) -> Measured:
        started = time.perf_counter()
        context.own_statistics_only("a task of mteb")
        mteb, task = import_mteb(), open_task(self.entry.task, self.entry.subsets)
        from auricle.evaluation.suites.maeb.encoder import MaebEncoder
        from auricle.evaluation.text_side import text_side

        captions = TEXT in task.metadata.modalities
        model = MaebEncoder(encoder, context.encode, side=text_side(context.text, encoder) if captions else None)
        load_data(task)
        size = TaskSize.of(task)
        found = mteb.evaluate(
            model,
            task,
            co2_tracker=False,
            cache=mteb.ResultCache(result_folder()),
            overwrite_strategy="always",
            show_progress_bar=False,
            encode_kwargs={"batch_size": context.encode.batch_size, "show_progress_bar": not context.quiet},
        ).task_results[0]
        task.unload_data()
        scores = scores_of(found.scores, task.metadata.main_score)
        return Measured((self._row(encoder, found.get_score(), scores, size, context, time.perf_counter() - started),))

    def _row(
        self,
        encoder: Encoder,
        score: float,
        scores: dict[str, float],
        size: TaskSize,
        context: WorkContext,
        seconds: float,
    ) -> Result:
        from auricle.evaluation.suites.rows import with_scores, work_row

        row = work_row(self, encoder, context, self._identity(size))
        row = with_scores(row, self.description["metric"], scores)
        return replace(
            row,
            score=float(score),  # mteb's own mean
            seconds=seconds,
            environment={**row.environment, "mteb": mteb_version()},
            test_ratio=size.test_ratio,
        )

    def _identity(self, size: TaskSize) -> TaskIdentity:
        """The task as mteb names it: two scores of one data set, revision and rules are of the same task."""
        from auricle.embeddings.cache import hash_of
        from auricle.evaluation.identity import WHOLE, TaskIdentity

        described, splits = self.description, ", ".join(self.description["splits"])
        data = hash_of({name: described[name] for name in ("dataset", "subsets")})
        split = hash_of({name: described[name] for name in ("splits", "rules")})
        return TaskIdentity(size.tested, size.classes, splits, WHOLE, clips=data, labels=data, split=split)
