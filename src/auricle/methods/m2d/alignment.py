"""Resample features from one time grid to another: each step is the mean of the steps that it overlaps, by overlap."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from auricle.core.errors import AuricleError
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
