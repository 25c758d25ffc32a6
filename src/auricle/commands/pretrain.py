"""Pre-train an encoder: composes data, objective and loop into a run folder; starts, continues and rehearses runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.commands.published_files import PUBLISHED, published_out
from auricle.core.errors import AuricleError, nearest
from auricle.core.options import as_plain, differences, names_of
from auricle.methods.settings import PretrainConfig, ViTPretrain, restored, with_flags

if TYPE_CHECKING:
    from auricle.hub.run_folder import RunFolder
    from auricle.methods.base import TrainProgress
    from auricle.training.data import TrainingData
    from auricle.training.distributed import DistContext
    from auricle.training.loop import AtEpoch, Trainer
    from auricle.training.schedules import TrainingLength


@dataclass(frozen=True)
class PretrainResult:
    """Where a run ended. ``already`` is True when there was nothing left to do."""

    run: Path
    steps: int
    epochs: float
    loss: float
    seconds: float
    clips: int
    replaced: int
    already: bool = False


PLACE = ("kind", "micro_step", "step", "epoch")  # of a row of the log, whatever else it says
Evaluate = Callable[[Any, Any], dict[str, float]]


def pretrain(config: PretrainConfig, *, evaluate: Evaluate | None = None, quiet: bool = False) -> PretrainResult:
    """A new run. Raises AuricleError for what cannot be trained; Ctrl-C saves and says how to go on."""
    from auricle.hub.run_folder import RunFolder
    from auricle.training.data import open_data
    from auricle.training.distributed import dist_context
    from auricle.training.dry_run import resolved
    from auricle.training.objectives import build_objective

    with dist_context(config.train.device) as ranks:
        config = replace(config, out=ranks.agree(out_of(config, ranks.world)))
        evaluate = evaluate or periodic_of(config.quick_eval, config)
        final = periodic_of(config.all_eval, config)
        data = open_data(config, ranks)  # before the folder is made: what cannot be trained leaves nothing behind
        config = data.settled(resolved(config, data, ranks))
        check_begin(data.plan(), config)
        objective = build_objective(config, data)
        if config.resume:
            say_resumed(config.resume, objective, ranks, quiet)
        try_out(objective, data, ranks)
        run = RunFolder.create(Path(config.out), as_plain(config)) if ranks.first else RunFolder(Path(config.out))
        ranks.agree(None)
        return run_to_end(trainer_of(config, data, objective, run, ranks, (evaluate, final), quiet), data)


def check_begin(plan: TrainingLength, config: PretrainConfig) -> None:
    """Raises AuricleError for a run that begins behind its end."""
    if config.train.start_epoch * plan.per_epoch >= plan.micro_steps:
        raise AuricleError(
            f"--start-epoch {config.train.start_epoch} lies behind the end of the run ({plan.steps} weight updates, "
            f"{plan.micro_steps / plan.per_epoch:g} epochs): nothing is left"
        )


def try_out(objective: Any, data: TrainingData, ranks: DistContext) -> None:
    """One clip, scored and not learnt from: what networks and data cannot do together shows before a folder is made."""
    import torch

    from auricle.core.randomness import BatchKey

    batch = data.first_clips(1).to(ranks.device)
    objective.to(ranks.device).eval()
    with torch.no_grad():
        objective.validate(batch, data.plan().at(0), BatchKey(data.config.train.seed, batch.epoch, batch.positions))
    objective.train()


def continue_run(
    folder: Path,
    changes: dict[str, Any] | None = None,
    *,
    allow: tuple[str, ...] = (),
    evaluate: Evaluate | None = None,
    quiet: bool = False,
) -> PretrainResult:
    """Go on exactly where a run stopped. ``changes`` by flag name are refused unless their names are in ``allow``."""
    from auricle.hub.run_folder import RunFolder
    from auricle.training.data import open_data
    from auricle.training.distributed import dist_context
    from auricle.training.objectives import build_objective

    run = RunFolder.open(folder)
    config = replace(restored(run.read_config(), str(run.config)), out=str(folder))
    config = changed(config, changes or {}, allow)
    with dist_context(config.train.device) as ranks:
        evaluate = evaluate or periodic_of(config.quick_eval, config)
        data = open_data(config, ranks)
        objective = build_objective(config, data)
        if config.resume and not any(run.state.glob("step-*")):
            say_resumed(config.resume, objective, ranks, quiet)
        final = periodic_of(config.all_eval, config)
        trainer = trainer_of(config, data, objective, run, ranks, (evaluate, final), quiet)
        progress = trainer.restore()
        if ranks.first:
            run.note_command()
            if changes:  # allowed ones hold from here on
                run.write_config(as_plain(config))
        if progress.micro_step < trainer.last_micro_step():
            if ranks.first:
                run.card.unlink(missing_ok=True)  # of an end that is no end any more
            return run_to_end(trainer, data)
        trainer.finish()
        if ranks.agree(run.card.is_file()):
            score_test(trainer, data, progress)
        else:  # stopped between the last weight update and the end
            conclude(trainer, data, progress)
        return replace(result_of(trainer, data, progress), replaced=0, already=True)


def changed(config: PretrainConfig, changes: dict[str, Any], allow: tuple[str, ...]) -> PretrainConfig:
    """The saved config with allowed changes; anything else that differs is named and refused."""
    wanted = with_flags(config, changes)
    known = names_of(config)
    if strange := [name for name in allow if name not in known]:
        raise AuricleError(f"--allow {strange[0]}: there is no such setting{nearest(strange[0], tuple(sorted(known)))}")
    names = differences(config, wanted)
    refused = [name for name in names if name.rsplit(".", 1)[-1] not in allow]
    if refused:
        flags = " ".join(name.rsplit(".", 1)[-1].replace("_", "-") for name in refused)
        raise AuricleError(
            f"the run was started with other settings: {', '.join(refused)}; continuing exactly means keeping them. "
            f"To change them knowingly add --allow {flags}"
        )
    return wanted


def out_of(config: PretrainConfig, processes: int) -> str:
    """The run's folder: as named, as the original M2D program would name it, or after method and time."""
    if config.out == PUBLISHED:
        return published_out(config, processes)
    return config.out or f"runs/{config.method}-{time.strftime('%y%m%d-%H%M%S')}"


