"""Running statistics of a data set: each batch is normalised by the mean and deviation of the batches so far.

SUPERB's upstream ``m2d_calcnorm`` measures the statistics of a downstream task this way ([m2d 7](docs/specification/m2d.md#s7)).
"""

from __future__ import annotations

import torch
from torch import Tensor

UPDATES = 10000  # batches measured, as published; then the statistics stay as they are


class RunningNorm:
    """``norm(x)`` updates mean and variance with a batch of any shape, then normalises it: (x - mean) / std.

    Every batch counts the same, whatever its size. The mean moves to the average of the batches' means; the variance to
    the average of their mean squared distances from the mean as it stood after each of them. The first batch sets both.
    """

    def __init__(self, updates: int = UPDATES):
        self.updates, self.seen = updates, 0
        self.mean, self.variance = torch.zeros(()), torch.ones(())

    @property
    def finished(self) -> bool:
        """True after the last batch that is measured."""
        return self.seen >= self.updates

    @property
    def std(self) -> Tensor:
        """The standard deviation, limited to what float32 can divide by."""
        limits = torch.finfo(torch.float32)
        return self.variance.sqrt().clamp(limits.eps, limits.max)

    @torch.no_grad()
    def update(self, x: Tensor) -> None:
        """Add a batch to the statistics, unless ``finished``."""
        if self.finished:
            return
        self.seen += 1
        self.mean = self.mean.to(x.device)
        self.mean += (x.float().mean() - self.mean) / self.seen
        distance = (x.float() - self.mean).square().mean()
        self.variance = self.variance.to(x.device)
        self.variance += (distance - self.variance) / self.seen

    def __call__(self, x: Tensor) -> Tensor:
        self.update(x)
        return (x - self.mean) / self.std

    def __str__(self) -> str:
        return f"mean={self.mean.item()}, std={self.std.item()} after {self.seen} of {self.updates} batches"
