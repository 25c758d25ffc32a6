"""Run a training: settings -> data, objective, loop, callbacks. New, continued and rehearsed runs take one path.

``train`` starts a new run or continues one, ``dry_run`` estimates its cost; both begin with ``assemble``.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from auricle.core.console import number_of
from auricle.core.errors import AuricleError
from auricle.core.locks import held
from auricle.core.options import as_plain, with_values
from auricle.core.randomness import BatchKey
from auricle.hub.run_folder import RunFolder
from auricle.hub.warm_start import resume
from auricle.methods.base import Objective, TrainProgress
from auricle.methods.config import Method, PretrainConfig, TrainConfig
from auricle.methods.data import TrainingData
from auricle.methods.registry import method_of, read_settings
from auricle.models.layers.transformer import recompute_activations
from auricle.training.callbacks import Callback
from auricle.training.distributed import DistContext, dist_context
from auricle.training.dry_run import MEASURED_STEPS, DryRun, largest_batch, measure_cost
from auricle.training.health import is_constant
from auricle.training.log import LossChange, read_log
from auricle.training.loop import Trainer
from auricle.training.optimizers import TrainingLength, has_positive_rate, with_warmup


@dataclass(frozen=True)
class RunParts:
    """The parts of a run: resolved settings, this process, data, objective, length; sentences on what was resolved."""

    config: PretrainConfig
    dist: DistContext
    data: TrainingData
    objective: Objective
    length: TrainingLength
    notes: tuple[str, ...] = ()


LOCK = ".lock"  # in the run folder, while it trains

CallbackFactory = Callable[[RunParts, RunFolder], Sequence[Callback]]


@dataclass(frozen=True)
class RunResult:
    """The end of a run.

    loss      mean of the last logged weight updates, as the report and the card state it
    seconds   that training took
    clips     of the training list
    replaced  clips that could not be read and were replaced by others
    already   True if the run was finished before and nothing was left to do
    """

    run: Path
    steps: int
    epochs: float
    loss: float
    seconds: float
    clips: int
    replaced: int
    already: bool = False


def train(
    config: PretrainConfig,
    run: RunFolder | None = None,
    *,
    callbacks: Sequence[CallbackFactory] = (),
    quiet: bool = False,
) -> RunResult:
    """Start a new run, or continue one from its newest checkpoint to the same numbers.

    Processes that the same ``torchrun`` starts again (``--max-restarts``) continue the run that they began.

    Args:
        run: the folder of the run to continue; None: a new run in ``config.out``.
        callbacks: functions of the parts and the folder of the run that return its callbacks.
        quiet: no progress.

    Raises:
        AuricleError: for what cannot be trained; a new run then leaves no folder behind.
        KeyboardInterrupt: after Ctrl-C, once a checkpoint is saved.
    """
    with ExitStack() as owned, dist_context(config.train.device, quiet=quiet) as dist:
        config = replace(config, out=dist.broadcast(config.out or default_folder(config)))
        if run is None and dist.broadcast(RunFolder(Path(str(config.out))).is_of_this_launch()):
            run = RunFolder.open(Path(str(config.out)))
            config = replace(read_settings(run.read_config(), str(run.config)), out=config.out)
        if run is not None and dist.is_main:
            owned.enter_context(only_one(run.path))
        if run is None and dist.is_main:
            RunFolder.check_free(Path(str(config.out)))
        parts = assemble(config, dist)
        config = parts.config
        if dist.is_main and not quiet:
            print("".join(f"{note}\n" for note in parts.notes), end="", file=sys.stderr)
        if config.resume and (run is None or not run.has_checkpoints()):
            loaded = resume(parts.objective, Path(config.resume))
            if dist.is_main and not quiet:
                print(loaded, file=sys.stderr)
        new = run is None
        if run is None:
            refuse_silence(parts)
            try_one_clip(parts)
            path = Path(str(config.out))
            run = RunFolder.create(path, as_plain(config)) if dist.is_main else RunFolder(path)
            if dist.is_main:
                owned.enter_context(only_one(path))
            dist.broadcast(None)  # the others wait for the folder
        watchers = [watcher for factory in callbacks for watcher in factory(parts, run)] if dist.is_main else []
        trainer = Trainer(parts.objective, parts.data, parts.length, config.train, run, dist, watchers, quiet=quiet)
        progress = trainer.restore()
        if not new and dist.is_main:
            note_continuation(run, config)
        already = progress.micro_step >= trainer.last_micro_step()
        start = time.monotonic()
        if already:
            trainer.finish()
        else:
            if dist.is_main:
                run.card.unlink(missing_ok=True)  # of an earlier end that is none any more
            progress = trainer.fit()
        end_run(trainer, progress)
        return RunResult(
            run=run.path,
            steps=progress.step,
            epochs=progress.epoch,
            loss=last_loss(run),
            seconds=0.0 if already else time.monotonic() - start,
            clips=parts.data.listed_clips,
            replaced=0 if already else parts.data.replaced(),
            already=already,
        )


def only_one(run: Path) -> AbstractContextManager[None]:
    """Hold a run folder: a second process that would train in it is refused and told who does."""
    return held(run / LOCK, f"the run {run}", "wait until that has ended, or stop it first")


def dry_run(config: PretrainConfig, measured_steps: int = MEASURED_STEPS) -> DryRun:
    """Estimate the cost of a run from a few steps; the data are opened and counted, nothing is written.

    Clips that are too few for one weight update are counted several times, and a note says so.
    """
    with dist_context(config.train.device) as dist:
        parts = assemble(config, dist, repeat_clips=True)
        cost = measure_cost(parts.objective, parts.data, parts.length, dist, measured_steps)
        return replace(cost, notes=(*getattr(parts.data, "notes", ()), *parts.notes))


def assemble(config: PretrainConfig, dist: DistContext, *, repeat_clips: bool = False) -> RunParts:
    """Open the data of a run, resolve what the settings leave to "auto", and build the objective.

    Args:
        repeat_clips: repeat a list that is too short for one weight update.

    Raises:
        AuricleError: for data or settings that cannot be trained.
    """
    sharded = config.train.parallel == "fsdp"
    if sharded and dist.world == 1:
        raise AuricleError(
            "--parallel fsdp spreads a network over several processes, and this is one: start it with 'torchrun "
            "--nproc-per-node N -m auricle …' (one process per GPU), or leave --parallel out"
        )
    method, notes = method_of(config), list[str]()
    data = method.open_data(config, dist)
    config = resolve_batch_size(config, method, data, dist)
    data.set_config(config)
    if repeat_clips and data.clips < data.update_clips:
        notes.append(
            f"a run as it stands is refused: one weight update takes {data.update_clips} clips and there are {data.clips}; "
            f"these figures are those with --min-ds-size {data.update_clips}, which repeats the list"
        )
        config = with_values(config, {"min_ds_size": data.update_clips})
        data = method.open_data(config, dist)
    length = TrainingLength.of(data.micro_steps(), config.train)
    train = with_warmup(config.train, length)
    if not (train.long_warmup or has_positive_rate(train, length)):
        train = replace(train, warmup_updates=0, warmup_epochs=0.0)
        updates = number_of(length.steps, "weight update")
        notes.append(f"no warm-up: a run of {updates} would end in it with a learning rate of 0, and learn nothing")
    elif train != config.train:
        notes.append(warmup_note(train, length))
    if train != config.train:
        config = replace(config, train=train)
        data.set_config(config)
    if config.train.start_epoch * length.per_epoch >= length.micro_steps:
        raise AuricleError(
            f"--start-epoch {config.train.start_epoch} lies behind the end of the run ({number_of(length.steps, 'weight update')}, "
            f"{length.micro_steps / length.per_epoch:g} epochs): nothing is left"
        )
    objective = build_objective(config, method, data)
    if sharded:
        from auricle.training.sharding import check_shardable  # its PyTorch modules take most of a second to import

        check_shardable(objective)
    return RunParts(config, dist, data, objective, length, tuple(notes))


def build_objective(config: PretrainConfig, method: Method, data: TrainingData) -> Objective:
    """Return the method's objective, with recomputed activations where the settings ask for them.

    Raises:
        AuricleError: if they do and the encoder has nothing to recompute.
    """
    objective = method.build(config, data)
    if not config.train.checkpoint_activations:
        return objective
    if not recompute_activations(objective.encoder()):
        raise AuricleError(
            "--checkpoint-activations recomputes the blocks of transformers, and this encoder has none; leave it out, "
            "and use a smaller --batch-size with --accum-iter"
        )
    recompute_activations(objective)  # also what only training has, such as a predictor
    return objective


def warmup_note(train: TrainConfig, length: TrainingLength) -> str:
    """Return a sentence about the warm-up of a run that left it to "auto"."""
    if train.schedule == "polynomial" or length.epochs is None:
        total = train.schedule_updates or length.steps
        return f"warm-up: {train.warmup_updates} of {total} weight updates (--warmup-updates sets another)"
    return f"warm-up: {train.warmup_epochs:g} of {length.epochs} epochs (--warmup-epochs sets another)"


def resolve_batch_size(config: PretrainConfig, method: Method, data: TrainingData, dist: DistContext) -> PretrainConfig:
    """Replace a batch size of auto by the largest that fits; accumulation keeps ``--effective-batch``."""
    if config.train.batch_size is not None:
        return config
    objective = build_objective(config, method, data).to(dist.device)
    wanted = -(-config.train.effective_batch // dist.world)
    size = min(dist.gather(largest_batch(objective, data, wanted)))
    return replace(config, train=replace(config.train, batch_size=size, accum_iter=wanted // size))


def default_folder(config: PretrainConfig) -> str:
    """Return a folder named by the method and the time.

    Raises:
        AuricleError: under ``torchrun --max-restarts``, where the processes that go on could not find it.
    """
    if int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", 0)):
        raise AuricleError("name the run folder with --out: processes that torchrun starts again find the run by it")
    return f"runs/{config.method}-{time.strftime('%y%m%d-%H%M%S')}"


SILENCE_CLIPS = 512  # looked at, until one holds sound


def refuse_silence(parts: RunParts) -> None:
    """Raise AuricleError for recordings without sound: nothing can be learnt of them."""
    data = parts.data
    if is_constant(data.first_clips(1)) and all(is_constant(batch) for batch in data.sample(SILENCE_CLIPS)):
        raise AuricleError(
            f"the recordings of {parts.config.source} hold no sound: every value of {min(SILENCE_CLIPS, data.clips)} clips is the "
            "same (digital silence), so nothing can be learnt. Play one of them, and check which channel was recorded"
        )


def try_one_clip(parts: RunParts) -> None:
    """Score one clip, so that networks and data that do not fit fail before a folder is made."""
    objective, device = parts.objective.to(parts.dist.device).eval(), parts.dist.device
    batch = parts.data.first_clips(1).to(device)
    with torch.no_grad():
        key = BatchKey(parts.config.train.seed, batch.epoch, batch.positions)
        objective.validate(batch, parts.length.at(0), key)
    objective.train()


def note_continuation(run: RunFolder, config: PretrainConfig) -> None:
    """Note the command in the run folder, and settings that were changed: they hold from here on."""
    run.note_command()
    if replace(read_settings(run.read_config(), str(run.config)), out=config.out) != config:
        run.write_config(as_plain(config))


def end_run(trainer: Trainer, progress: TrainProgress) -> None:
    """Do what follows the last weight update, unless an earlier call did: score the test list, call the callbacks.

    A run is complete once a callback wrote its card.
    """
    data, dist, run = trainer.data, trainer.dist, trainer.folder
    scored = any("test_loss" in row and row["step"] == progress.step for row in read_log(run.metrics, "validation"))
    if data.test is not None and not dist.broadcast(scored):
        trainer.score("test", progress, data.test.scored_batches())
    if dist.broadcast(run.card.is_file()):
        return
    if data.report():
        trainer.console.log(data.report())
    with trainer.replica.gathered(trainer.micro_step):
        for callback in trainer.callbacks:
            callback.on_end(trainer, progress)


def last_loss(run: RunFolder) -> float:
    """Return the loss at the end of a run, the mean of its last logged weight updates; NaN if there are none."""
    change = LossChange.of(read_log(run.metrics, "step"))
    return float("nan") if change is None else change.last