def say_resumed(source: str, objective: Any, ranks: DistContext, quiet: bool) -> None:
    """Fill the objective from other weights, keeping the data's own statistics; say what fitted and what did not."""
    import sys

    from auricle.hub.warm_start import resume

    told = resume(objective, Path(source))
    if ranks.first and not quiet:
        print(told, file=sys.stderr)


def trainer_of(
    config: PretrainConfig,
    data: TrainingData,
    objective: Any,
    run: RunFolder,
    ranks: DistContext,
    evaluations: tuple[Evaluate | None, Evaluate | None],
    quiet: bool,
) -> Trainer:
    """``evaluations``: the one on the way, and the one at the end."""
    from auricle.training.loop import Trainer

    return Trainer(
        objective,
        data.batches,
        data.plan(),
        config.train,
        run,
        ranks,
        evaluate=evaluations[0],
        final=evaluations[1],
        sinks=sinks(config, objective, run.path) if ranks.first else (),
        held_out=data.valid.held_out if data.valid else None,
        at_epoch=look_at_features(config, objective, data),
        data_key=data.key,
        quiet=quiet,
    )


def look_at_features(config: PretrainConfig, objective: Any, data: TrainingData) -> AtEpoch | None:
    """What ``--feature-eval-freq`` asks for; None where it does not."""
    if not isinstance(config, ViTPretrain) or not config.feature_eval_freq:
        return None
    from auricle.training.health import look_every

    return look_every(config.feature_eval_freq, objective, data)


