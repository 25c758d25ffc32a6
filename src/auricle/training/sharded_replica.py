"""What one process trains of an objective whose parameters are spread over the processes: a share of every tensor (FSDP2)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.core.randomness import key_of
from auricle.data.batch import Batch
from auricle.methods.base import Objective
from auricle.methods.config import TrainConfig
from auricle.training.checkpoint import restore_optimizer
from auricle.training.distributed import DistContext
from auricle.training.replica import Replica
from auricle.training.sharding import gathered, restore_shares, shard, share_of, unsharded, whole


class ShardedReplica(Replica):
    """The share of an objective that this process trains (``--parallel fsdp``).

    The main process keeps the objective itself on the CPU, as a whole: ``gather`` gives it the present weights, for what is
    saved, evaluated and reported. Gradients are averaged in every micro-step, because whole ones might not fit.
    """

    def __init__(self, objective: Objective, config: TrainConfig, precision: str, dist: DistContext):
        self.whole, self.dist, self.seed = objective.cpu(), dist, config.seed
        self.objective = copy.deepcopy(objective) if dist.is_main else objective  # elsewhere nobody needs the whole
        self.layerdrop = shard(self.objective, precision, dist.device)
        self.network = self.averaging = self.objective
        self.gathered_at: int | None = None  # micro-step

    def begin_micro_step(self, micro_step: int, batch: Batch) -> None:
        """Seed what PyTorch draws in a micro-step: dropout on each process apart, skipped blocks on all alike.

        Raises:
            AuricleError: the processes would run the blocks a different number of times: one would wait for the others for ever.
        """
        super().begin_micro_step(micro_step, batch)
        self.layerdrop.manual_seed(key_of(self.seed, micro_step, "layerdrop") & 0x7FFF_FFFF)
        if type(self.objective).passes is Objective.passes:
            return  # once, on every process
        passes = self.dist.gather(self.objective.passes(batch))
        if len(set(passes)) > 1:
            raise AuricleError(
                "--parallel fsdp needs batches that the encoder takes in equally many chunks on all processes, here they take "
                f"{' and '.join(map(str, sorted(set(passes))))}: train on shorter crops (--seconds), or use --parallel ddp"
            )

    def number(self, value: Tensor) -> Tensor:
        return whole(value)

    def scoring(self) -> AbstractContextManager[None]:
        return unsharded(self.objective)

    def agreed(self, flag: bool) -> bool:
        return self.dist.any(flag)

    def gather(self, micro_step: int) -> None:
        if self.gathered_at == micro_step:
            return
        weights = gathered(self.objective.state_dict(), keep=self.dist.is_main)
        if self.dist.is_main:
            self.whole.load_state_dict(weights)
        self.gathered_at = micro_step

    @contextmanager
    def gathered(self, micro_step: int) -> Iterator[None]:
        self.gather(micro_step)
        if not self.dist.is_main:
            yield
            return
        self.whole.to(self.dist.device)
        try:
            yield
        finally:
            self.whole.cpu()

    def optimizer_tensors(self, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
        return gathered(super().optimizer_tensors(optimizer), keep=self.dist.is_main)

    def restore(
        self, weights: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, state: dict[str, Tensor]
    ) -> None:
        self.load(self.objective, weights)
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        shares = {name: share_of(value, parameters[int(name.split(".")[0])]) for name, value in state.items()}
        restore_optimizer(optimizer, shares)

    def load(self, module: nn.Module, weights: Mapping[str, Tensor]) -> None:
        restore_shares(module, weights)
        self.gathered_at = None
