"""What one process trains of an objective: all of it, alone or beside equal replicas (DDP), or a share of every tensor (FSDP2)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.core.randomness import key_of
from auricle.data.batch import Batch
from auricle.methods.base import Objective
from auricle.methods.config import TrainConfig
from auricle.training.checkpoint import optimizer_tensors, restore_optimizer
from auricle.training.distributed import DistContext, without_sync


class Replica:
    """The replica of an objective that this process trains.

    With ``--parallel fsdp`` its parameters are shares of those of the objective. The main process then keeps the objective
    itself on the CPU, as a whole: ``gather`` gives it the present weights, for what is saved, evaluated and reported.
    Otherwise both are one, and gathering does nothing.

    Args:
        objective: with the weights to begin from, equal on all processes.
        config: the settings of the loop.
        precision: "float32", "bf16" or "fp16".
        dist: this process among those of the run.

    Attributes:
        whole: the objective as a whole, on the main process.
        objective: what is trained here: its parameters are updated, its hooks are called.
        network: what a micro-step calls.
    """

    def __init__(self, objective: Objective, config: TrainConfig, precision: str, dist: DistContext):
        self.whole, self.objective, self.dist, self.seed = objective, objective, dist, config.seed
        self.sharded = config.parallel == "fsdp"
        self.gathered_at: int | None = None  # micro-step
        self.network: nn.Module
        if self.sharded:
            self._shard(precision)
            return
        objective.to(dist.device)
        objective.encoder().prepare_training()
        self._averaging = dist.wrap(objective, unused=objective.unused_parameters)
        self.network = torch.compile(self._averaging) if config.compile else self._averaging  # type: ignore[assignment]

    def _shard(self, precision: str) -> None:
        from auricle.training.sharding import shard

        self.whole.cpu()
        self.objective = copy.deepcopy(self.whole) if self.dist.is_main else self.whole
        self._layerdrop = shard(self.objective, precision, self.dist.device)
        self.network = self._averaging = self.objective

    def begin_micro_step(self, micro_step: int, batch: Batch) -> None:
        """Seed what PyTorch draws in a micro-step: dropout on each process apart, skipped blocks of shares on all alike.

        Raises:
            AuricleError: with spread parameters, if the processes would run the blocks a different number of times: one would wait
                for the others for ever.
        """
        torch.manual_seed(key_of(self.seed, micro_step, self.dist.rank, "dropout") & 0x7FFF_FFFF)
        if self.sharded:
            self._layerdrop.manual_seed(key_of(self.seed, micro_step, "layerdrop") & 0x7FFF_FFFF)
            self._check_passes(batch)

    def _check_passes(self, batch: Batch) -> None:
        if type(self.objective).passes is Objective.passes:
            return  # once, on every process
        passes = self.dist.gather(self.objective.passes(batch))
        if len(set(passes)) > 1:
            raise AuricleError(
                "--parallel fsdp needs batches that the encoder takes in equally many chunks on all processes, here they take "
                f"{' and '.join(map(str, sorted(set(passes))))}: train on shorter crops (--seconds), or use --parallel ddp"
            )

    def without_sync(self, skip: bool) -> AbstractContextManager[None]:
        """Return a context that keeps gradients local if ``skip``: inside an accumulation group, until its last micro-step.

        Gradients of shares are averaged in every micro-step, because whole ones might not fit.
        """
        return without_sync(self._averaging, skip)

    def number(self, value: Tensor) -> Tensor:
        """Return a scalar that may be spread, such as a norm of gradients, as a plain one."""
        if not self.sharded:
            return value
        from auricle.training.sharding import whole

        return whole(value)

    def scoring(self) -> AbstractContextManager[None]:
        """Return a context in which this process may run the network alone, as often as it has batches to score."""
        if not self.sharded:
            return nullcontext()
        from auricle.training.sharding import unsharded

        return unsharded(self.objective)

    # ---- between shares and the whole: all processes take part

    def agreed(self, flag: bool) -> bool:
        """Return True on every process that has to take part if one of them wants to gather."""
        return self.dist.any(flag) if self.sharded else flag

    def gather(self, micro_step: int) -> None:
        """Give the whole objective the weights of this micro-step, once."""
        if not self.sharded or self.gathered_at == micro_step:
            return
        from auricle.training.sharding import gathered

        weights = gathered(self.objective.state_dict(), keep=self.dist.is_main)
        if self.dist.is_main:
            self.whole.load_state_dict(weights)
        self.gathered_at = micro_step

    @contextmanager
    def gathered(self, micro_step: int) -> Iterator[None]:
        """A context in which the main process has the whole objective with its present weights on the device."""
        self.gather(micro_step)
        moved = self.sharded and self.dist.is_main
        if moved:
            self.whole.to(self.dist.device)
        try:
            yield
        finally:
            if moved:
                self.whole.cpu()

    def optimizer_tensors(self, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
        """Return the whole state of the optimiser as flat tensors, on the main process."""
        tensors = optimizer_tensors(optimizer)
        if not self.sharded:
            return tensors
        from auricle.training.sharding import gathered

        return gathered(tensors, keep=self.dist.is_main)

    def restore(
        self, weights: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, state: dict[str, Tensor]
    ) -> None:
        """Load the weights and the optimiser's state of a checkpoint, which every process has read."""
        self._load(self.objective, weights)
        if self.sharded:
            from auricle.training.sharding import share_of

            parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            state = {name: share_of(value, parameters[int(name.split(".")[0])]) for name, value in state.items()}
        restore_optimizer(optimizer, state)

    def restore_encoder(self, weights: Mapping[str, Tensor]) -> None:
        """Load the weights of the encoder, which every process has read."""
        self._load(self.objective.encoder(), weights)

    def _load(self, module: nn.Module, weights: Mapping[str, Tensor]) -> None:
        if not self.sharded:
            module.load_state_dict(weights)
            return
        from auricle.training.sharding import restore_shares

        restore_shares(module, weights)
        self.gathered_at = None
