"""The random stream of PyTorch, for golden vectors that were drawn with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch


class TorchReplay:
    """PyTorch's CPU Mersenne-Twister stream, as after ``torch.manual_seed(seed)``."""

    def __init__(self, seed: int):
        self.generator = torch.Generator().manual_seed(seed)

    def random(self, size: int | Sequence[int] | None = None) -> Any:
        shape = () if size is None else (size,) if isinstance(size, int) else tuple(size)
        return torch.rand(shape, generator=self.generator).numpy()

    def integers(self, low: int, high: int) -> int:
        return int(torch.randint(low, high, (1,), generator=self.generator))

    def permutation(self, n: int) -> Any:
        return torch.randperm(n, generator=self.generator).numpy()
