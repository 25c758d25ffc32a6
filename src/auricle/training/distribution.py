"""Several processes as one run: ``torchrun`` starts them, this file is all that knows of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

import torch
from torch import distributed, nn

from auricle.training.allocator import tune_allocator
from auricle.training.batchnorm import synchronise
from auricle.training.precision import pick_device

# PyTorch 2.13 deadlocks when the last holder of a gloo group is a DDP module: the module's destructor waits, with the
# interpreter's lock, for a thread that needs that lock to let go of a tensor. Held here, a group ends with the process.
_ended_with_the_process: list[Any] = []


PATIENCE = timedelta(days=1)  # the others wait while rank 0 evaluates; a process that dies is torchrun's to notice


@dataclass(frozen=True)
class Ranks:
    """This process among ``world``; rank 0 alone writes, prints and evaluates."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """True on every rank when it is true on one of them."""
        if self.world == 1:
            return flag
        shared = torch.tensor([float(flag)], device=self.device)
        distributed.all_reduce(shared, op=distributed.ReduceOp.MAX)
        return bool(shared.item())

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """The mean of each value over ranks."""
        if self.world == 1:
            return values
        shared = torch.tensor(list(values.values()), device=self.device)
        distributed.all_reduce(shared)
        return dict(zip(values, (shared / self.world).tolist()))

    def agree(self, value: Any) -> Any:
        """Rank 0's value, on every rank."""
        box = [value]
        if self.world > 1:
            distributed.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value, on every rank."""
        if self.world == 1:
            return [value]
        box = [None] * self.world
        distributed.all_gather_object(box, value)
        return box

    def wrap(self, objective: nn.Module, *, unused: bool) -> nn.Module:
        """Gradients averaged over ranks in the backward pass; batch norm sees the whole batch."""
        if self.world == 1:
            return objective
        synchronise(objective)
        return nn.parallel.DistributedDataParallel(objective, broadcast_buffers=False, find_unused_parameters=unused)


@contextmanager
def ranks_of(device: str) -> Iterator[Ranks]:
    """The processes that ``torchrun`` started, or this one alone."""
    world, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    picked = pick_device(device, int(os.environ.get("LOCAL_RANK", 0)))
    if picked.type == "cuda":
        torch.cuda.set_device(picked)
    else:
        tune_allocator()
    if world == 1:
        yield Ranks(0, 1, picked)
        return
    backend = "nccl" if picked.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=PATIENCE)
    _ended_with_the_process.append(distributed.group.WORLD)
    try:
        yield Ranks(rank, world, picked)
    finally:
        distributed.destroy_process_group()


def leave(code: int) -> NoReturn:
    """End one of several processes here, with what it printed written out.

    A group's thread that wants the interpreter's lock while the interpreter is taken apart aborts the process.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def without_sync(module: nn.Module, skip: bool) -> AbstractContextManager:
    """Inside an accumulation group gradients stay local until its last micro-step."""
    return module.no_sync() if skip and isinstance(module, nn.parallel.DistributedDataParallel) else nullcontext()
