"""Mean and standard deviation of log-mel values, which every network of the M2D family normalises with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np

from auricle.core.errors import AudioError, AuricleError
from auricle.core.randomness import RandomKey
from auricle.data.datasets.base import ClipDataset, Item, Sample
from auricle.frontends.base import front_end

EPS = float(np.finfo(np.float32).eps)  # added to the deviation: specification m2d 5.2
SAMPLES = 5000  # half of 10000 draws: specification m2d 5.2
PIECE = 1 << 18  # values taken to float64 at once
STATISTICS_EPOCH = -1  # keeps these draws apart from those of training


class Statistics(NamedTuple):
    """Scalars over all values: mean, and unbiased deviation + float32 epsilon."""

    mean: float
    std: float

    def normalise(self, values: np.ndarray) -> np.ndarray:
        """(values - mean) / std."""
        return (values - np.float32(self.mean)) / np.float32(self.std)


@dataclass(frozen=True)
class Moments:
    """Count, mean and sum of squared deviations in float64; ``a + b`` is that of both sets together."""

    count: int = 0
    mean: float = 0.0
    m2: float = 0.0

    @classmethod
    def of(cls, values: np.ndarray) -> Moments:
        """Of any array, in pieces, so that a long spectrogram is not doubled in memory."""
        flat = values.reshape(-1)
        return reduce(cls.__add__, (cls._of_piece(flat[i : i + PIECE]) for i in range(0, flat.size, PIECE)), cls())

    @classmethod
    def _of_piece(cls, values: np.ndarray) -> Moments:
        exact = values.astype(np.float64)
        mean = float(exact.mean())
        return cls(values.size, mean, float(np.square(exact - mean).sum()))

    def __add__(self, other: Moments) -> Moments:
        """Chan, Golub and LeVeque's update, which loses no digits on large corpora."""
        count = self.count + other.count
        if not count:
            return self
        delta = other.mean - self.mean
        mean = self.mean + delta * other.count / count
        return Moments(count, mean, self.m2 + other.m2 + delta * delta * self.count * other.count / count)

    def statistics(self) -> Statistics:
        """Raises AuricleError for fewer than two values."""
        if self.count < 2:
            raise AuricleError("mean and deviation need at least two values; there is no readable spectrogram")
        return Statistics(self.mean, (self.m2 / (self.count - 1)) ** 0.5 + EPS)


def sampled_statistics(
    dataset: ClipDataset, samples: int = SAMPLES, *, seed: int = 0, front_end: str | None = None
) -> Statistics:
    """Over ``samples`` clips drawn with replacement, cropped and padded as in training, before any noise.

    ``front_end`` makes the spectrograms of a data set of audio. Clips that cannot be read are left out. The draws are
    keyed by ``seed``. Raises AuricleError when nothing could be read.
    """
    numbers = RandomKey(seed).of("statistics").integers(0, len(dataset), samples)
    items = (Item(STATISTICS_EPOCH, position, int(number)) for position, number in enumerate(numbers))
    return _total(_values(sample, front_end) for sample in _readable(dataset, items)).statistics()


def _total(arrays: Iterable[np.ndarray]) -> Moments:
    return reduce(Moments.__add__, (Moments.of(array) for array in arrays), Moments())


def _readable(dataset: ClipDataset, items: Iterable[Item]) -> Iterable[Sample]:
    for item in items:
        try:
            yield dataset[item]
        except AudioError:
            continue


def _values(sample: Sample, front_end_id: str | None) -> np.ndarray:
    """(F, T) raw log-mel of a sample without noise."""
    values = sample.cut.values if sample.cut.clean is None else sample.cut.clean
    if sample.front_end is not None:
        return values
    if front_end_id is None:
        raise AuricleError("statistics of audio need a front end: pass front_end='m2d-logmel/16k' or the like")
    import torch

    return front_end(front_end_id)(torch.from_numpy(values)[None])[0].numpy()
