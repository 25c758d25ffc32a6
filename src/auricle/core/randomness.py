"""Keyed random draws: every random number is a function of (seed, epoch, position in the epoch's global order, purpose).

There is no global generator and no worker state, so continuing a run, or changing the number of workers, changes nothing.
A *source* is anything with ``random(size)``, ``integers(low, high)`` and ``permutation(n)``: NumPy's own Generator, or one of
the replays at the end of this file, which give the stream of a legacy generator for agreement with the original programs.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch


class RandomSource(Protocol):
    """What a draw needs of a generator."""

    def random(self, size: Any = None) -> Any: ...
    def integers(self, low: int, high: int) -> Any: ...
    def permutation(self, n: int) -> Any: ...


def key_of(*parts: object) -> int:
    """A 128-bit key of the parts, the same on every machine (BLAKE2b of their text)."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


@dataclass(frozen=True)
class RandomKey:
    """The draws of one clip: ``RandomKey(seed, epoch, position).of("mask")`` is a fresh NumPy generator for that purpose."""

    seed: int
    epoch: int = 0
    position: int = 0

    def of(self, purpose: str) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(key=key_of(self.seed, self.epoch, self.position, purpose)))

    def torch(self, purpose: str) -> torch.Generator:
        """The same key as a CPU PyTorch generator, for initialisation and where torch's distributions are needed."""
        import torch

        key = key_of(self.seed, self.epoch, self.position, purpose)
        return torch.Generator().manual_seed(key & 0x7FFF_FFFF_FFFF_FFFF)


@dataclass(frozen=True)
class BatchKey:
    """The draws of a batch: one key per clip (``positions`` in the epoch's global order), so that ranks and workers agree."""

    seed: int
    epoch: int
    positions: tuple[int, ...]

    def each(self, purpose: str) -> list[np.random.Generator]:
        """One generator per clip of the batch."""
        return [RandomKey(self.seed, self.epoch, position).of(purpose) for position in self.positions]

    def shared(self, purpose: str) -> np.random.Generator:
        """One generator for the whole batch. It is keyed by the first clip, so it depends on how the batch was cut."""
        return RandomKey(self.seed, self.epoch, self.positions[0]).of("batch/" + purpose)

    def uniform(self, purpose: str, n: int) -> np.ndarray:
        """(B, n) float32 in [0, 1), row i drawn with the key of clip i."""
        return np.stack([source.random(n, dtype=np.float32) for source in self.each(purpose)])


def order_of(seed: int, epoch: int, n: int) -> np.ndarray:
    """The epoch's global order: a permutation of n clips."""
    return RandomKey(seed, epoch).of("order").permutation(n)


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
