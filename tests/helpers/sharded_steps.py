"""Run by ``torchrun``: weight updates of small objectives by DDP and with spread parameters; rank 0 writes how far they differ.

``sharded_steps.py OUT.json NAME[:PRECISION[:OPTIMISER]]…``, names of ``CASES``.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from auricle.core.devices import autocast
from auricle.core.randomness import BatchKey
from auricle.data.batch import Batch
from auricle.methods.base import Objective, TrainProgress
from auricle.methods.config import TrainConfig
from auricle.models.layers.transformer import recompute_activations
from auricle.training.distributed import DistContext, dist_context, exit_process
from auricle.training.optimizers import make_optimizer
from auricle.training.replica import Replica
from helpers import encoders, mae_ast_tiny, objectives

CLIPS, UPDATES = 4, 3


def of_encoder(make: Callable[[], object]) -> Callable[[], Objective]:
    """Learning labels with an encoder that has batch norms; without dropout, which every rank draws for itself."""

    def objective() -> Objective:
        from auricle.methods.supervised.config import AugmentConfig, LearningConfig
        from auricle.methods.supervised.objective import Supervised

        names = [(f"class {c}", f"class {c}") for c in range(objectives.CLASSES)]
        encoder = make().with_classes(objectives.CLASSES, classes=names)
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
    "mn": (of_encoder(encoders.mn), labelled_sound),
    "dymn": (of_encoder(encoders.dymn), labelled_sound),
    "recomputed": (recomputed, objectives.spectrograms),
    "layerdrop": (lambda: mae_ast_tiny.tiny("patch-chunk", encoder_layerdrop=0.5), objectives.kaldi),
}


def learn(case: str, parallel: str, precision: str, optim: str, dist: DistContext) -> dict:
    """Make a few weight updates on this rank's half of the clips; return what came out, whole."""
    make, clips = CASES[case]
    config = TrainConfig(parallel=parallel, optim=optim)
    replica = Replica(make(), config, precision, dist)
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
        replica.begin_micro_step(step)
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
        objective.validate(batch, progress, key)
    held = held_bytes(objective, optimizer)
    moments = replica.optimizer_tensors(optimizer)
    replica.gather(UPDATES)
    return {"losses": losses, "norms": norms, "weights": replica.whole.state_dict(), "moments": moments, "held": held}


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


def compare(case: str, precision: str, optim: str, dist: DistContext) -> dict:
    ddp, fsdp = (learn(case, parallel, precision, optim, dist) for parallel in ("ddp", "fsdp"))
    held = dist.gather((ddp["held"], fsdp["held"]))
    if not dist.is_main:
        return {}
    assert all(map(math.isfinite, ddp["losses"]))
    return {
        "losses": [ddp["losses"], fsdp["losses"]],
        "norms": [ddp["norms"], fsdp["norms"]],
        "weights": farthest(ddp["weights"], fsdp["weights"]),
        "moments": farthest(ddp["moments"], fsdp["moments"]),
        "held": held,
    }


def main(out: str, *wanted: str) -> None:
    torch.set_num_threads(1)
    found = {}
    with dist_context("cpu") as dist:
        for words in wanted:
            case, precision, optim = [*words.split(":"), *["float32", "adamw"][words.count(":") :]]
            found[words] = compare(case, precision, optim, dist)
            if dist.is_main:
                Path(out).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
    exit_process(0)
