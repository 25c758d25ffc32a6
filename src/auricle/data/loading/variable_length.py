"""Batches of clips of similar length, filled by samples instead of by clips ([mae_ast 8](docs/specification/mae_ast.md#s8)).

The sampler groups clips by length once; the data set reads whole clips, and its ``collate`` brings those of a batch to one
length. This module does not import PyTorch: the command line reads ``BucketConfig`` for its help.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, count
from typing import TYPE_CHECKING

import numpy as np

from auricle.core.errors import AudioError, AuricleError
from auricle.core.options import check_ranges, option
from auricle.core.randomness import RandomKey, RandomSource
from auricle.data.datasets.base import Crop, CropConfig, Sample, SampleIndex, crop_start
from auricle.data.datasets.waveforms import Waveforms
from auricle.data.manifest.columns import MISSING
from auricle.data.manifest.manifest import Clip, Manifest

if TYPE_CHECKING:
    from auricle.data.batch import Batch
    from auricle.frontends.base import FrontEnd

SLACK = 4096  # samples by which decoders of one compressed file may differ in length
SLACK_RATIO = 0.01


@dataclass(frozen=True)
class BucketConfig:
    """Which clips are used, and how many fill a batch. Samples are counted at the file's own rate, as published."""

    max_tokens: int = option(8388608, "samples in a batch: its longest clip times its clips")
    batch_multiple: int = option(8, "batches of more clips than this hold a multiple of it")
    max_sample_size: int | None = option(
        250000,
        "most samples that a clip counts for when batches are filled, and most frames of a clip in a batch",
        special={"none": None},
        old={0: None},
    )
    min_sample_size: int = option(32000, "leave out clips with fewer samples")
    max_keep_size: int | None = option(None, "leave out clips with more samples", special={"none": None}, old={0: None})
    max_seconds: float | None = option(
        None,
        "read at most so many seconds of a clip, from a random position; none: all of it",
        special={"none": None},
        old={0.0: None},
    )
    pad_audio: bool = option(
        False, "pad the shorter clips of a batch (padding is masked), instead of cutting all to its shortest"
    )
    random_crop: bool = option(True, "cut clips at a random position, not from their beginning")

    def __post_init__(self) -> None:
        if self.max_tokens < 1 or self.batch_multiple < 1:
            raise AuricleError("--max-tokens and --batch-multiple must be at least 1")
        check_ranges(self, ("max_sample_size", "min_sample_size", "max_keep_size", "max_seconds"), 0)

    def counted(self, samples: int) -> int:
        """Return the samples that a clip counts as when batches are filled."""
        return min(samples, self.max_sample_size) if self.max_sample_size and not self.pad_audio else samples

    def keeps(self, samples: int) -> bool:
        """Return True if a clip of so many samples is used."""
        return samples >= max(1, self.min_sample_size) and not 0 < (self.max_keep_size or 0) < samples


def clip_samples(manifest: Manifest) -> np.ndarray:
    """Return the samples of every clip at its recording's own rate, (N,) int64.

    The manifest must hold the lengths of the recordings (``with_lengths`` fills them in).
    """
    table = manifest.table
    samples, rate = table.numbers("num_samples"), table.numbers("rate")
    start, end = table.numbers("start"), table.numbers("end")
    assert not (samples == MISSING).any(), "with_lengths fills in the lengths"
    part = ~(np.isnan(start) & np.isnan(end))
    assert not (rate[part] == MISSING).any(), "with_lengths fills in the rates"
    first = np.zeros(len(samples), np.int64)
    last = samples.copy()
    ends = ~np.isnan(end)
    first[part] = np.rint(np.nan_to_num(start[part]) * rate[part]).astype(np.int64)
    last[ends] = np.minimum(samples[ends], np.rint(end[ends] * rate[ends]).astype(np.int64))
    return last - first


def sort_by_length(sizes: Sequence[int] | np.ndarray, ties: np.ndarray) -> np.ndarray:
    """Return the indices (N,) of the sizes, largest first; between equal ones the greater of ``ties`` comes first.

    ``ties`` is a permutation of N.
    """
    return np.lexsort((ties, np.asarray(sizes)))[::-1]


