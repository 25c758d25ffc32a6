"""Measure an encoder on a labelled task, beside its baselines, and append the scores to the results store."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.atomic import make_folder
from auricle.errors import AuricleError, nearest
from auricle.evaluate.task import Task
from auricle.inference.embed_settings import EncodeSettings
from auricle.options import argument, check_choices, check_ranges, option

if TYPE_CHECKING:
    from auricle.evaluate.evaluation import Evaluation
    from auricle.evaluate.protocols import Protocol

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
    from auricle.evaluate.recording import record
    from auricle.evaluate.results import ResultsStore
    from auricle.evaluate.run import evaluate as run
    from auricle.hub.load import load
    from auricle.jobs.results import store_path

    store = ResultsStore(store_path(config.store))
    store.check()
    if config.out:
        make_folder(Path(config.out).parent, "choose another --out")
    encoder = load(config.model, weights=config.weights)
    if Path(config.model).exists():
        encoder.rename(name=config.model)  # two runs of one family are two rows in the results
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
    from auricle.evaluate.protocols import protocol

    chosen = protocol(config.protocol or PROBES[config.probe][0])
    return chosen.with_lr(config.lr) if config.lr else chosen
