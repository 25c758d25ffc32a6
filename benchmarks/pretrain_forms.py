"""The forms of a pre-training step that ``benchmarks.pretrain_step`` compares, each served by a process of its own.

The process reads commands from stdin and answers each with one line of JSON: ``step N`` takes training step N and says
what it cost, ``end`` says the peak memory and the operations of a step. While it waits it uses no processor, so that
rounds of several forms can be interleaved, and each form's peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from auricle.core.devices import tune_allocator
from auricle.core.randomness import BatchKey
from auricle.data.batch import Batch
from auricle.hub.convert.m2d import to_ours
from auricle.hub.run_folder import RunFolder
from auricle.methods.base import Objective
from auricle.methods.config import TrainConfig
from auricle.methods.m2d.config import M2DConfig
from auricle.methods.m2d.targets import decay_at
from auricle.models.m2d.config import ViTConfig, parse_size
from auricle.training.distributed import DistContext
from auricle.training.loop import Trainer
from auricle.training.optimizers import TrainingLength, rate_at
from benchmarks.plain import m2d_plain
from benchmarks.pretrain_methods import FEATURE_FRAMES, METHODS, STATS, features_of

Step = Callable[[int], float]  # number of the step -> its loss
MATMUL = 4096  # rows and columns of the square product that the peak is measured with


class Task:
    """What all forms train on: initial weights, and by step number inputs, mask noise, learning rate."""

    def __init__(self, args: argparse.Namespace):
        self.method = METHODS[args.method]
        sizes = args.input_size or self.method.input_size, args.patch_size or self.method.patch_size
        self.batch, self.model, self.device = args.batch, ViTConfig(*sizes), args.device
        self.config = TrainConfig(
            batch_size=args.batch, max_updates=max(2, args.rounds + 1), precision="bf16", compile=args.compile
        )
        self.folder = tempfile.TemporaryDirectory()  # of the run; goes with the process
        self.plan = TrainingLength.of(self.config.max_updates, self.config)

    def plain(self) -> torch.nn.Module:
        """The plain model with its initial weights: the same ones in every process."""
        torch.manual_seed(0)
        return self.method.plain(self.model)

    def values(self, step: int) -> torch.Tensor:
        """(B, F, T) normalised log-mel, random."""
        generator = torch.Generator().manual_seed(step)
        return torch.randn(self.batch, *parse_size(self.model.input_size), generator=generator)

    def features(self, step: int) -> torch.Tensor | None:
        """(B, T', D) stored targets, where the method has them."""
        return features_of(self.model, self.batch, step) if self.method.features else None

    def key(self, step: int) -> BatchKey:
        return BatchKey(self.config.seed, step, tuple(range(self.batch)))

    def rate(self, step: int) -> float:
        return rate_at(self.plan.at(step), self.config, self.config.peak_lr(1))


def plain_form(task: Task, autocast: torch.dtype | None) -> Step:
    """The step of plain/m2d_plain.py or m2d_family_plain.py; on a GPU its float32 matrix products are TF32."""
    torch.set_float32_matmul_precision("high" if task.device == "cuda" else "highest")
    model = task.plain().to(task.device)
    for teacher in getattr(model, "teacher", ()):
        teacher.to(task.device)
    optimizer = m2d_plain.make_optimizer(model, lr=0.0)

    def step(number: int) -> float:
        for group in optimizer.param_groups:
            group["lr"] = task.rate(number)
        rows, columns = task.model.grid
        noise = torch.from_numpy(task.key(number).uniform("mask", rows * columns)).to(task.device)
        features = task.features(number)
        stored = () if features is None else (features.to(task.device),)
        with torch.autocast(task.device, dtype=autocast, enabled=autocast is not None):
            loss = model(task.values(number)[:, None].to(task.device), noise, *stored)
        value = loss.item()
        loss.backward()
        objective = M2DConfig()
        decay = decay_at(task.plan.at(number), objective.ema_decay_init, objective.ema_decay)
        m2d_plain.apply_step(model, optimizer, task.config.clip_grad, decay)
        return value

    return step


def trainer_of(objective: Objective, task: Any) -> Trainer:
    """All that a run of ours sets up, in the task's folder, with the task's draws."""
    run = RunFolder.create(Path(task.folder.name) / "run", {})
    ranks = DistContext(0, 1, torch.device(task.device))
    data = SimpleNamespace(valid=None, key="")
    trainer = Trainer(objective, data, task.plan, task.config, run, ranks, quiet=True)
    trainer.key = lambda batch: task.key(batch.epoch)  # type: ignore[method-assign]
    return trainer


def auricle_form(task: Task) -> Step:
    """Auricle's own objective in its own loop: ``Trainer.train_batch``, and all that a run of ours sets up."""
    tune_allocator()
    plain = task.plain()
    objective = task.method.ours(task.model, plain)
    objective.load_state_dict({**to_ours(plain.state_dict()), "online.norm_stats": torch.tensor(STATS)})
    del plain
    trainer = trainer_of(objective, task)

    def step(number: int) -> float:
        features = task.features(number)
        batch = Batch(
            lengths=torch.full((task.batch,), parse_size(task.model.input_size)[1]),
            ids=tuple(map(str, range(task.batch))),
            rate=task.model.sample_rate,
            spec=task.values(number),
            front_end=objective.online.info.front_end,
            targets=None if features is None else {"frames": features},
            target_hop=FEATURE_FRAMES / 100,
            epoch=number,
            positions=tuple(range(task.batch)),
        )
        done = trainer.train_batch(batch, task.plan.at(number))
        assert done is not None
        return float(done["loss"])

    return step


def matmul_form(task: Task) -> Step:
    """One square product in bfloat16: what the machine can do in the same minute."""
    a, b = (torch.randn(MATMUL, MATMUL, device=task.device, dtype=torch.bfloat16) for _ in range(2))
    return lambda number: float((a @ b)[0, 0])


FORMS: dict[str, Callable[[Task], Step]] = {
    "plain float32": lambda task: plain_form(task, None),
    "plain bf16": lambda task: plain_form(task, torch.bfloat16),
    "auricle": auricle_form,
    "matmul": matmul_form,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that both sides of the pipe know."""
    parser.add_argument("--method", default="m2d", choices=tuple(METHODS), help="what is learnt")
    parser.add_argument("--input-size", help="mel bins x frames (default: the method's)")
    parser.add_argument("--patch-size", help="mel bins x frames (default: the method's)")
    common_arguments(parser, batch=8, rounds=30)


def common_arguments(parser: argparse.ArgumentParser, batch: int, rounds: int) -> None:
    """What every method's step is measured with; ``batch`` and ``rounds`` are defaults."""
    parser.add_argument("--batch", type=int, default=batch, help="clips per step")
    parser.add_argument("--rounds", type=int, default=rounds, help="steps of each form after one of warm-up")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--compile", action="store_true", help="torch.compile for Auricle's form (GPU)")
    parser.add_argument(
        "--clock",
        default="wall",
        choices=("wall", "cpu"),
        help="cpu: processor seconds, where others use the machine",
    )


def timed(step: Step, number: int, args: argparse.Namespace) -> dict[str, float]:
    clock = time.perf_counter if args.clock == "wall" else time.process_time
    start = clock()
    loss = step(number)
    if args.device == "cuda":
        torch.cuda.synchronize()
    return {"seconds": clock() - start, "loss": loss}


def closing(step: Step, number: int, args: argparse.Namespace) -> dict[str, float]:
    """Peak memory in MiB so far, then the floating-point operations of one more step."""
    if args.device == "cuda":
        peak = torch.cuda.max_memory_allocated() / 2**20
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    with FlopCounterMode(display=False) as counter:
        step(number)
    return {"peak_mib": peak, "operations": counter.get_total_flops()}


def serve(
    forms: Mapping[str, Callable[[Any], Step]],
    task: Callable[[argparse.Namespace], Any],
    arguments: Callable[[argparse.ArgumentParser], None],
) -> None:
    """One form of a step, answering commands until ``end``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("form", choices=forms)
    arguments(parser)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    step, number = forms[args.form](task(args)), 0
    for line in sys.stdin:
        if line.strip() == "end":
            print(json.dumps(closing(step, number, args)), flush=True)
            return
        number = int(line.split()[1])
        print(json.dumps(timed(step, number, args)), flush=True)


if __name__ == "__main__":
    serve(FORMS, Task, add_arguments)
