"""Choose the clips of each batch: a pure function of (seed, epoch, micro-step, rank), so that a run can continue anywhere.

The epoch's global order is cut into global batches of ``batch_size * world`` clips; rank r takes the r-th part of each. The
last, incomplete global batch is dropped, so that all ranks take equally many steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, count

import numpy as np

from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomKey, order_of
from auricle.data.datasets.base import SampleIndex

VALIDATION_EPOCH = -2  # keeps these draws apart from those of training (and of statistics: -1)


@dataclass(frozen=True)
class ShuffledBatches:
    """Batches for training, epoch after epoch, from (epoch, micro_step) on.

    Attributes:
        clips: Length of the data set.
        batch_size: Clips per rank and micro-step.
        seed: Seed of the order.
        rank: This process.
        world: Number of processes.
        epoch: Where to begin.
        micro_step: Where to begin in that epoch.
        epochs: Where to end (exclusive); None: never.
        weights: One per clip: an epoch draws clips in proportion. None: every clip once.
        drawn: Clips of an epoch, at most ``clips``; None: as many as there are.
        replacement: Weighted draws may take a clip more than once.
        shards: (clips,) number of the shard of every clip: the drawn clips come shard by shard (``by_shard``). None: in any order.
        buffer: Clips that are mixed, with ``shards``.

    Raises:
        AuricleError: The clips do not fill one batch, or weights or shards do not fit.
    """

    clips: int
    batch_size: int
    seed: int = 0
    rank: int = 0
    world: int = 1
    epoch: int = 0
    micro_step: int = 0
    epochs: int | None = None
    weights: Sequence[float] | np.ndarray | None = None
    drawn: int | None = None
    replacement: bool = True
    shards: np.ndarray | None = None
    buffer: int = 16384

    def __post_init__(self) -> None:
        if self.batch_size < 1 or not 0 <= self.rank < self.world:
            raise AuricleError(
                f"batch size {self.batch_size}, rank {self.rank} of {self.world}: "
                "expected a batch size of at least 1 and a rank below the number of processes"
            )
        if self.micro_steps == 0:
            raise AuricleError(
                f"{self.clips} clips do not fill one batch of {self.batch_size} x {self.world} ranks; "
                "lower the batch size or repeat the list (min_ds_size)"
            )
        if self.weights is not None and (
            len(self.weights) != self.clips or not 0 < float(np.sum(self.weights)) < np.inf
        ):
            raise AuricleError(f"expected {self.clips} weights, 0 or more and not all 0, got {len(self.weights)}")
        if self.weights is not None and not self.replacement and np.count_nonzero(self.weights) < self.epoch_clips:
            raise AuricleError(
                f"an epoch of {self.epoch_clips} clips without repetition needs as many clips with a weight above 0"
            )

        if self.shards is not None and (len(self.shards) != self.clips or self.buffer < 1):
            raise AuricleError(
                f"expected the shards of {self.clips} clips and a buffer of at least 1 clip, got {len(self.shards)} and "
                f"{self.buffer}"
            )

    @property
    def epoch_clips(self) -> int:
        """Clips of an epoch."""
        return self.clips if self.drawn is None else min(self.drawn, self.clips)

    @property
    def micro_steps(self) -> int:
        """Batches of each rank in an epoch."""
        return self.epoch_clips // (self.batch_size * self.world)

    def __iter__(self) -> Iterator[list[SampleIndex]]:
        first = self.micro_step
        for epoch in count(self.epoch) if self.epochs is None else range(self.epoch, self.epochs):
            order = self.order(epoch)
            for step in range(first, self.micro_steps):
                yield [SampleIndex(epoch, int(place), int(order[place])) for place in self.positions(step)]
            first = 0

    def order(self, epoch: int) -> np.ndarray:
        """Return the clips of an epoch, (clips,) indices, the same on every rank."""
        drawn = self._drawn(epoch)
        return drawn if self.shards is None else by_shard(drawn, self.shards, self.buffer, RandomKey(self.seed, epoch))

    def _drawn(self, epoch: int) -> np.ndarray:
        """The clips of an epoch, (clips,) indices, in the order in which they are drawn."""
        if self.weights is None:
            return order_of(self.seed, epoch, self.clips)[: self.epoch_clips]
        weights = np.asarray(self.weights, np.float64)
        source = RandomKey(self.seed, epoch).of("weighted order")
        return source.choice(self.clips, self.epoch_clips, replace=self.replacement, p=weights / weights.sum())

    def positions(self, step: int) -> range:
        """Return this rank's positions in the global order at a micro-step."""
        start = (step * self.world + self.rank) * self.batch_size
        return range(start, start + self.batch_size)


def by_shard(drawn: np.ndarray, shards: np.ndarray, buffer: int, key: RandomKey) -> np.ndarray:
    """Return drawn clips in an order that reads one shard after the other.

    The shards are in an order of their own in every epoch; their clips follow each other, and each ``buffer`` clips of this row
    are mixed. So at any time only as many shards are read as a buffer of clips comes from, and one more. The result holds the
    same clips as ``drawn``, and does not depend on the number of ranks.

    Args:
        drawn: (n,) indices of clips; an index may come more than once.
        shards: (clips,) number of the shard of every clip, from 0 on.
        buffer: Clips that are mixed.
        key: Key of the epoch.

    Returns:
        (n,) indices.
    """
    places = key.of("shard order").permutation(int(shards.max()) + 1)
    row = drawn[np.argsort(places[shards[drawn]], kind="stable")]
    return row[np.lexsort((key.of("shard buffer").random(len(row)), np.arange(len(row)) // buffer))]


@dataclass(frozen=True, eq=False)
class HeldOutBatches:
    """The same batches every time, for validation; rank r takes every ``world``-th of them.

    Attributes:
        batches: Rows of the clips of each batch.
        rank: This process.
        world: Number of processes.
    """

    batches: Sequence[np.ndarray]
    rank: int = 0
    world: int = 1

    def __iter__(self) -> Iterator[list[SampleIndex]]:
        starts = [0, *accumulate(len(numbers) for numbers in self.batches)]
        for place in range(self.rank, len(self.batches), self.world):
            numbers = self.batches[place]
            yield [SampleIndex(VALIDATION_EPOCH, starts[place] + i, int(number)) for i, number in enumerate(numbers)]


def draw_held_out(clips: int, batch_size: int, most: int, seed: int) -> list[np.ndarray]:
    """Draw at most ``most`` of ``clips`` clips without replacement, as batches of ``batch_size``, the last one shorter."""
    drawn = RandomKey(seed, VALIDATION_EPOCH).of("validation").permutation(clips)[:most]
    return [drawn[i : i + batch_size] for i in range(0, len(drawn), batch_size)]
