"""A teacher's features without what all clips have in common."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from auricle.methods.base import sum_over_ranks

VARIANCE_FLOOR = 1e-5  # as a share of the mean variance: a value that hardly varies is not blown up


class RunningStandardiser(nn.Module):
    """Subtract the mean and divide by the standard deviation of each value over the clips of training so far.

    The embeddings of a trained network have a large mean: a constant answer already has a cosine of 0.8 with those of
    spoken digits, and what tells them apart is the rest. The statistics are averages over all clips that were learnt from, on
    all ranks; they are part of the state and stay as they are in evaluation mode.

    Args:
        dim: number of values D.
    """

    count: Tensor
    mean: Tensor
    variance: Tensor

    def __init__(self, dim: int):
        super().__init__()
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("variance", torch.zeros(dim))

    @torch.no_grad()
    def forward(self, features: Tensor, known: Tensor) -> Tensor:
        """Standardise features (B, D) or (B, T, D); those of clips whose ``known`` (B,) is 0 do not count."""
        features = features.float()
        if self.training:
            self.update(features if features.ndim == 2 else features.flatten(0, 1), known, features[0, ..., 0].numel())
        floor = VARIANCE_FLOOR * self.variance.mean()
        scale = torch.where(self.variance > floor, self.variance, 1.0).sqrt()
        return torch.where(self.variance > floor, (features - self.mean) / scale, 0.0)

    def update(self, rows: Tensor, known: Tensor, frames: int) -> None:
        """Count rows (B T, D) of clips ``known`` (B,), T frames each, by Chan's rule for joining means and variances."""
        weights = known.to(rows).repeat_interleave(frames)[:, None]
        count, total = sum_over_ranks(weights.sum()), sum_over_ranks((rows * weights).sum(0))
        if not count:
            return
        mean = total / count
        variance = sum_over_ranks(((rows - mean).square() * weights).sum(0)) / count
        share = count / (self.count + count)
        apart = (mean - self.mean).square() * share * (1 - share)
        self.variance.lerp_(variance, share).add_(apart)
        self.mean.lerp_(mean, share)
        self.count += count
