"""Features on one time grid brought to another: each step becomes the mean of what overlaps it, weighted by the overlap."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from auricle.core.errors import AuricleError
from auricle.models.m2d.encoder import M2DEncoder

SAME = 1e-6  # seconds below which two instants are one


@dataclass(frozen=True)
class Columns:
    """The time steps of a student: ``count`` steps of ``hop`` seconds, the first one centred at ``first`` seconds.

    Equal grids are passed on untouched; steps half as long are averaged in pairs, as published (specification m2d 5.8).
    """

    count: int
    hop: float
    first: float
    plans: dict[tuple[int, float], Tensor | None] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, encoder: M2DEncoder) -> Columns:
        """Of one training crop."""
        hop, (_, count), width = encoder.info.hop_seconds, encoder.config.grid, encoder.patch_embed.patch[1]
        return cls(count, hop, (width - 1) / 2 * hop / width)

    def from_frames(self, features: Tensor, times: Tensor, hop: float) -> Tensor:
        """Frames (B, T', D) centred at ``times`` (T',) seconds, ``hop`` apart -> (B, T, D)."""
        key = (features.shape[1], hop)
        if key not in self.plans:
            self.plans[key] = self._plan(times.double().cpu() - hop / 2, hop, self.first - self.hop / 2)
        return applied(self.plans[key], features)

    def from_stored(self, features: Tensor, hop: float | None) -> Tensor:
        """Stored steps (B, T', D) of ``hop`` seconds, beginning with the crop -> (B, T, D). No hop: the student's own."""
        hop = hop or self.hop
        key = (features.shape[1], -hop)
        if key not in self.plans:
            self.plans[key] = self._plan(torch.arange(features.shape[1], dtype=torch.float64) * hop, hop, 0.0)
        return applied(self.plans[key], features)

    def _plan(self, starts: Tensor, hop: float, first: float) -> Tensor | None:
        """(T, T') weights from steps [start, start + hop) to ours; None where they are ours already.

        Raises AuricleError where the two do not cover the same time.
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
    """(T, T') shares, each row summing to 1: how much of step t, [mine, mine + hop), each of their steps covers.

    A step that none of theirs touches takes the nearest one.
    """
    ends = torch.minimum(mine[:, None] + hop, theirs[None] + their_hop)
    shared = (ends - torch.maximum(mine[:, None], theirs[None])).clamp(min=0)
    shared[shared < SAME] = 0
    centres = (mine[:, None] + hop / 2 - theirs[None] - their_hop / 2).abs()
    nearest = torch.nn.functional.one_hot(centres.argmin(dim=1), len(theirs)).double()
    shared = torch.where(shared.sum(dim=1, keepdim=True) > 0, shared, nearest)
    return shared / shared.sum(dim=1, keepdim=True)


def applied(weights: Tensor | None, features: Tensor) -> Tensor:
    """(T, T') weights, (B, T', D) features -> (B, T, D), in float32."""
    if weights is None:
        return features
    with torch.autocast(features.device.type, enabled=False):
        return weights.to(features.device, torch.float32) @ features.float()
