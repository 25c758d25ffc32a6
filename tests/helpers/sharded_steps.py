"""Weight updates of small objectives on each of several processes, by DDP and with spread parameters, and how far they differ.

What is compared is written NAME:PRECISION:OPTIMISER, with a name of ``CASES``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from auricle.core.devices import autocast
from auricle.core.randomness import BatchKey
from auricle.data.batch import Batch
from auricle.methods.base import Objective, TrainProgress
from auricle.methods.config import TrainConfig
from auricle.models.layers.transformer import recompute_activations
from auricle.training.distributed import DistContext
from auricle.training.optimizers import make_optimizer
from auricle.training.replica import replica_of
from helpers import mae_ast_tiny, objectives

CLIPS, UPDATES = 4, 3


def convolutions(network: str) -> Callable[[], Objective]:
    """Learning labels with an encoder that has batch norms; without dropout, which every rank draws for itself."""

    def objective() -> Objective:
        from auricle.methods.supervised.config import AugmentConfig, LearningConfig
        from auricle.methods.supervised.objective import Supervised
        from auricle.models.efficientat import config, dymn, mn

        names = [(f"class {c}", f"class {c}") for c in range(objectives.CLASSES)]
        make, settings = {"MN": (mn.MN, config.MNConfig), "DyMN": (dymn.DyMN, config.DyMNConfig)}[network]
        encoder = make(settings(width=0.1, num_classes=objectives.CLASSES), seed=1, classes=names)
        for module in encoder.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        return Supervised(encoder, LearningConfig(), AugmentConfig(), lr=2e-3)

    return objective


def labelled_sound(clips: int) -> Batch:
    return replace(objectives.heard(clips), labels=objectives.labelled(clips).labels, rate=32000)


def recomputed() -> Objective:
    objective = objectives.m2d()
    recompute_activations(objective)
    return objective


CASES = {
    **{name: (case.make, case.batch) for name, case in objectives.OBJECTIVES.items()},
    "mn": (convolutions("MN"), labelled_sound),
    "dymn": (convolutions("DyMN"), labelled_sound),
    "recomputed": (recomputed, objectives.spectrograms),
    "layerdrop": (lambda: mae_ast_tiny.tiny("patch-chunk", encoder_layerdrop=0.5), objectives.kaldi),
}


def learn(case: str, parallel: str, precision: str, optim: str, dist: DistContext) -> dict:
    """Make a few weight updates on this rank's half of the clips; return what came out, whole."""
    make, clips = CASES[case]
    config = TrainConfig(parallel=parallel, optim=optim)
    replica = replica_of(make(), config, precision, dist)
    objective = replica.objective
    optimizer = make_optimizer(objective.param_groups(0.05), optim, 1e-3)
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    batch, share = clips(CLIPS), CLIPS // dist.world
    mine = slice(dist.rank * share, (dist.rank + 1) * share)
    batch = batch.map(lambda x: x[mine], ids=batch.ids[mine], positions=batch.positions[mine])
    key = BatchKey(0, 0, batch.positions)
    losses, norms = [], []
    objective.train()
    for step in range(UPDATES):
        progress = TrainProgress(step, UPDATES, step, UPDATES, 0.0, None)
        replica.begin_micro_step(step, batch)
        with autocast(precision, dist.device):
            loss, log = replica.network(batch, progress, key)
        loss.backward()
        norm = replica.number(torch.nn.utils.clip_grad_norm_(trained, 0.5, foreach=True))
        optimizer.step()
        optimizer.zero_grad()
        objective.after_step(progress)
        losses.append(dist.mean({"loss": float(log["loss"])})["loss"])
        norms.append(float(norm))
    objective.eval()
    with torch.no_grad(), autocast(precision, dist.device):
        objective.diagnose(batch, key)
        with replica.scoring():
            for _ in range(1 + dist.rank):  # rank 1 has one batch more
                objective.validate(batch, progress, key)
    held = held_bytes(objective, optimizer)
    moments = replica.optimizer_tensors(optimizer)
    replica.gather(UPDATES)
    weights = {name: value.clone() for name, value in replica.whole.state_dict().items()} if dist.is_main else {}
    return {"losses": losses, "norms": norms, "weights": weights, "moments": moments, "held": held}


def restored(case: str, optim: str, saved: dict, dist: DistContext) -> bool:
    """Return True if spread parameters give back, to the bit, the whole weights and moments that they are restored from."""
    replica = replica_of(CASES[case][0](), TrainConfig(parallel="fsdp", optim=optim), "float32", dist)
    optimizer = make_optimizer(replica.objective.param_groups(0.05), optim, 1e-3)
    weights, moments = dist.broadcast((saved["weights"], saved["moments"]))
    replica.restore(weights, optimizer, moments)
    replica.gather(0)
    back = replica.optimizer_tensors(optimizer)
    if not dist.is_main:
        return True
    return not farthest(saved["weights"], replica.whole.state_dict()) and not farthest(saved["moments"], back)


def held_bytes(objective: Objective, optimizer: torch.optim.Optimizer) -> list[int]:
    """Bytes that this process holds between two steps: of parameters, and of the optimiser's state."""
    parameters = list(objective.parameters())
    state = [value for values in optimizer.state.values() for value in values.values()]
    return [sum(_bytes(tensor) for tensor in tensors) for tensors in (parameters, state)]


def _bytes(tensor: Tensor) -> int:
    local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    return local.numel() * local.element_size()


def farthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((value.float() - other[name].float()).abs().max()) for name, value in one.items())


def compare(words: str, dist: DistContext) -> dict:
    """Return losses, norms and bytes held by DDP and with spread parameters, and the largest differences; {} on rank 1."""
    case, precision, optim = words.split(":")
    ddp, fsdp = (learn(case, parallel, precision, optim, dist) for parallel in ("ddp", "fsdp"))
    held = dist.gather((ddp["held"], fsdp["held"]))
    exact = restored(case, optim, ddp, dist)
    if not dist.is_main:
        return {}
    assert all(map(math.isfinite, ddp["losses"]))
    return {
        "losses": [ddp["losses"], fsdp["losses"]],
        "norms": [ddp["norms"], fsdp["norms"]],
        "weights": farthest(ddp["weights"], fsdp["weights"]),
        "moments": farthest(ddp["moments"], fsdp["moments"]),
        "held": held,
        "restored": exact,
    }
