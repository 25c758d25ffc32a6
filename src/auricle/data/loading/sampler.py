"""Which clips make which batch: a pure function of (seed, epoch, micro-step, rank), so a run can start anywhere.

The epoch's global order is cut into global batches of ``batch_size * world``; rank r takes the r-th slice of each. The
last, incomplete global batch is dropped, so that all ranks take equally many steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, count

import numpy as np

from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomKey, order_of
from auricle.data.datasets.base import Item


@dataclass(frozen=True)
class Batches:
    """Batches of Items for training, on and on through the epochs, from (epoch, micro_step) up to ``epochs``.

    clips          length of the data set
    batch_size     clips per rank and micro-step
    epochs         where to end (exclusive); None: never
    weights        one per clip: the epoch draws ``clips`` of them with replacement, in proportion
    """

    clips: int
    batch_size: int
    seed: int = 0
    rank: int = 0
    world: int = 1
    epoch: int = 0
    micro_step: int = 0
    epochs: int | None = None
    weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1 or not 0 <= self.rank < self.world:
            raise AuricleError(f"batch size {self.batch_size}, rank {self.rank} of {self.world}: these cannot be")
        if self.micro_steps == 0:
            raise AuricleError(
                f"{self.clips} clips do not fill one batch of {self.batch_size} x {self.world} ranks; "
                "lower the batch size or repeat the list (min_ds_size)"
            )
        if self.weights is not None and (
            len(self.weights) != self.clips or not 0 < float(np.sum(self.weights)) < np.inf
        ):
            raise AuricleError(f"expected {self.clips} weights, 0 or more and not all 0, got {len(self.weights)}")

    @property
    def micro_steps(self) -> int:
        """Batches of each rank in an epoch."""
        return self.clips // (self.batch_size * self.world)

    def __iter__(self) -> Iterator[list[Item]]:
        first = self.micro_step
        for epoch in count(self.epoch) if self.epochs is None else range(self.epoch, self.epochs):
            order = self.order(epoch)
            for step in range(first, self.micro_steps):
                yield [Item(epoch, int(place), int(order[place])) for place in self.positions(step)]
            first = 0

    def order(self, epoch: int) -> np.ndarray:
        """(clips,) indices of the epoch, the same on every rank."""
        if self.weights is None:
            return order_of(self.seed, epoch, self.clips)
        shares = np.asarray(self.weights, np.float64)
        return RandomKey(self.seed, epoch).of("weighted order").choice(self.clips, self.clips, p=shares / shares.sum())

    def positions(self, step: int) -> range:
        """This rank's positions in the global order at a micro-step."""
        start = (step * self.world + self.rank) * self.batch_size
        return range(start, start + self.batch_size)


VALIDATION_EPOCH = -2  # keeps these draws apart from those of training (and of statistics: -1)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """The same batches every time, rank r taking each ``world``-th of them: for validation. Equal for any number of ranks."""

    batches: Sequence[np.ndarray]
    rank: int = 0
    world: int = 1

    def __iter__(self) -> Iterator[list[Item]]:
        starts = [0, *accumulate(len(numbers) for numbers in self.batches)]
        for place in range(self.rank, len(self.batches), self.world):
            numbers = self.batches[place]
            yield [Item(VALIDATION_EPOCH, starts[place] + i, int(number)) for i, number in enumerate(numbers)]


def sampled(clips: int, batch_size: int, most: int, seed: int) -> list[np.ndarray]:
    """Batches of ``most`` clips drawn without replacement (all of them where there are no more), the last one shorter."""
    drawn = RandomKey(seed, VALIDATION_EPOCH).of("validation").permutation(clips)[:most]
    return [drawn[i : i + batch_size] for i in range(0, len(drawn), batch_size)]
