"""``auricle demo``: prepare a folder of recordings (or a synthetic corpus), pre-train a small encoder on it without labels
(the preset ``small``), compare it with its untrained self and log-mel statistics, and write a report."""

from __future__ import annotations

import os
import shlex
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.commands.keep_scores import ScoreKeeper, writable_store
from auricle.core.errors import AuricleError
from auricle.core.io import make_folder
from auricle.core.options import argument, option

if TYPE_CHECKING:
    from auricle.commands.prepare.prepare import PrepareResult
    from auricle.data.manifest.manifest import Manifest
    from auricle.embeddings.cache import EmbeddingCache
    from auricle.evaluation.evaluation import Evaluation
    from auricle.evaluation.scoring import TaskPlan
    from auricle.methods.config import PretrainConfig

PROBES = {"logistic": "linear", "knn-vote": "knn"}  # protocols, and their names on the command line
METHOD, PRESET = "msm-mae", "small"  # why: docs/small-scale.md
RUN = f"{PRESET}-{METHOD}"
CORPUS = "corpus"  # in the output folder
SMALLEST_RUN = 20  # weight updates; with fewer nothing is learnt


@dataclass(frozen=True)
class DemoConfig:
    """What to learn from, and the sizes; the defaults take five minutes on two cores."""

    source: str = argument("folder of audio, or a manifest; without it a synthetic corpus is made", default="")
    labels: str | None = option(None, "table of labels (and folds, splits, groups), joined to the clips by file name")
    label_column: str | None = option(None, "column of that table that holds the label")
    group_column: str | None = option(None, "column of speaker, patient or site, never split across folds")
    out: str | None = option(
        None, "folder for everything; auto: demo/<name>-<time>", special={"auto": None}, old={"": None}
    )
    minutes: float = option(2.5, "minutes of pre-training")
    clips_per_class: int = option(25, "clips of each class of the synthetic corpus", advanced=True)
    batch_size: int = option(24, "clips per weight update")
    seed: int = option(0, "seed of every random draw")
    workers: int | None = option(
        None, "processes that prepare; auto: one per core", special={"auto": None}, old={0: None}
    )
    quiet: bool = option(False, "show no progress")

    def __post_init__(self) -> None:
        if self.minutes <= 0 or self.batch_size < 1 or self.clips_per_class < 5:
            raise AuricleError("the demo needs --minutes above 0, a --batch-size of at least 1 and 5 clips per class")


@dataclass(frozen=True)
class DemoResult:
    """Run folder and report, the evaluations (none without labels), a verdict in one or two sentences, what else is to
    be known (why nothing was measured, where scores went, what could not be written), and the folder of the recordings."""

    run: Path
    report: Path
    evaluations: tuple[Evaluation, ...]
    failed: int
    verdict: str
    seconds: float
    notes: tuple[str, ...] = ()
    recordings: Path = Path()


def demo(config: DemoConfig) -> DemoResult:
    """Run the demo; clips that cannot be read are counted and left out. What can be refused is refused first.

    Raises:
        AuricleError: The source cannot be used, an output cannot be written, the output folder holds a demo already, or the
            labels leave nothing that could be scored.
    """
    from auricle.commands.pretrain import pretrain
    from auricle.embeddings.cache import EmbeddingCache
    from auricle.reports.page import build_report
    from auricle.reports.run_view import RunView
    from auricle.reports.verdicts import learnt

    started, out = time.monotonic(), out_folder(config)
    if config.source:
        plan_probes(source_manifest(config), config)
    cache, (store, note) = EmbeddingCache(), writable_store(None)
    make_folder(out, "choose another --out")
    prepared = prepare_sounds(config, out)
    manifest = prepared_manifest(prepared)
    plan, reason = plan_probes(manifest, config)
    result = pretrain(
        timed(small_run(config, prepared.out, out / RUN, len(manifest)), config.minutes), quiet=config.quiet
    )
    notes = [text for text in (note, reason) if text]
    evaluations, problems = probe(result.run, plan, config, ScoreKeeper(store), cache) if plan else ((), [])
    report = build_report(result.run)
    verdict = " ".join(learnt(RunView.open(result.run)))
    return DemoResult(
        result.run,
        report,
        evaluations,
        len(prepared.failed),
        verdict,
        time.monotonic() - started,
        (*notes, *problems),
        recordings_of(config, out),
    )


def recordings_of(config: DemoConfig, out: Path) -> Path:
    """Return the folder of the recordings: that of the source, or of the corpus that was made."""
    if not config.source:
        return out / CORPUS
    return Path(config.source) if os.path.isdir(config.source) else source_manifest(config).root


