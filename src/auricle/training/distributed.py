"""Several processes as one run. ``torchrun`` starts them; no other module deals with process groups."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce

from auricle.core.devices import pick_device, tune_allocator

# PyTorch 2.13 deadlocks when the last holder of a gloo group is a DDP module: the module's destructor holds the interpreter's
# lock while it waits for a thread that needs this lock to release a tensor. Held here, a group ends with the process.
_groups: list[Any] = []


TIMEOUT = timedelta(days=1)  # the others wait while rank 0 evaluates; torchrun notices a process that dies


@dataclass(frozen=True)
class DistContext:
    """One process of a run: its rank among ``world`` processes, its device, and whether it shows no progress."""

    rank: int
    world: int
    device: torch.device
    quiet: bool = False

    @property
    def is_main(self) -> bool:
        """True for the process that writes, prints and evaluates."""
        return self.rank == 0

    def any(self, flag: bool) -> bool:
        """Return True on every rank if ``flag`` is true on one of them."""
        if self.world == 1:
            return flag
        shared = torch.tensor([float(flag)], device=self.device)
        distributed.all_reduce(shared, op=distributed.ReduceOp.MAX)
        return bool(shared.item())

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """Return the mean of each value over ranks."""
        if self.world == 1:
            return values
        shared = torch.tensor(list(values.values()), device=self.device)
        distributed.all_reduce(shared)
        return dict(zip(values, (shared / self.world).tolist()))

    def broadcast(self, value: Any) -> Any:
        """Return the value of rank 0, on every rank."""
        box = [value]
        if self.world > 1:
            distributed.broadcast_object_list(box, src=0)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, on every rank."""
        if self.world == 1:
            return [value]
        box = [None] * self.world
        distributed.all_gather_object(box, value)
        return box

    def wrap(self, objective: nn.Module, *, unused: bool) -> nn.Module:
        """Average gradients over ranks in the backward pass, and normalise by the batch of all ranks.

        ``unused``: some parameters may take no part in a step.
        """
        if self.world == 1:
            return objective
        synchronise(objective)
        return nn.parallel.DistributedDataParallel(objective, broadcast_buffers=False, find_unused_parameters=unused)


@contextmanager
def dist_context(device: str, *, quiet: bool = False) -> Iterator[DistContext]:
    """Open the context of the processes that ``torchrun`` started, or of this one alone."""
    world, rank = int(os.environ.get("WORLD_SIZE", 1)), int(os.environ.get("RANK", 0))
    chosen = pick_device(device, int(os.environ.get("LOCAL_RANK", 0)))
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    else:
        tune_allocator()
    if world == 1:
        yield DistContext(0, 1, chosen, quiet)
        return
    backend = "nccl" if chosen.type == "cuda" else "gloo"
    store = store_of_this_attempt()
    distributed.init_process_group(backend, timeout=TIMEOUT, store=store, rank=rank, world_size=world)
    _groups.append(distributed.group.WORLD)
    try:
        yield DistContext(rank, world, chosen, quiet or rank > 0)
    finally:
        distributed.destroy_process_group()


def store_of_this_attempt() -> distributed.Store:
    """Return the store through which the processes find each other, without what an earlier attempt left there.

    The ``torchrun`` of PyTorch 2.13 keeps one store over all its restarts: processes that are started again read the addresses of
    dead ones, and gloo cannot connect or never ends. On one machine all processes know the number of the attempt. Agents of several
    machines count differently; there ``TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1`` makes ``torchrun`` open a store per attempt.
    """
    store, _, world = next(distributed.rendezvous("env://", timeout=TIMEOUT))
    if int(os.environ.get("LOCAL_WORLD_SIZE", 0)) != world:
        return store
    return distributed.PrefixStore(f"attempt-{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)


def exit_process(code: int) -> NoReturn:
    """End this process at once, after writing out what it printed.

    A thread of a process group that asks for the interpreter's lock during shutdown would abort the process.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def without_sync(module: nn.Module, skip: bool) -> AbstractContextManager:
    """Return a context that keeps gradients local if ``skip``: inside an accumulation group, until its last micro-step."""
    return module.no_sync() if skip and isinstance(module, nn.parallel.DistributedDataParallel) else nullcontext()


class RankBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm of (B, C, …) over the batch of all ranks, on any device (PyTorch's own needs a GPU).

    With it two ranks equal one with the double batch. Evaluation is that of the ordinary batch norm.
    """

    def _check_input_dim(self, x: Tensor) -> None:
        if x.ndim < 2:
            raise ValueError(f"expected (B, C, ...), got {tuple(x.shape)}")

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        axes = [i for i in range(x.ndim) if i != 1]
        shape = [1, -1, *[1] * (x.ndim - 2)]
        wide = x.float()
        count = all_reduce(wide.new_tensor([wide.numel() / wide.shape[1]]))
        mean = all_reduce(wide.sum(axes)) / count
        variance = all_reduce((wide - mean.view(shape)).square().sum(axes)) / count
        self._update_running(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        normal = (wide - mean.view(shape)) * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(x.dtype)

    def _update_running(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics, with the unbiased variance, as PyTorch does."""
        if not self.track_running_stats:
            return
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        momentum = 1.0 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance, momentum)


def synchronise(module: nn.Module) -> nn.Module:
    """Replace every batch norm of a module by one over all ranks; parameters and statistics stay."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return module
    for name, child in module.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            setattr(module, name, _replaced(child))
        else:
            synchronise(child)
    return module


def _replaced(old: nn.modules.batchnorm._BatchNorm) -> RankBatchNorm:
    """A batch norm over all ranks with the parameters themselves, which an optimiser may hold already."""
    new = RankBatchNorm(old.num_features, old.eps, old.momentum, old.affine, old.track_running_stats)
    new._parameters, new._buffers = old._parameters, old._buffers
    return new.train(old.training)
