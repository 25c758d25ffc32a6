"""The cost of a run, from a few measured steps on real networks; and the largest batch that fits into memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from auricle.core.console import duration, number_of
from auricle.core.devices import autocast, resolve_precision
from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.data.batch import Batch
from auricle.methods.base import Objective, TrainProgress
from auricle.methods.data import TrainingData
from auricle.training.distributed import DistContext
from auricle.training.optimizers import TrainingLength, make_optimizer

MEMORY_RATIO = 0.7  # of what is free: the rest is for workspaces, the loader and other programs
COPIES_PER_WEIGHT = 4  # weight, gradient and AdamW's two moments, all float32
MEASURED_STEPS = 3


@dataclass(frozen=True)
class DryRun:
    """The cost of a run.

    tokens, visible  of one clip; those that the encoder sees; 0 where none are hidden (fine-tuning, distillation)
    memory           bytes of weights, gradients, optimiser state and saved activations of one micro-step
    flops            floating-point operations of one clip, forward and backward (a multiply-accumulate counts as two)
    seconds          of the whole run
    notes            sentences on settings that were resolved
    """

    parameters: int
    trained: int
    tokens: int
    visible: int
    clips: int
    clips_per_epoch: int
    batch_size: int
    accum_iter: int
    effective_batch: int
    steps: int
    micro_steps: int
    memory: int
    flops: int
    seconds_per_micro_step: float
    seconds: float
    precision: str
    device: str
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join(
            (
                f"parameters    {self.parameters:,} ({self.trained:,} trained)",
                *(
                    [f"tokens        {self.tokens} a clip, {self.visible} of them visible to the encoder"]
                    if self.tokens
                    else []
                ),
                f"data          {self.clips:,} clips"
                + (f", the list repeated to {self.clips_per_epoch:,}" if self.clips_per_epoch > self.clips else ""),
                f"batch         {self.batch_size} x {self.accum_iter} micro-steps = {self.effective_batch} clips a weight update",
                f"steps         {number_of(self.steps, 'weight update')}, {number_of(self.micro_steps, 'micro-step')}",
                f"step memory   {self.memory / 1e9:.2f} GB (weights, gradients, optimiser, saved activations)",
                f"operations    {self.flops / 1e9:.3g} GFLOP a clip, forward and backward",
                f"step time     {self.seconds_per_micro_step:.3f} s a micro-step on {self.device} in {self.precision} (measured)",
                f"run time      about {duration(self.seconds)}",
                *self.notes,
            )
        )


def measure_cost(
    objective: Objective, data: TrainingData, length: TrainingLength, dist: DistContext, steps: int = MEASURED_STEPS
) -> DryRun:
    """Measure a few steps of an objective on repeated clips of the data, and return the cost of the whole run."""
    objective.to(dist.device)
    train = data.train
    shares = dist.world if train.parallel == "fsdp" else 1
    memory = state_bytes(objective) // shares + saved_bytes(objective, data, data.batch_clips)
    flops = operations(objective, data)
    seconds = time_of_step(objective, data, steps)
    tokens, visible = data.config.tokens()
    return DryRun(
        parameters=sum(p.numel() for p in objective.parameters()),
        trained=sum(p.numel() for p in objective.parameters() if p.requires_grad),
        tokens=tokens,
        visible=visible,
        clips=data.listed_clips,
        clips_per_epoch=data.clips,
        batch_size=data.batch_clips,
        accum_iter=train.accum_iter,
        effective_batch=data.batch_clips * train.accum_iter * dist.world,
        steps=length.steps,
        micro_steps=length.micro_steps,
        memory=memory,
        flops=flops,
        seconds_per_micro_step=seconds,
        seconds=seconds * length.micro_steps,
        precision=resolve_precision(train.precision, dist.device),
        device=str(dist.device),
    )


def largest_batch(objective: Objective, data: TrainingData, wanted: int) -> int:
    """Return the largest divisor of ``wanted`` whose step fits into the free memory.

    Raises:
        AuricleError: if not even one clip fits.
    """
    one, two = (saved_bytes(objective, data, clips) for clips in (1, 2))
    available = MEMORY_RATIO * free_bytes(data.processes.device) - state_bytes(objective)
    fits = [n for n in range(1, wanted + 1) if wanted % n == 0 and one + (n - 1) * (two - one) <= available]
    if not fits:
        raise AuricleError(
            f"not even one clip fits: a step needs {one / 1e9:.2f} GB beside {state_bytes(objective) / 1e9:.2f} GB of weights and "
            f"optimiser, {free_bytes(data.processes.device) / 1e9:.2f} GB are free; try --checkpoint-activations, a smaller model, "
            "or several processes that share the network (--parallel fsdp)"
        )
    return max(fits)


def free_bytes(device: torch.device) -> int:
    """Return the free memory of a device, in bytes."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    with open("/proc/meminfo") as file:
        lines = dict(line.split(":") for line in file)
    return int(lines["MemAvailable"].split()[0]) * 1024


def state_bytes(objective: Objective) -> int:
    """Return the bytes of weights, buffers, gradients and optimiser state."""
    total = sum(value.numel() * value.element_size() for value in objective.state_dict().values())
    return total + (COPIES_PER_WEIGHT - 1) * sum(4 * p.numel() for p in objective.parameters() if p.requires_grad)


def saved_bytes(objective: Objective, data: TrainingData, clips: int) -> int:
    """Return the bytes that the forward pass saves for the backward pass, counted tensor by tensor."""
    with counting(objective) as count:
        loss = forward(objective, data, clips)
        loss.backward()
    objective.zero_grad(set_to_none=True)
    return count[0]


def operations(objective: Objective, data: TrainingData) -> int:
    """Return the floating-point operations of a clip's forward and backward pass, counted on two clips."""
    with FlopCounterMode(display=False) as counter:
        forward(objective, data, 2).backward()
    objective.zero_grad(set_to_none=True)
    return counter.get_total_flops() // 2


@contextmanager
def counting(objective: Objective) -> Iterator[list[int]]:
    """Yield a one-element list that grows by the bytes of every storage saved for backward, each counted once."""
    weights = {p.untyped_storage().data_ptr() for p in objective.parameters()}
    seen: set[int] = set(weights)
    count = [0]

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            count[0] += storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield count


def forward(objective: Objective, data: TrainingData, clips: int) -> torch.Tensor:
    """Return the loss of one batch: the first clip of the data, ``clips`` times."""
    batch, device = repeated(data.first_clips(1), clips).to(data.processes.device), data.processes.device
    with autocast(resolve_precision(data.train.precision, device), device):
        return objective(batch, TrainProgress(0, 1, 0, 1, 0.0, 1), BatchKey(0, 0, batch.positions))[0]


def repeated(batch: Batch, clips: int) -> Batch:
    """Return a batch of one clip repeated."""
    ids, positions = tuple(str(i) for i in range(clips)), tuple(range(clips))
    return batch.map(lambda x: x.expand(clips, *x.shape[1:]), ids=ids, positions=positions)


def time_of_step(objective: Objective, data: TrainingData, steps: int) -> float:
    """Return the median seconds of a micro-step with a weight update, after one to warm up."""
    train, device, times = data.train, data.processes.device, []
    optimizer = make_optimizer(objective.param_groups(train.weight_decay), train.optim, 0.0)
    for _ in range(steps + 1):
        start = time.perf_counter()
        forward(objective, data, data.batch_clips).backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return sorted(times[1:])[steps // 2]
