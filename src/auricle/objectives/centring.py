"""Targets without what is the same for a position or for a clip: what is left of them has to be learnt from the sound.

Not part of the published M2D. At small scale its targets fall to a constant of the clip within some hundred steps
(``objectives.collapse`` measures it); without their means they keep a task.
"""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn

MOMENTUM = 0.99  # share of a position's running mean that a new batch leaves, once it has seen enough
GUARD = 1e-6


class Centring(nn.Module):
    """Targets (B, M, D) of the tokens ``ids`` (B, M) -> the same, each channel of unit variance over the batch.

    of: "position" subtracts the running mean of each of the N positions, "clip" then the mean of a clip's own masked
    tokens, "position-clip" both. Means move in training mode only, are the same on all ranks and part of the state.
    The variance is that of the local batch.
    """

    mean: Tensor
    seen: Tensor

    def __init__(self, of: str, positions: int, width: int):
        super().__init__()
        self.by_position, self.by_clip = "position" in of, "clip" in of
        if self.by_position:
            self.register_buffer("mean", torch.zeros(positions, width))
            self.register_buffer("seen", torch.zeros(positions))

    @torch.no_grad()
    def forward(self, target: Tensor, ids: Tensor) -> Tensor:
        target = target.float()
        if self.by_position:
            if self.training:
                self.follow(target, ids)
            target = target - self.mean[ids]
        if self.by_clip:
            target = target - target.mean(dim=1, keepdim=True)
        return target / (target.square().mean(dim=(0, 1)) + GUARD).sqrt()

    def follow(self, target: Tensor, ids: Tensor) -> None:
        """Move the running mean of every position that this batch masks; the first batches count in full."""
        sums = torch.zeros_like(self.mean).index_add_(0, ids.flatten(), target.flatten(0, 1))
        counts = torch.bincount(ids.flatten(), minlength=len(self.seen)).to(sums.dtype)
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(sums)
            distributed.all_reduce(counts)
        here = counts > 0
        self.seen += here
        share = torch.where(here, (1 / self.seen.clamp(min=1)).clamp(min=1 - MOMENTUM), 0.0)[:, None]
        self.mean.lerp_(sums / counts.clamp(min=1)[:, None], share)