def sinks(config: PretrainConfig, objective: Any, folder: Path) -> tuple[Any, ...]:
    """Everything that hears what the log is told."""
    from auricle.commands.published_files import PublishedFiles
    from auricle.training.log import sinks_of

    published = isinstance(config, ViTPretrain) and config.published_files
    return (*sinks_of(config.train, folder), *([PublishedFiles(objective, config, folder)] if published else []))


def periodic_of(source: str, config: PretrainConfig) -> Evaluate | None:
    """The evaluation that the loop is handed; None where none was asked for."""
    if not source:
        return None
    from auricle.commands.evaluate import periodic

    return periodic(source, Path(config.out))


def run_to_end(trainer: Trainer, data: TrainingData) -> PretrainResult:
    """Train, conclude, and answer."""
    start = time.monotonic()
    progress = trainer.fit()
    conclude(trainer, data, progress)
    return replace(result_of(trainer, data, progress), seconds=time.monotonic() - start)


def conclude(trainer: Trainer, data: TrainingData, progress: TrainProgress) -> None:
    """What comes after the last weight update: the test list, clips that were replaced, the last measurement, the card
    (last of all: with it a run is complete)."""
    score_test(trainer, data, progress)
    if data.report():
        trainer.console.say(data.report())
    if trainer.final is not None and not measured(trainer, progress):
        trainer.measure(progress, trainer.final)
    if trainer.ranks.first:
        keep_preview(trainer, data)
        if trainer.log is not None:
            trainer.log.end()
        keep_card(trainer, data, progress)


def measured(trainer: Trainer, progress: TrainProgress) -> bool:
    """Does the log hold scores of this end of the run already? (It was stopped between them and the card.)"""
    from auricle.training.log import read_log

    rows = read_log(trainer.run.metrics, "evaluation")
    return trainer.ranks.agree(any(row["step"] == progress.step and len(row) > len(PLACE) for row in rows))


def result_of(trainer: Trainer, data: TrainingData, progress: TrainProgress) -> PretrainResult:
    loss = last_loss(trainer.run)
    return PretrainResult(trainer.run.path, progress.step, progress.epoch, loss, 0.0, data.listed, data.replaced())


def score_test(trainer: Trainer, data: TrainingData, progress: TrainProgress) -> None:
    """The list that ``--test`` names, unless it was scored at this end of the run already."""
    from auricle.training.log import read_log

    rows = read_log(trainer.run.metrics, "validation")
    if data.test and not trainer.ranks.agree(any("test_loss" in row and row["step"] == progress.step for row in rows)):
        trainer.score("test", progress, data.test.held_out())


def keep_card(trainer: Trainer, data: TrainingData, progress: TrainProgress) -> None:
    from auricle.hub.run_folder import write_card

    facts = {
        "trained on": f"{data.listed} clips of {data.config.source}",
        **({"an epoch": f"the list repeated to {data.clips} clips"} if data.clips > data.listed else {}),
        "length": f"{progress.step} weight updates, {progress.epoch:g} epochs",
        "last loss": f"{last_loss(trainer.run):.4f}",
        **data.facts(),
        "seed": data.config.train.seed,
    }
    write_card(trainer.run, trainer.objective.encoder().info, facts)


def keep_preview(trainer: Trainer, data: TrainingData) -> None:
    """A few clips with what was hidden of them and how well it was predicted, for the report."""
    from auricle.core.randomness import BatchKey
    from auricle.reports.snapshot import CLIPS, save_snapshot, take_snapshot, training_facts

    batch = data.first_clips(CLIPS).to(trainer.ranks.device)
    manifest = data.dataset.manifest
    facts = training_facts(manifest, data.replaced())
    key = BatchKey(trainer.config.seed, batch.epoch, batch.positions)
    snapshot = take_snapshot(trainer.objective, batch, key, manifest=manifest, facts=facts)
    if snapshot is not None:
        save_snapshot(snapshot, trainer.run.path)


def last_loss(run: RunFolder) -> float:
    from auricle.training.log import read_log

    rows = read_log(run.metrics, "step")
    return float(rows[-1]["loss"]) if rows else float("nan")
