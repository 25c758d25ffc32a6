"""Targets: of the target encoder (its moving average, their centring, measures of their collapse), and of other time grids:
each step is the mean of the steps that it overlaps, by overlap.

Centring is not part of the published M2D. At small scale the published targets fall to a constant of the clip within some
hundred updates (``target_statistics`` measures it); without their means they keep a task.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.methods.base import TrainProgress, sum_over_ranks
from auricle.metrics.rank import rank_me
from auricle.models.m2d.encoder import M2DEncoder

SAME = 1e-6  # seconds; closer instants count as equal


@dataclass(frozen=True)
class Columns:
    """The time steps of a student: ``count`` steps of ``hop`` seconds, the first one centred at ``first`` seconds.

    Features on an equal grid are returned unchanged; steps half as long are averaged in pairs, as published
    ([m2d 5.8](docs/specification/m2d.md#s5-8)).
    """

    count: int
    hop: float
    first: float
    weights: dict[tuple[int, float], Tensor | None] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, encoder: M2DEncoder) -> Columns:
        """Return the time steps of one training crop."""
        hop, (_, count), width = encoder.info.hop_seconds, encoder.config.grid, encoder.patch_embed.patch[1]
        return cls(count, hop, (width - 1) / 2 * hop / width)

    def from_frames(self, features: Tensor, times: Tensor, hop: float) -> Tensor:
        """Resample frames (B, T', D) centred at ``times`` (T',) seconds, ``hop`` seconds apart, to (B, T, D)."""
        key = (features.shape[1], hop)
        if key not in self.weights:
            self.weights[key] = self._weights(times.double().cpu() - hop / 2, hop, self.first - self.hop / 2)
        return apply_weights(self.weights[key], features)

    def from_stored(self, features: Tensor, hop: float | None) -> Tensor:
        """Resample stored steps (B, T', D) of ``hop`` seconds (None: the student's), beginning with the crop, to (B, T, D)."""
        hop = hop or self.hop
        key = (features.shape[1], -hop)
        if key not in self.weights:
            self.weights[key] = self._weights(torch.arange(features.shape[1], dtype=torch.float64) * hop, hop, 0.0)
        return apply_weights(self.weights[key], features)

    def _weights(self, starts: Tensor, hop: float, first: float) -> Tensor | None:
        """Return weights (T, T') from steps [start, start + hop) to the student's; None if they are the same.

        Raises AuricleError if the two do not cover the same time.
        """
        mine = first + torch.arange(self.count, dtype=torch.float64) * self.hop
        if len(starts) == self.count and (starts - mine).abs().max() < SAME:
            return None
        apart = max(abs(float(starts[0] - mine[0])), abs(float(starts[-1] + hop - mine[-1] - self.hop)))
        if apart > max(hop, self.hop) + SAME:
            raise AuricleError(
                f"the teacher's {len(starts)} steps of {hop:.4g} s do not cover the same time as the student's "
                f"{self.count} steps of {self.hop:.4g} s"
            )
        return overlaps(mine, self.hop, starts, hop)


def overlaps(mine: Tensor, hop: float, theirs: Tensor, their_hop: float) -> Tensor:
    """Return weights (T, T'), each row summing to 1: how much of step t, [mine, mine + hop), each of their steps covers.

    A step that overlaps none of theirs takes the nearest one.
    """
    ends = torch.minimum(mine[:, None] + hop, theirs[None] + their_hop)
    shared = (ends - torch.maximum(mine[:, None], theirs[None])).clamp(min=0)
    shared[shared < SAME] = 0
    centres = (mine[:, None] + hop / 2 - theirs[None] - their_hop / 2).abs()
    nearest = torch.nn.functional.one_hot(centres.argmin(dim=1), len(theirs)).double()
    shared = torch.where(shared.sum(dim=1, keepdim=True) > 0, shared, nearest)
    return shared / shared.sum(dim=1, keepdim=True)


def apply_weights(weights: Tensor | None, features: Tensor) -> Tensor:
    """Multiply weights (T, T') with features (B, T', D): (B, T, D), in float32."""
    if weights is None:
        return features
    with torch.autocast(features.device.type, enabled=False):
        return weights.to(features.device, torch.float32) @ features.float()


MOMENTUM = 0.99  # of a position's running mean, once enough batches have masked it
VARIANCE_FLOOR = 1e-6
RANK_TOKENS = 2048  # tokens whose effective rank is measured


def decay_at(progress: TrainProgress, init: float, end: float) -> float:
    """Return the decay of the target encoder: linear from ``init`` at the first micro-step to ``end`` at the last.

    Source: [m2d 4.2](docs/specification/m2d.md#s4-2).
    """
    return init + (end - init) * progress.micro_step / max(1, progress.micro_steps - 1)


@torch.no_grad()
def ema_update(target: Iterable[nn.Parameter], online: Iterable[torch.Tensor], decay: float) -> None:
    """Set target to decay * target + (1 - decay) * online, all tensors together, in float32."""
    averaged: list[torch.Tensor] = list(target)
    torch._foreach_mul_(averaged, decay)
    torch._foreach_add_(averaged, [*online], alpha=1.0 - decay)


class Centring(nn.Module):
    """Subtract means from targets and scale each channel to unit variance over the batch.

    mode: "position" subtracts the running mean of each of the N positions, "clip" the mean of a clip's own masked tokens,
    "position-clip" both, in this order. Running means move in training mode only. They are equal on all ranks and part of
    the state. The variance is that of the local batch.
    """

    mean: Tensor
    seen: Tensor

    def __init__(self, mode: str, positions: int, width: int):
        super().__init__()
        self.by_position, self.by_clip = "position" in mode, "clip" in mode
        if self.by_position:
            self.register_buffer("mean", torch.zeros(positions, width))
            self.register_buffer("seen", torch.zeros(positions))

    @torch.no_grad()
    def forward(self, target: Tensor, ids: Tensor) -> Tensor:
        """Centre targets (B, M, D) of the tokens ``ids`` (B, M)."""
        target = target.float()
        if self.by_position:
            if self.training:
                self.update_mean(target, ids)
            target = target - self.mean[ids]
        if self.by_clip:
            target = target - target.mean(dim=1, keepdim=True)
        return target / (target.square().mean(dim=(0, 1)) + VARIANCE_FLOOR).sqrt()

    def update_mean(self, target: Tensor, ids: Tensor) -> None:
        """Move the running mean of every position that this batch masks; the first batches count in full."""
        sums = torch.zeros_like(self.mean).index_add_(0, ids.flatten(), target.flatten(0, 1))
        counts = torch.bincount(ids.flatten(), minlength=len(self.seen)).to(sums.dtype)
        sums, counts = sum_over_ranks(sums), sum_over_ranks(counts)
        masked = counts > 0
        self.seen += masked
        ratio = torch.where(masked, (1 / self.seen.clamp(min=1)).clamp(min=1 - MOMENTUM), 0.0)[:, None]
        self.mean.lerp_(sums / counts.clamp(min=1)[:, None], ratio)


def target_statistics(target: Tensor, ids: Tensor) -> dict[str, float]:
    """Measure whether targets have collapsed.

    At small scale the published M2D target falls to a constant of the clip: the predictor then only has to recognise the
    clip, or its loudness. These ratios show it while it happens.

    Args:
        target: (B, M, D), of the tokens ``ids`` (B, M).

    Returns:
        Ratios of the mean square: ``target_constant`` of one vector for all tokens, ``target_clip`` of the mean of each
        clip besides it, ``target_position`` of the mean of each position besides it; and ``target_rank``, the effective
        rank (RankMe) of the rest. The ratios overlap where clips mask different positions, so they need not add up to 1.
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
        "target_rank": rank_me(centred[:RANK_TOKENS].cpu().numpy()),
    }


def position_means(target: Tensor, ids: Tensor) -> Tensor:
    """Replace each token of (B, M, D) by the mean over the batch of the tokens at its position ``ids`` (B, M)."""
    flat, index = target.flatten(0, 1), ids.flatten()
    sums = flat.new_zeros(int(index.max()) + 1, flat.shape[1]).index_add_(0, index, flat)
    counts = torch.bincount(index).clamp(min=1).to(flat.dtype)
    return (sums / counts[:, None])[index].view_as(target)
