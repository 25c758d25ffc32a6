"""What one process trains of an objective: all of it, alone or beside equal replicas (DDP)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from auricle.core.randomness import key_of
from auricle.data.batch import Batch
from auricle.methods.base import Objective
from auricle.methods.config import TrainConfig
from auricle.training.checkpoint import optimizer_tensors, restore_optimizer
from auricle.training.distributed import DistContext, without_sync


def replica_of(objective: Objective, config: TrainConfig, precision: str, dist: DistContext) -> Replica:
    """Return the replica that this process trains: shares of every tensor with ``--parallel fsdp``, else all of them.

    Args:
        objective: with the weights to begin from, equal on all processes.
        config: the settings of the loop.
        precision: "float32", "bf16" or "fp16".
        dist: this process among those of the run.
    """
    if config.parallel == "fsdp":
        from auricle.training.sharded_replica import ShardedReplica

        return ShardedReplica(objective, config, precision, dist)
    return Replica(objective, config, dist)


class Replica:
    """The replica of an objective that this process trains, as a whole. ``ShardedReplica`` trains shares of it.

    Methods about the whole and the shares (``gather`` …) are called by all processes alike; here they do nothing.

    Attributes:
        whole: the objective as a whole, on the main process: what is saved, evaluated and reported.
        objective: what is trained here: its parameters are updated, its hooks are called.
        network: what a micro-step calls.
    """

    def __init__(self, objective: Objective, config: TrainConfig, dist: DistContext):
        self.whole, self.objective, self.dist, self.seed = objective, objective, dist, config.seed
        objective.to(dist.device)
        objective.encoder().prepare_training()
        self.averaging: nn.Module = dist.wrap(objective, unused=objective.unused_parameters)
        self.network: nn.Module = torch.compile(self.averaging) if config.compile else self.averaging  # type: ignore[assignment]

    def begin_micro_step(self, micro_step: int, batch: Batch) -> None:
        """Seed what PyTorch draws in a micro-step, such as dropout, on each process apart."""
        torch.manual_seed(key_of(self.seed, micro_step, self.dist.rank, "dropout") & 0x7FFF_FFFF)

    def without_sync(self, skip: bool) -> AbstractContextManager[None]:
        """Return a context that keeps gradients local if ``skip``: inside an accumulation group, until its last micro-step."""
        return without_sync(self.averaging, skip)

    def number(self, value: Tensor) -> Tensor:
        """Return a scalar that may be spread, such as a norm of gradients, as a plain one."""
        return value

    def scoring(self) -> AbstractContextManager[None]:
        """Return a context in which this process may run the network alone, as often as it has batches to score."""
        return nullcontext()

    def agreed(self, flag: bool) -> bool:
        """Return True on every process that has to take part if one of them wants to gather."""
        return flag

    def gather(self, micro_step: int) -> None:
        """Give the whole objective the weights of this micro-step, once."""

    @contextmanager
    def gathered(self, micro_step: int) -> Iterator[None]:
        """A context in which the main process has the whole objective with its present weights on the device."""
        yield

    def optimizer_tensors(self, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
        """Return the whole state of the optimiser as flat tensors, on the main process."""
        return optimizer_tensors(optimizer)

    def restore(
        self, weights: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, state: dict[str, Tensor]
    ) -> None:
        """Load the weights and the optimiser's state of a checkpoint, which every process has read."""
        self.load(self.objective, weights)
        restore_optimizer(optimizer, state)

    def restore_encoder(self, weights: Mapping[str, Tensor]) -> None:
        """Load the weights of the encoder, which every process has read."""
        self.load(self.objective.encoder(), weights)

    def load(self, module: nn.Module, weights: Mapping[str, Tensor]) -> None:
        """Load whole weights into a part of the objective that is trained here."""
        module.load_state_dict(weights)