def bucket_sizes(counted: Sequence[int], max_tokens: int, multiple: int, most: int, world: int = 1) -> list[int]:
    """Cut a list of clips into batches.

    Args:
        counted: Sizes of the clips, largest first, each at most ``max_tokens``.
        max_tokens: Samples in a batch of one rank: its largest size times its clips.
        multiple: Batches of more clips than this hold a multiple of it.
        most: Most clips in a batch of one rank.
        world: Number of ranks. Each gets equally many clips of a batch.

    Returns:
        Clips of each batch, of all ranks together. Fewer clips than ranks at the end are left out.
    """
    sizes, start = [], 0
    while len(counted) - start >= world:
        clips = min(max_tokens // counted[start], (len(counted) - start) // world, most)
        sizes.append(world * (clips if clips < multiple else clips // multiple * multiple))
        start += sizes[-1]
    return sizes


def make_buckets(
    manifest: Manifest, config: BucketConfig, most: int, seed: int, world: int = 1
) -> tuple[np.ndarray, ...]:
    """Group the clips into batches by length, the longest first; ``seed`` decides between equal lengths.

    Args:
        manifest: Clips whose lengths are known.
        config: How many samples make a batch.
        most: Most clips in a batch of one rank.
        seed: Seed of the order of equal lengths.
        world: Number of ranks that share each batch.

    Returns:
        The rows of the clips of each batch.

    Raises:
        AuricleError: A clip is larger than a batch, or there are fewer clips than ranks.
    """
    samples = clip_samples(manifest)
    order = sort_by_length(samples, RandomKey(seed).of("ties").permutation(len(samples)))
    counted = [config.counted(size) for size in samples[order].tolist()]
    if len(counted) < world:
        raise AuricleError(f"{len(counted)} clips are too few for {world} processes")
    if counted[0] > config.max_tokens:
        raise AuricleError(
            f"'{manifest.clips[order[0]].id}' alone ({counted[0]} samples) is larger than a batch ({config.max_tokens}); "
            "raise --max-tokens, or leave such clips out with --max-keep-size"
        )
    ends = list(accumulate(bucket_sizes(counted, config.max_tokens, config.batch_multiple, most, world)))
    return tuple(np.split(order[: ends[-1]], ends[:-1]))


@dataclass(frozen=True, eq=False)
class BucketBatches:
    """Endless batches made once, in a new keyed order each epoch, from (epoch, micro_step) on.

    The ranks share each batch: rank r takes its clips r, r + world, …, so that all work on similar lengths, and a step
    of two ranks uses the clips of one rank with the double batch. A position counts the clips of the epoch's order.

    Attributes:
        batches: Rows of the clips of each batch.
        seed: Seed of the order.
        rank: This process.
        world: Number of processes.
        epoch: Where to begin.
        micro_step: Where to begin in that epoch.
        epochs: Where to end (exclusive); None: never.
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

    def __iter__(self) -> Iterator[list[SampleIndex]]:
        first = self.micro_step
        for epoch in count(self.epoch) if self.epochs is None else range(self.epoch, self.epochs):
            order = RandomKey(self.seed, epoch).of("batch order").permutation(len(self.batches))
            starts = [0, *accumulate(len(self.batches[i]) for i in order)]
            for place in range(first, len(order)):
                numbers = self.batches[order[place]]
                mine = range(self.rank, len(numbers), self.world)
                yield [SampleIndex(epoch, starts[place] + i, int(numbers[i])) for i in mine]
            first = 0


class WholeClips(Waveforms):
    """Mono clips (S_i,) of their own lengths; ``collate`` brings the clips of a batch to one length.

    Args:
        manifest: The clips.
        front: A front end without padding at its edges, so that the frames of a cut waveform are those cut from the frames
            of the whole one.
        config: How clips are cut.
        seed: Seed of the random draws.
        min_frames: Fewest frames of a usable clip.
    """

    def __init__(
        self, manifest: Manifest, front: FrontEnd, config: BucketConfig, *, seed: int = 0, min_frames: int = 1
    ):
        crops = CropConfig(crop="random" if config.random_crop else "start")
        seconds, resampler = config.max_seconds or None, front.resampler
        super().__init__(manifest, front.sample_rate, seconds, seed=seed, config=crops, resampler=resampler)
        self.front, self.buckets, self.min_frames = front, config, min_frames

    def crop(self, clip: Clip, key: RandomKey) -> Crop:
        """Decode a clip. Raises AudioError if it is too short or does not have the length in the manifest."""
        start, end = self.crop_span(clip, key)
        audio = self.store.open(clip).read(start, end, rate=self.rate, resampler=self.resampler)
        self._check_length(clip, audio.declared_samples)
        needed = self.front.min_samples + (self.min_frames - 1) * self.front.hop_length
        if len(audio.wave) < needed:
            raise AudioError(
                f"{clip.id} lasts {1000 * len(audio.wave) / self.rate:.0f} ms; a token takes "
                f"{1000 * needed / self.rate:.0f} ms: leave such clips out (--min-sample-size)"
            )
        return Crop(audio.wave, len(audio.wave), start)

    def _check_length(self, clip: Clip, declared: int | None) -> None:
        listed = clip.num_samples
        if listed is not None and declared is not None and abs(declared - listed) > max(SLACK, SLACK_RATIO * listed):
            raise AudioError(
                f"{clip.id}: the list says {listed} samples, the file holds {declared}; write the list again "
                "(samples are counted at the file's own rate)"
            )

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """Make a batch of samples, each cut at a position drawn with its own key."""
        from auricle.data.batch import collate

        sources = [RandomKey(self.seed, s.index.epoch, s.index.position).of("cut") for s in samples]
        return collate(self.cut_to_one_length(samples, sources))

    def cut_to_one_length(self, samples: Sequence[Sample], sources: Sequence[RandomSource]) -> list[Sample]:
        """Cut samples to the length of the shortest, or with ``pad_audio`` of the longest.

        None is longer than ``max_sample_size`` frames.
        """
        frames = [self.front.num_frames(s.crop.length) for s in samples]
        longest = max(frames) if self.buckets.pad_audio else min(frames)
        longest = min(longest, self.buckets.max_sample_size or longest)
        return [self._shortened(*each, longest) for each in zip(samples, frames, sources, strict=True)]

    def _shortened(self, sample: Sample, frames: int, source: RandomSource, longest: int) -> Sample:
        if frames < longest:
            return sample
        first = crop_start(source, frames, longest) if self.config.crop == "random" else 0
        length = self.front.min_samples + (longest - 1) * self.front.hop_length
        wave = sample.crop.values[first * self.front.hop_length :][:length]
        return replace(sample, crop=Crop(wave, length, sample.crop.crop_start + first * self.front.hop_seconds))
