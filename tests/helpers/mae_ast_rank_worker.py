"""Run by ``torchrun``: one step of a tiny MAE-AST on this rank's clips; rank 0 writes gradients, statistics and the log.

``mae_ast_rank_worker.py FOLDER PRESET…`` leaves FOLDER/PRESET.safetensors of each.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from auricle.core.randomness import BatchKey
from auricle.methods.base import TrainProgress
from auricle.training.distributed import DistContext, dist_context, exit_process
from helpers.mae_ast_tiny import batch, clips, tiny

CLIPS = 4


def step(preset: str, ranks: DistContext) -> dict[str, Tensor]:
    """The gradients, buffers and log of one step on this rank's share of the clips."""
    objective = tiny(preset, chunk_per_clip=True)
    network: nn.Module = ranks.wrap(objective, unused=objective.unused_parameters)
    share = CLIPS // ranks.world
    first = ranks.rank * share
    given = batch(clips(CLIPS)[first : first + share], first=first)
    loss, log = network(given, TrainProgress(0, 1, 0, 1, 0.0, None), BatchKey(0, 0, given.positions))
    loss.backward()
    found = {f"grad.{name}": p.grad for name, p in objective.named_parameters() if p.grad is not None}
    found |= {f"buffer.{name}": value.float() for name, value in objective.named_buffers()}
    means = ranks.mean({name: float(value) for name, value in log.items()})
    return {**found, **{f"log.{name}": torch.tensor(value) for name, value in means.items()}}


def main(folder: str, *presets: str) -> None:
    torch.set_num_threads(1)
    with dist_context("cpu") as ranks:
        for preset in presets:
            found = step(preset, ranks)
            if ranks.is_main:
                save_file(found, Path(folder, f"{preset}.safetensors"))


if __name__ == "__main__":
    main(*sys.argv[1:])
    exit_process(0)
