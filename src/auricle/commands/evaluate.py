"""``auricle evaluate``: measure an encoder on a labelled task, beside its baselines; every score goes to the results store.

Suites and several models are measured by ``evaluate_suite``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.commands.keep_scores import ScoreKeeper, writable_store
from auricle.core.errors import AuricleError
from auricle.core.options import check_choices, check_ranges, option, paths_as_text
from auricle.evaluation.protocols import protocol
from auricle.evaluation.suites.models import ModelToMeasure
from auricle.evaluation.tasks import SEEDS, Task
from auricle.inference.config import EncodeSettings

if TYPE_CHECKING:
    from auricle.evaluation.evaluation import Evaluation


TAGS = "audioset"  # the protocol that scores the tags of taggers


@dataclass(frozen=True)
class EvaluateConfig:
    """One encoder on one task, or on the tasks of a suite."""

    task: Task = field(default_factory=lambda: Task(""))
    model: tuple[str, ...] = option(
        (), "encoders: published names, weight files or run folders; logmel-stats is the baseline. Several are compared"
    )
    protocol: str = option(
        "linear",
        "linear (logistic regression, C = 1), logistic-cv (C chosen in training), knn, knn-cosine, knn-xares, "
        "fewshot (1, 2, 4, 8 clips per class), evar (EVAR's linear probe) or audioset (the tags of taggers, without a probe)",
    )
    suite: str | None = option(
        None, "instead of one task: a shipped suite (evar, quick, all, …) or a file of tasks and protocols (YAML)"
    )
    tasks: tuple[str, ...] = option((), "only these tasks of the suite")
    data: str | None = option(None, "folder that holds the data of the suite (default: where the suite says)")
    parallel: int = option(1, "models and tasks that are measured beside each other, each in a process with one thread")
    again: bool = option(False, "measure tasks of a suite again that the results store already holds", advanced=True)
    text: str = option(
        "",
        "MODULE:NAME of an object with encode_text(captions), or of what makes it of the encoder: for zero-shot and retrieval",
        advanced=True,
    )
    page: str | None = option(None, "write the comparison of models and published scores to this HTML file")
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
    head: str | None = option(
        None,
        f"of a model with several heads, the one whose tags are scored (--protocol {TAGS}); auto: the first one",
        special={"auto": None},
        advanced=True,
    )
    encode: EncodeSettings = option(factory=EncodeSettings, group="how a clip becomes a vector", advanced=True)
    store: str | None = option(None, "results file (default: results.sqlite in the cache folder)", advanced=True)
    out: str | None = option(None, "also write the whole result, with every prediction, to this JSON file")

    def __post_init__(self) -> None:
        paths_as_text(self)
        if isinstance(self.model, (str, os.PathLike)):
            object.__setattr__(self, "model", (os.fsdecode(self.model),) if self.model else ())
        check_choices(self)
        check_ranges(self, ("parallel",), 1)
        if self.protocol != TAGS:
            protocol(self.protocol)
        if not any(self.model):
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
        if self.head is not None and self.protocol != TAGS and self.suite is None:
            raise AuricleError(
                f"--head {self.head} is about tags (--protocol {TAGS}); a probe reads embeddings, which heads share"
            )
        if self.suite is None and (self.tasks or self.data):
            raise AuricleError("--tasks and --data are for a suite: --suite NAME or FILE")
        if self.few_shot and self.as_suite:
            raise AuricleError(
                "--few-shot is for one model without --page; --protocol fewshot measures the curve of several"
            )
        if self.lr == 0:  # the first edition's value for "not set"
            object.__setattr__(self, "lr", None)
        if self.lr is not None:
            check_ranges(self, ("lr",), 0)
            if self.protocol == TAGS:
                raise AuricleError(f"the protocol '{TAGS}' has no learning rate")
            protocol(self.protocol).with_lr(self.lr)

    @property
    def as_suite(self) -> bool:
        """True where it is measured as a suite: several tasks or models, or a protocol that is no probe."""
        return self.suite is not None or len(self.model) > 1 or self.protocol == TAGS or self.page is not None

    @property
    def models(self) -> tuple[ModelToMeasure, ...]:
        """The models; ``weights`` are those of the published name among them.

        Raises:
            AuricleError: Several of them are published names.
        """
        from auricle.hub.published.table import find

        names = tuple(dict.fromkeys(self.model))
        records = {name: find(name) for name in names if self.weights is not None}
        published = [name for name, record in records.items() if record is not None and record.urls]
        if len(published) > 1:
            raise AuricleError(f"--weights is the file of one published name; {' and '.join(published)} are several")
        owner = published[0] if published else names[0]
        return tuple(ModelToMeasure(name, self.weights if name == owner else None, self.head) for name in names)

    @property
    def first_model(self) -> ModelToMeasure:
        """The only model of a measurement that is no suite."""
        return self.models[0]


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
    loaded = config.first_model.load() if find(config.first_model.name) is None else None  # here, or an unknown name
    chosen = protocol(config.protocol)
    plan = TaskPlan.of(config.task, few_shot=config.few_shot or chosen.few_shot)
    evaluation = run(
        config.first_model.load() if loaded is None else loaded,
        plan,
        chosen if config.lr is None else chosen.with_lr(config.lr),
        cache=cache,
        encode=config.encode,
        seeds=config.seeds,
        baselines=config.baselines,
        few_shot=config.few_shot,
        statistics=config.statistics,
        place=config.first_model.place,
        command=command,
        quiet=quiet,
    )
    return evaluation, keeper


def print_problems(problems: Sequence[str]) -> None:
    """Print on stderr what could not be written."""
    for problem in problems:
        print(f"auricle: {problem}", file=sys.stderr)


def _places(config: EvaluateConfig) -> ScoreKeeper:
    """Check where scores go. Raises AuricleError for a place that cannot be written."""
    store, note = writable_store(config.store)
    keeper = ScoreKeeper(store, config.first_model.run, Path(config.out) if config.out else None)
    keeper.check()
    print_problems([note] if note else [])
    return keeper
