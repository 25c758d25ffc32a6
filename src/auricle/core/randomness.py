"""Keyed random draws: every number is a function of (seed, epoch, position in the epoch's global order, purpose).

There is no global generator and no worker state, so continuing a run or changing the number of workers changes nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch


class RandomSource(Protocol):
    """What functions that draw need of a generator. NumPy's Generator has it."""

    def random(self, size: Any = None) -> Any: ...
    def integers(self, low: int, high: int) -> Any: ...
    def permutation(self, n: int) -> Any: ...


def key_of(*parts: object) -> int:
    """Return a 128-bit key of the parts, the same on every machine (BLAKE2b of their text)."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "little")


@dataclass(frozen=True)
class RandomKey:
    """The key of one clip in one epoch.

    ``RandomKey(seed, epoch, position).of("mask")`` is a new generator for that purpose: two calls draw equal numbers.
    """

    seed: int
    epoch: int = 0
    position: int = 0

    def of(self, purpose: str) -> np.random.Generator:
        """Return a NumPy generator for a purpose."""
        return np.random.Generator(np.random.Philox(key=key_of(self.seed, self.epoch, self.position, purpose)))

    def torch(self, purpose: str) -> torch.Generator:
        """Return a PyTorch generator on the CPU, for initialisation and where PyTorch's distributions are needed."""
        import torch

        key = key_of(self.seed, self.epoch, self.position, purpose)
        return torch.Generator().manual_seed(key & 0x7FFF_FFFF_FFFF_FFFF)


@dataclass(frozen=True)
class BatchKey:
    """The keys of a batch: ``positions`` of its clips in the epoch's global order, so that ranks and workers agree."""

    seed: int
    epoch: int
    positions: tuple[int, ...]

    def each(self, purpose: str) -> list[np.random.Generator]:
        """Return one generator per clip."""
        return [RandomKey(self.seed, self.epoch, position).of(purpose) for position in self.positions]

    def shared(self, purpose: str) -> np.random.Generator:
        """Return one generator for the whole batch. Its key is the first clip's, so it depends on the batch's clips."""
        return RandomKey(self.seed, self.epoch, self.positions[0]).of("batch/" + purpose)

    def uniform(self, purpose: str, n: int) -> np.ndarray:
        """Draw (B, n) float32 in [0, 1), row i with the key of clip i."""
        return np.stack([source.random(n, dtype=np.float32) for source in self.each(purpose)])


def order_of(seed: int, epoch: int, n: int) -> np.ndarray:
    """Return the epoch's global order: a permutation (n,) of n clips."""
    return RandomKey(seed, epoch).of("order").permutation(n)
