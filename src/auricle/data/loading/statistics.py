"""Mean and standard deviation of log-mel values, with which every network of the M2D family normalises its input."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np

from auricle.core.errors import AudioError, AuricleError
from auricle.core.randomness import RandomKey
from auricle.data.datasets.base import ClipDataset, Sample, SampleIndex
from auricle.frontends.base import front_end

EPS = float(np.finfo(np.float32).eps)  # added to the standard deviation: [m2d 5.2](docs/specification/m2d.md#s5-2)
SAMPLES = 5000  # half of 10000 draws: [m2d 5.2](docs/specification/m2d.md#s5-2)
CHUNK = 1 << 18  # values converted to float64 at once
STATISTICS_EPOCH = -1  # keeps these draws apart from those of training


class Statistics(NamedTuple):
    """Mean over all values, and their unbiased standard deviation plus the float32 epsilon."""

    mean: float
    std: float

    def normalise(self, values: np.ndarray) -> np.ndarray:
        """Return (values - mean) / std."""
        return (values - np.float32(self.mean)) / np.float32(self.std)


@dataclass(frozen=True)
class Moments:
    """Count, mean and sum of squared deviations from it, in float64. ``a + b`` is that of both sets together."""

    count: int = 0
    mean: float = 0.0
    m2: float = 0.0

    @classmethod
    def of(cls, values: np.ndarray) -> Moments:
        """Compute the moments of an array, in chunks, so that a long spectrogram is not doubled in memory."""
        flat = values.reshape(-1)
        return reduce(cls.__add__, (cls._of_chunk(flat[i : i + CHUNK]) for i in range(0, flat.size, CHUNK)), cls())

    @classmethod
    def _of_chunk(cls, values: np.ndarray) -> Moments:
        exact = values.astype(np.float64)
        mean = float(exact.mean())
        return cls(values.size, mean, float(np.square(exact - mean).sum()))

    def __add__(self, other: Moments) -> Moments:
        """Combine by Chan, Golub and LeVeque's update, which loses no digits on large corpora."""
        count = self.count + other.count
        if not count:
            return self
        delta = other.mean - self.mean
        mean = self.mean + delta * other.count / count
        return Moments(count, mean, self.m2 + other.m2 + delta * delta * self.count * other.count / count)

    def statistics(self) -> Statistics:
        """Return mean and standard deviation. Raises AuricleError for fewer than two values."""
        if self.count < 2:
            raise AuricleError("mean and standard deviation need at least two values; there is no readable spectrogram")
        return Statistics(self.mean, (self.m2 / (self.count - 1)) ** 0.5 + EPS)


def sampled_statistics(
    dataset: ClipDataset, samples: int = SAMPLES, *, seed: int = 0, front_end: str | None = None
) -> Statistics:
    """Estimate the statistics from clips drawn with replacement, cropped and padded as in training, without noise.

    Args:
        dataset: The data set; clips that cannot be read are left out.
        samples: Number of clips.
        seed: Seed of the draws.
        front_end: Id of the front end that makes the spectrograms of a data set of audio.

    Raises:
        AuricleError: No clip could be read, or a data set of audio has no front end.
    """
    numbers = RandomKey(seed).of("statistics").integers(0, len(dataset), samples)
    indices = (SampleIndex(STATISTICS_EPOCH, position, int(number)) for position, number in enumerate(numbers))
    moments = (Moments.of(_values(sample, front_end)) for sample in _readable(dataset, indices))
    return sum(moments, Moments()).statistics()


def _readable(dataset: ClipDataset, indices: Iterable[SampleIndex]) -> Iterable[Sample]:
    for index in indices:
        try:
            yield dataset[index]
        except AudioError:
            continue
        except AuricleError:
            raise
        except Exception:  # whatever a library or the file system raises about one clip: training names it
            continue


def _values(sample: Sample, front_end_id: str | None) -> np.ndarray:
    """(F, T) log-mel of a sample, not normalised, without noise."""
    values = sample.crop.values if sample.crop.clean is None else sample.crop.clean
    if sample.front_end is not None:
        return values
    if front_end_id is None:
        raise AuricleError("statistics of audio need a front end: pass front_end='m2d-logmel/16k' or the like")
    import torch

    return front_end(front_end_id)(torch.from_numpy(values)[None])[0].numpy()
