"""Batches of clips of like length, by samples instead of by clips (specification mae_ast 8). No PyTorch here: the command line
reads the settings for its help."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, count

import numpy as np

from auricle.core.errors import AuricleError
from auricle.core.options import option
from auricle.core.randomness import RandomKey
from auricle.data.datasets.base import Item
from auricle.data.manifest.manifest import Clip, Manifest


@dataclass(frozen=True)
class BucketConfig:
    """Which clips are taken, and how many make a batch. Samples are counted at the file's own rate, as published."""

    max_tokens: int = option(8388608, "samples in a batch: its longest clip times its clips")
    batch_multiple: int = option(8, "batches of more clips than this hold a multiple of it")
    max_sample_size: int = option(
        250000, "samples that a longer clip counts as; frames that it is cut to in a batch; 0: no limit"
    )
    min_sample_size: int = option(32000, "leave out clips with fewer samples")
    max_keep_size: int = option(0, "leave out clips with more samples; 0: none")
    max_seconds: float = option(0.0, "read at most so many seconds of a clip, from a random place; 0: all of it")
    pad_audio: bool = option(
        False, "fill up the shorter clips of a batch (padding is masked), instead of cutting all to its shortest"
    )
    random_crop: bool = option(True, "cut clips from a random place, not from their beginning")

    def __post_init__(self) -> None:
        if self.max_tokens < 1 or self.batch_multiple < 1:
            raise AuricleError("--max-tokens and --batch-multiple must be at least 1")
        if not math.isfinite(self.max_seconds):
            raise AuricleError(f"--max-seconds must be a number, not {self.max_seconds}")
        if min(self.max_sample_size, self.min_sample_size, self.max_keep_size, self.max_seconds) < 0:
            raise AuricleError("sizes and lengths of clips must be 0 or more")

    def counted(self, samples: int) -> int:
        """The size of a clip of so many samples, when batches are filled."""
        return min(samples, self.max_sample_size) if self.max_sample_size and not self.pad_audio else samples

    def keeps(self, samples: int) -> bool:
        return samples >= max(1, self.min_sample_size) and not 0 < self.max_keep_size < samples


def samples_of(clip: Clip) -> int:
    """Samples that a clip spans at its recording's own rate. The manifest says how long the recording is."""
    assert clip.num_samples is not None, "lengths are filled in before"
    if clip.start is None and clip.end is None:
        return clip.num_samples
    assert clip.rate is not None, "so are rates of clips that are spans"
    end = clip.num_samples if clip.end is None else min(clip.num_samples, round(clip.end * clip.rate))
    return end - round((clip.start or 0.0) * clip.rate)


def by_length(sizes: Sequence[int], ties: np.ndarray) -> np.ndarray:
    """(N,) indices, longest first; of equal ones the place in ``ties`` (a permutation of N) decides, greater first."""
    return np.lexsort((ties, np.asarray(sizes)))[::-1]


def cut(counted: Sequence[int], max_tokens: int, multiple: int, most: int, world: int = 1) -> list[int]:
    """Clips of each batch, along descending sizes: for each of ``world`` ranks as many as fit, below ``multiple`` or a
    multiple of it, and equally many for all. Fewer clips than ranks at the end are left out.

    Every size must be at most ``max_tokens``; ``most`` clips of a rank are never exceeded.
    """
    lengths, start = [], 0
    while len(counted) - start >= world:
        fit = min(max_tokens // counted[start], (len(counted) - start) // world, most)
        lengths.append(world * (fit if fit < multiple else fit // multiple * multiple))
        start += lengths[-1]
    return lengths


def buckets(manifest: Manifest, config: BucketConfig, most: int, seed: int, world: int = 1) -> tuple[np.ndarray, ...]:
    """The clips' numbers, batch by batch, longest first; ``seed`` decides between equal lengths.

    Raises AuricleError for a clip that is larger than a batch, and for fewer clips than ranks.
    """
    samples = [samples_of(clip) for clip in manifest]
    order = by_length(samples, RandomKey(seed).of("ties").permutation(len(samples)))
    counted = [config.counted(samples[i]) for i in order]
    if len(counted) < world:
        raise AuricleError(f"{len(counted)} clips are too few for {world} processes")
    if counted[0] > config.max_tokens:
        raise AuricleError(
            f"'{manifest.clips[order[0]].id}' alone ({counted[0]} samples) is larger than a batch ({config.max_tokens}); "
            "raise --max-tokens, or leave such clips out with --max-keep-size"
        )
    ends = list(accumulate(cut(counted, config.max_tokens, config.batch_multiple, most, world)))
    return tuple(np.split(order[: ends[-1]], ends[:-1]))


@dataclass(frozen=True, eq=False)
class BucketBatches:
    """Batches made once, in a new keyed order each epoch; on and on from (epoch, micro_step), as ``sampler.Batches``.

    Each batch is shared by the ranks: rank r takes its clips r, r + world, …, so all are at work on like lengths, and two
    ranks see in a step what one with the double batch does. An Item's position counts the clips of the epoch's order.
    """

    batches: tuple[np.ndarray, ...]
    seed: int = 0
    rank: int = 0
    world: int = 1
    epoch: int = 0
    micro_step: int = 0
    epochs: int | None = None

    @property
    def micro_steps(self) -> int:
        """Batches of each rank in an epoch."""
        return len(self.batches)

    def __iter__(self) -> Iterator[list[Item]]:
        first = self.micro_step
        for epoch in count(self.epoch) if self.epochs is None else range(self.epoch, self.epochs):
            order = RandomKey(self.seed, epoch).of("batch order").permutation(len(self.batches))
            starts = [0, *accumulate(len(self.batches[i]) for i in order)]
            for place in range(first, len(order)):
                numbers = self.batches[order[place]]
                mine = range(self.rank, len(numbers), self.world)
                yield [Item(epoch, starts[place] + i, int(numbers[i])) for i in mine]
            first = 0
