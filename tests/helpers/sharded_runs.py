"""Run by ``torchrun``: small runs with whole and with spread parameters, one after the other in one launch.

``sharded_runs.py FOLDER NAME…``: the functions below, each of which trains into FOLDER/<run>; a name with colons is one for
``sharded_steps.compare``, whose answers are written to FOLDER/steps.json. FOLDER/data, FOLDER/sounds and
FOLDER/m2d.safetensors are made before.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import nullcontext
from pathlib import Path

import torch

from auricle.commands.finetune.detector import detector_files
from auricle.commands.finetune.finetune import finetune_run
from auricle.commands.pretrain import continue_run, pretrain
from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.methods.base import TrainProgress
from auricle.methods.config import TrainConfig
from auricle.training import run as runs
from auricle.training.distributed import DistContext, dist_context, exit_process
from auricle.training.loop import Trainer
from auricle.training.optimizers import make_optimizer
from auricle.training.replica import replica_of
from helpers.finetune_runs import config as finetune_config
from helpers.sharded_steps import CASES, compare
from helpers.training_runs import config

SETTINGS = dict(epochs=3, batch_size=2, accum_iter=2, checkpoint_steps=2, feature_eval_freq=1, eval_freq=1, save_freq=2)
STOPPED_AT = 7  # micro-step, of 12: the second one of a group


def evaluate(encoder, progress) -> dict[str, float]:
    """A score of the encoder that the main process works out alone."""
    with torch.no_grad():
        clip = encoder.for_inference()(torch.linspace(-0.5, 0.5, 8000)[None]).clip
    return {"score": float(clip.abs().mean())}


def pretrain_with(folder: Path, name: str, parallel: str, **changes) -> None:
    settings = config(folder / "data", folder / name, **{**SETTINGS, "parallel": parallel, **changes})
    pretrain(settings, evaluate=evaluate, quiet=True)


def whole(folder: Path, dist: DistContext) -> None:
    pretrain_with(folder, "whole", "ddp")


def spread(folder: Path, dist: DistContext) -> None:
    pretrain_with(folder, "spread", "fsdp")


def terminated(folder: Path, dist: DistContext) -> None:
    """The scheduler asks rank 1 alone to end: both save, stop and continue."""
    real = Trainer.train_batch

    def train_batch(self, batch, progress):
        if self.dist.rank == 1 and progress.micro_step == STOPPED_AT:
            os.kill(os.getpid(), signal.SIGTERM)
        return real(self, batch, progress)

    Trainer.train_batch = train_batch
    try:
        pretrain_with(folder, "terminated", "fsdp")
        raise AssertionError("the run was not stopped")
    except KeyboardInterrupt:
        pass
    finally:
        Trainer.train_batch = real
    continue_run(folder / "terminated", evaluate=evaluate, quiet=True)


def changing(folder: Path, dist: DistContext) -> None:
    """An epoch by DDP, one with spread parameters, and one by DDP."""
    pretrain_with(folder, "changing", "ddp", stop_at=1)
    for stop, parallel in ((2, "fsdp"), (None, "ddp")):
        changes = {"parallel": parallel, "stop_at": stop}
        continue_run(folder / "changing", changes, allow=("parallel", "stop_at"), evaluate=evaluate, quiet=True)


def killed(folder: Path, dist: DistContext) -> None:
    """Rank 0 dies in the first attempt; ``torchrun`` starts both again."""
    real = Trainer.train_batch

    def train_batch(self, batch, progress):
        first = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
        if first and dist.is_main and progress.micro_step == STOPPED_AT:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, batch, progress)

    Trainer.train_batch = train_batch
    pretrain_with(folder, "killed", "fsdp")


def learn(folder: Path, name: str, parallel: str) -> None:
    """Learn labels, keep the best epoch, and make the run a detector at its end. Rank 0 has more batches to score."""
    settings = dict(epochs=2, batch_size=2, optim="sgd", lr=1e-2, how="full", calibrate="on", valid_ratio=0.4)
    settings["parallel"] = parallel
    made = finetune_config(folder / "sounds", folder / name, folder / "m2d.safetensors", **settings)
    finetune_run(made, callbacks=detector_files(made), quiet=True)


def labels(folder: Path, dist: DistContext) -> None:
    learn(folder, "labels-whole", "ddp")
    learn(folder, "labels-spread", "fsdp")


def unequal(folder: Path, dist: DistContext) -> None:
    """Clips of rank 1 take two chunks, those of rank 0 one: both processes are told so instead of waiting for each other."""
    objective = CASES["supervised"][0]()
    objective.online.augment_in_training(mask_ratio=0.5)
    replica = replica_of(objective, TrainConfig(parallel="fsdp"), "float32", dist)
    batch = CASES["supervised"][1](2).map(lambda x: x.repeat(1, 1, 2) if dist.rank and x.ndim == 3 else x)
    try:
        replica.begin_micro_step(0, batch)
        message = ""
    except AuricleError as error:
        message = str(error)
    told = dist.gather(message)
    if dist.is_main:
        (folder / "unequal.json").write_text(json.dumps(told))


def overflow(folder: Path, dist: DistContext) -> None:
    """The scaled gradient is infinite in the shares of rank 1 alone."""
    replica = replica_of(CASES["m2d"][0](), TrainConfig(parallel="fsdp"), "float32", dist)
    optimizer = make_optimizer(replica.objective.param_groups(0.05), "adamw", 1e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    batch = CASES["m2d"][1](2)
    loss, _ = replica.network(batch, TrainProgress(0, 1, 0, 1, 0.0, None), BatchKey(0, 0, batch.positions))
    scaler.scale(loss).backward()
    trained = [parameter for parameter in replica.objective.parameters() if parameter.grad is not None]
    before = [parameter.to_local().clone() for parameter in trained]
    if dist.rank == 1:
        trained[0].grad.to_local().fill_(torch.inf)
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    same = all(torch.equal(parameter.to_local(), value) for parameter, value in zip(trained, before, strict=True))
    told = dist.gather({"scale": scaler.get_scale(), "skipped": same})
    if dist.is_main:
        (folder / "overflow.json").write_text(json.dumps(told))


def main(folder: str, *names: str) -> None:
    torch.set_num_threads(1)
    with dist_context("cpu", quiet=True) as dist:
        runs.dist_context = lambda device, quiet=False: nullcontext(dist)
        for name in names:
            if ":" not in name:
                globals()[name](Path(folder), dist)
        steps = {name: compare(name, dist) for name in names if ":" in name}
        if steps and dist.is_main:
            Path(folder, "steps.json").write_text(json.dumps(steps))


if __name__ == "__main__":
    main(*sys.argv[1:])
    exit_process(0)