def out_folder(config: DemoConfig) -> Path:
    """Return the folder of the demo. Raises AuricleError if it holds a demo already, or is that of the recordings."""
    out = Path(config.out or f"demo/{title_of(config)}-{time.strftime('%y%m%d-%H%M%S')}")
    if (out / RUN).exists():
        raise AuricleError(f"{out} holds a demo already; choose another --out (or remove it)")
    if config.source and os.path.isdir(config.source) and out.exists() and out.samefile(config.source):
        raise AuricleError(f"{out} is the folder of the recordings; choose another --out")
    return out


def title_of(config: DemoConfig) -> str:
    """Return "synthetic", or the name of the folder; of the folder above it if the name is only "audio" or the like."""
    if not config.source:
        return "synthetic"
    path = Path(config.source).resolve()
    return path.parent.name if path.name.lower() in ("audio", "wav", "wavs", "data") else path.stem


def prepare_sounds(config: DemoConfig, out: Path) -> PrepareResult:
    """Prepare the given recordings, or a synthetic corpus that is made first."""
    from auricle.commands.prepare.prepare import PrepareConfig, prepare

    source, labels = config.source, config.labels
    if not source:
        from auricle.data.synthetic.corpus import make_corpus

        cores = config.workers or os.cpu_count() or 1
        folder = out / CORPUS
        source = str(
            make_corpus(
                folder, clips_per_class=config.clips_per_class, seed=config.seed, workers=cores, quiet=config.quiet
            )
        )
    return prepare(
        PrepareConfig(
            source,
            str(out / "data"),
            labels=labels,
            label_column=config.label_column,
            group_column=config.group_column,
            workers=config.workers,
            quiet=config.quiet,
        )
    )


def prepared_manifest(prepared: PrepareResult) -> Manifest:
    from auricle.data.manifest.formats import read_manifest

    return read_manifest(prepared.out)


def source_manifest(config: DemoConfig) -> Manifest:
    """Read the given recordings and their labels, before anything is decoded."""
    from auricle.data.manifest.formats import read_manifest

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # preparing says the same
        return read_manifest(
            config.source, labels=config.labels, label_column=config.label_column, group_column=config.group_column
        )


def plan_probes(manifest: Manifest, config: DemoConfig) -> tuple[TaskPlan | None, str]:
    """Return what the probes will measure, or None and why nothing can be measured.

    Raises:
        AuricleError: There are labels, and folds or classes leave nothing that could be scored.
    """
    from auricle.evaluation.scoring import TaskPlan
    from auricle.evaluation.tasks import Task

    labels = {label for clip in manifest for label in clip.labels}
    if len(labels) < 2:
        found = f"every label is '{labels.pop()}'" if labels else "the recordings have no labels"
        return None, f"nothing was measured: {found}; a score needs at least two classes"
    return TaskPlan.of(Task(str(manifest.root.resolve()), name=title_of(config)), manifest), ""


def small_run(config: DemoConfig, data: Path, out: Path, clips: int) -> PretrainConfig:
    """Return the settings of the preset, with a batch of at most as many clips as there are."""
    from auricle.core.options import with_values
    from auricle.methods.registry import find_method, preset_values

    batch = min(config.batch_size, clips)
    flags = {**preset_values(METHOD, PRESET), "batch_size": batch, "min_ds_size": batch, "seed": config.seed}
    return with_values(find_method(METHOD).settings(METHOD, str(data), str(out)), flags)


def timed(config: PretrainConfig, minutes: float) -> PretrainConfig:
    """Return the settings with as many weight updates as fit into the minutes, from a few measured steps."""
    from auricle.core.options import with_values
    from auricle.training.run import dry_run

    seconds = dry_run(config).seconds_per_micro_step
    steps = max(SMALLEST_RUN, int(60 * minutes / seconds))
    return with_values(config, {"max_updates": steps, "warmup_updates": steps // 10})


def probe(
    run: Path, plan: TaskPlan, config: DemoConfig, keeper: ScoreKeeper, cache: EmbeddingCache
) -> tuple[tuple[Evaluation, ...], list[str]]:
    """Evaluate with logistic regression and kNN, beside the untrained encoder, log-mel statistics and chance.

    Returns:
        The evaluations, which are in the run folder and in the results store, and what could not be written.
    """
    from auricle.evaluation.runner import evaluate
    from auricle.hub.load import load

    encoder = load(run)
    encoder.update_info(name=RUN)
    evaluations, problems = [], list[str]()
    for name, typed in PROBES.items():
        few_shot, place = name == "logistic" and not plan.split.targets.multilabel, str(run.resolve())
        words = [
            "auricle",
            "evaluate",
            plan.task.source,
            "--model",
            place,
            "--name",
            plan.task.title,
            "--protocol",
            typed,
        ]
        result = evaluate(
            encoder,
            plan,
            name,
            cache=cache,
            few_shot=few_shot,
            place=place,
            quiet=config.quiet,
            command=shlex.join([*words, *(["--few-shot"] if few_shot else [])]),
        )
        problems += replace(keeper, out=run / "evaluations" / f"{name}.json").keep(result)
        evaluations.append(result)
    return tuple(evaluations), problems
