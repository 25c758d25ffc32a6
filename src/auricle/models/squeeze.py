"""Squeeze-and-excitation along channels, frequency or time, alone or joined (specification efficientat 2.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from auricle.models.mn_config import round8

AXES = {"c": 1, "f": 2, "t": 3}


class SqueezeExcite(nn.Module):
    """One gate: the mean over the other axes of (B, C, F, T), two linear layers, a sigmoid along ``axis``."""

    def __init__(self, axis: int, size: int, ratio: int):
        super().__init__()
        self.axis, self.others = axis, tuple({1, 2, 3} - {axis})
        self.fc1 = nn.Linear(size, round8(size // ratio))
        self.fc2 = nn.Linear(round8(size // ratio), size)

    def forward(self, x: Tensor) -> Tensor:
        gate = torch.sigmoid(self.fc2(torch.relu(self.fc1(x.mean(self.others)))))
        shape = [len(x), 1, 1, 1]
        shape[self.axis] = x.shape[self.axis]
        return x * gate.view(shape)


class ConcurrentSqueezeExcite(nn.Module):
    """One gate per letter of ``dims`` on the same map, joined elementwise by max, mean (avg), sum (add) or min."""

    def __init__(self, dims: str, sizes: Sequence[int], ratio: int, aggregate: str):
        super().__init__()
        self.aggregate = aggregate
        self.conc_se_layers = nn.ModuleList(SqueezeExcite(AXES[dim], sizes[AXES[dim] - 1], ratio) for dim in dims)

    def letter(self, n: int) -> SqueezeExcite:
        """The gate of the n-th letter."""
        gate = self.conc_se_layers[n]
        assert isinstance(gate, SqueezeExcite)
        return gate

    def forward(self, x: Tensor) -> Tensor:
        gated = [layer(x) for layer in self.conc_se_layers]
        if len(gated) == 1:
            return gated[0]
        stacked = torch.stack(gated)
        if self.aggregate == "max":
            return stacked.amax(0)
        if self.aggregate == "min":
            return stacked.amin(0)
        return stacked.mean(0) if self.aggregate == "avg" else stacked.sum(0)
