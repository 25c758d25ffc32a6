"""Targets without what is the same for a position or for a clip: what is left of them has to be learnt from the sound.

Not part of the published M2D. At small scale its targets fall to a constant of the clip within some hundred steps
(``objectives.collapse`` measures it); without their means they keep a task.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, distributed, nn
from torch.nn import functional

from auricle.methods.base import TrainProgress
from auricle.metrics.rank import rank_me

# How far a prediction is from a feature target (specification m2d 4.1 point 5).

VARIANCE_GUARD = 1e-6  # specification m2d 4.1


def standardised(target: Tensor) -> Tensor:
    """Each token (…, D) to zero mean and unit (unbiased) variance over its channels."""
    mean, variance = target.mean(dim=-1, keepdim=True), target.var(dim=-1, keepdim=True)
    return (target - mean) / (variance + VARIANCE_GUARD).sqrt()


def token_error(target: Tensor, prediction: Tensor, loss_fn: str) -> Tensor:
    """(…, D) pairs -> (…) errors, float32: 2 - 2 cosine for "norm_mse" (0 to 4), the mean squared difference for "mse"."""
    target, prediction = target.float(), prediction.float()
    if loss_fn == "mse":
        return (target - prediction).square().mean(dim=-1)
    target, prediction = functional.normalize(target, dim=-1), functional.normalize(prediction, dim=-1)
    return 2 - 2 * (target * prediction).sum(dim=-1)


# The averaged copy that a student learns from (specification m2d 4.2).


def decay_at(progress: TrainProgress, init: float, end: float) -> float:
    """Linear from ``init`` at the first micro-step to ``end`` at the last."""
    return init + (end - init) * progress.micro_step / max(1, progress.micro_steps - 1)


@torch.no_grad()
def ema_update(target: Iterable[nn.Parameter], online: Iterable[torch.Tensor], decay: float) -> None:
    """target <- decay * target + (1 - decay) * online, all tensors together, in float32."""
    averaged: list[torch.Tensor] = list(target)
    torch._foreach_mul_(averaged, decay)
    torch._foreach_add_(averaged, [*online], alpha=1.0 - decay)


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


# Have the targets collapsed? What their variance consists of, and how many directions it fills.
#
# At small scale the published M2D target falls to a constant of the clip within some hundred steps: the predictor then only has
# to say which clip it is (or how loud). These shares say so while it happens.


def target_shares(target: Tensor, ids: Tensor) -> dict[str, float]:
    """Targets (B, M, D) of tokens ``ids`` (B, M) -> shares of their mean square, and the effective rank (RankMe) of what varies.

    constant: one vector for all tokens; clip: the mean of each clip beside it; position: the mean of each position beside it.
    The shares overlap where clips see different positions, so they need not add up to the whole.
    """
    target = target.float()
    total = target.square().mean().clamp(min=1e-12)
    mean = target.mean(dim=(0, 1))
    clip = target.mean(dim=1) - mean
    position = position_means(target, ids) - mean
    centred = (target - mean).flatten(0, 1)
    return {
        "target_constant": float(mean.square().mean() / total),
        "target_clip": float(clip.square().mean() / total),
        "target_position": float(position.square().mean() / total),
        "target_rank": rank_me(centred[:2048].cpu().numpy()),
    }


def position_means(target: Tensor, ids: Tensor) -> Tensor:
    """(B, M, D) -> (B, M, D): each token replaced by the mean over the batch of the tokens at its position."""
    flat, index = target.flatten(0, 1), ids.flatten()
    sums = flat.new_zeros(int(index.max()) + 1, flat.shape[1]).index_add_(0, index, flat)
    counts = torch.bincount(index).clamp(min=1).to(flat.dtype)
    return (sums / counts[:, None])[index].view_as(target)
