"""The streams of legacy random generators, as sources for functions that draw: agreement with the original programs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
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

    def permutation(self, n: int) -> np.ndarray:
        return torch.randperm(n, generator=self.generator).numpy()


class NumpyReplay:
    """NumPy's legacy stream, as after ``numpy.random.seed(seed)``."""

    def __init__(self, seed: int):
        self.state = np.random.RandomState(seed)

    def random(self, size: Any = None) -> Any:
        return self.state.random_sample(size)

    def integers(self, low: int, high: int) -> int:
        return int(self.state.randint(low, high))

    def permutation(self, n: int) -> np.ndarray:
        return self.state.permutation(n)

    def normal(self, loc: float, scale: float, size: int) -> np.ndarray:
        return self.state.normal(loc, scale, size)

    def poisson(self, lam: float, size: int) -> np.ndarray:
        return self.state.poisson(lam, size)


class PythonReplay:
    """CPython's ``random`` stream, as after ``random.seed(seed)``."""

    def __init__(self, seed: int):
        self.state = random.Random(seed)

    def random(self, size: int | None = None) -> Any:
        return self.state.random() if size is None else np.array([self.state.random() for _ in range(size)])

    def integers(self, low: int, high: int) -> int:
        return self.state.randrange(low, high)

    def permutation(self, n: int) -> np.ndarray:
        return np.array(self.state.sample(range(n), n))


class PythonShuffleReplay(PythonReplay):
    """The same stream for programs that permute by ``random.shuffle`` of the ascending list, not by ``random.sample``."""

    def permutation(self, n: int) -> np.ndarray:
        order = list(range(n))
        self.state.shuffle(order)
        return np.array(order)


def replayed(seed: int, clips: int) -> list[NumpyReplay]:
    """The sources of a batch after ``numpy.random.seed(seed)`` in the original, which throws one uniform draw away first."""
    source = NumpyReplay(seed)
    source.random()
    return [source] * clips
