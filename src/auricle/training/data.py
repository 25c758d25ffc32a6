"""The data of a run by its settings: what a source is, and its statistics (measured once, the same on all ranks)."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from auricle.core.errors import AuricleError
from auricle.data.augment.noise import BackgroundNoise, NoisyDataset
from auricle.data.batch import Batch, collate
from auricle.data.datasets.base import ClipDataset, Sample, SampleIndex
from auricle.data.datasets.spectrograms import LiveSpectrograms, Spectrograms
from auricle.data.datasets.speech import SpeechPairs
from auricle.data.datasets.waveforms import Waveforms
from auricle.data.loading.loader import Loader, make_loader
from auricle.data.loading.sampler import HeldOutBatches, ShuffledBatches, draw_held_out
from auricle.data.loading.statistics import SAMPLES, Statistics, sampled_statistics
from auricle.data.loading.variable_length import BucketBatches, BucketConfig, WholeClips, clip_samples, make_buckets
from auricle.data.manifest.formats import read_manifest
from auricle.data.manifest.lengths import with_lengths
from auricle.data.manifest.manifest import Manifest
from auricle.data.stores.npy import card_of, front_end_of
from auricle.frontends.base import front_end
from auricle.methods.settings import MAEASTPretrain, PretrainConfig, ViTPretrain
from auricle.training.schedules import TrainingLength

if TYPE_CHECKING:
    from auricle.methods.settings import PretrainConfig
    from auricle.training.distributed import DistContext


def open_data(config: PretrainConfig, ranks: DistContext) -> TrainingData:
    """Raises AuricleError for a source that is not there, holds no clips, or was prepared for another front end."""
    if isinstance(config, MAEASTPretrain):
        return open_buckets(config, ranks)
    assert isinstance(config, ViTPretrain)
    manifest = listed(config.source, config)
    dataset = dataset_of(manifest, config)
    statistics = ranks.agree(statistics_of(dataset, config) if ranks.first else None)
    if config.data.noise_ratio > 0:
        dataset = with_noise(dataset, statistics, config, ranks)
    data = TrainingData(dataset, statistics, key_of(manifest), config, ranks)
    if config.data.weighted or config.data.by_length:
        data.weights = shares_of(dataset, config)
    data.valid, data.test = (held_out(source, data) for source in (config.valid, config.test))
    return data


def held_out(source: str, data: TrainingData) -> TrainingData | None:
    """A list that is scored and not learnt from, without noise; None where none is named."""
    if not source:
        return None
    assert isinstance(data.config, ViTPretrain)
    classes = data.dataset.manifest.label_classes() or None  # those of training, in its order
    manifest = replace(listed(source, data.config), classes=classes)
    return replace(data, dataset=dataset_of(manifest, data.config), loaders=[])


def listed(source: str, config: ViTPretrain) -> Manifest:
    """A list, whose paths start at ``data_path`` where that is given, or a folder."""
    return read_manifest(source, root=config.data.data_path or None)


def statistics_of(dataset: ClipDataset, config: ViTPretrain) -> Statistics:
    """Those given, else measured."""
    if config.data.norm_stats:
        return Statistics(*config.data.norm_stats)
    samples = min(SAMPLES, 2 * len(dataset.manifest))
    return sampled_statistics(dataset, samples, seed=config.train.seed, front_end=config.front_end)


def dataset_of(manifest: Manifest, config: ViTPretrain) -> ClipDataset:
    """Crops of the model's input length, with stored targets where the method needs them."""
    if not config.target_frames:
        return crops_of(manifest, config, config.classes_in(manifest))
    if not is_stored(manifest):
        raise AuricleError(
            f"{config.source} holds sound without features; 'auricle prepare speech' makes spectrograms with features"
        )
    frames, crops = config.crop_frames, config.data.crops
    return SpeechPairs(manifest, frames, config.target_frames, seed=config.train.seed, config=crops)


def is_stored(manifest: Manifest) -> bool:
    return bool(manifest.clips) and manifest.clips[0].store is not None


def crops_of(manifest: Manifest, config: ViTPretrain, classes: tuple[str, ...] | None = None) -> ClipDataset:
    """From stored log-mel where there is one, else from audio; with labels where ``classes`` are given.

    Noise is mixed into log-mel, so with noise the loader makes it; without, the network's own front end does.
    """
    frames, crops, seed = config.crop_frames, config.data.crops, config.train.seed
    if is_stored(manifest):
        front_end_id = stored_front_end(manifest, config.data.stored_front_end)
        stored = Spectrograms(manifest, frames, seed=seed, config=crops, front_end=front_end_id, classes=classes)
        if stored.front_end != config.front_end:
            raise AuricleError(
                f"{config.source} holds '{stored.front_end}' spectrograms, the model takes '{config.front_end}'; "
                "prepare them with the other --sample-rate, or train with it"
            )
        return stored
    if config.data.noise_ratio > 0:
        return LiveSpectrograms(manifest, frames, config.front_end, seed=seed, config=crops, classes=classes)
    front = front_end(config.front_end)
    seconds = (frames - 1) * front.hop_seconds  # centred frames: n hops give n + 1 frames
    return Waveforms(
        manifest,
        front.sample_rate,
        seconds,
        seed=seed,
        config=crops,
        classes=classes,
        resampler=front.resampler,
    )


def stored_front_end(manifest: Manifest, otherwise: str) -> str:
    """What the spectrograms' own card says; ``otherwise`` where they have none (those of the original program)."""
    return otherwise if otherwise and not card_of(manifest) else front_end_of(manifest)


def shares_of(dataset: ClipDataset, config: ViTPretrain) -> np.ndarray:
    """How often every place of an epoch is to be drawn: by weight, by length, or by their product."""
    shares = np.ones(len(dataset.manifest))
    if config.data.weighted:
        shares = shares * weights_of(dataset.manifest, config.source)
    if config.data.by_length:
        shares = shares * lengths_of(dataset.manifest, config.source)
    return np.resize(shares, len(dataset))  # a short list may be repeated


def lengths_of(manifest: Manifest, source: str) -> np.ndarray:
    """Seconds of every clip. Raises AuricleError for a list that does not hold them."""
    lengths = np.nan_to_num(manifest.table.seconds())
    if not lengths.all():
        id = manifest.clips[int(np.argmin(lengths != 0))].id
        raise AuricleError(
            f"{source} does not say how long {id} is, which --by-length needs; 'auricle prepare' writes rate and num_samples"
        )
    return lengths


def weights_of(manifest: Manifest, source: str) -> np.ndarray:
    """The weight of every clip. Raises AuricleError for a list without weights."""
    weights = manifest.table.numbers("weight")
    if (weights == weights[0]).all():
        raise AuricleError(
            f"{source} gives no clip a weight of its own; 'auricle prepare as-list' writes a weighted list"
        )
    return weights


def with_noise(dataset: ClipDataset, statistics: Statistics, config: ViTPretrain, ranks: DistContext) -> ClipDataset:
    """Background noise mixed into log-mel (specification m2d 5.2)."""
    if not config.data.csv_bg_noise:
        raise AuricleError("--noise-ratio needs --csv-bg-noise: a prepared folder, list or folder of noise recordings")
    assert isinstance(dataset, NoisyDataset)
    manifest = listed(config.data.csv_bg_noise, config)
    noise = crops_of(manifest, config)
    mean = ranks.agree(
        sampled_statistics(noise, min(SAMPLES, 2 * len(manifest)), seed=config.train.seed).mean if ranks.first else None
    )
    least = config.data.crops.min_ds_size
    mixed = BackgroundNoise(manifest, mean, config.data.noise_ratio, least, config.front_end)
    return dataset.with_noise(mixed, statistics.mean)


# The data of a run, ready for the loop: batches to learn from, and those that are only scored.

HELD_OUT_CLIPS = 2048  # scored of a longer list: specification m2d 5.4


@dataclass
class TrainingData:
    """A data set ready for the loop. ``key`` changes when the clips do; ``valid`` and ``test`` are not learnt from.

    With ``weights``, one per clip, an epoch draws its clips with replacement, in proportion.
    """

    dataset: ClipDataset
    statistics: Statistics
    key: str
    config: PretrainConfig
    ranks: DistContext
    loaders: list[Loader] = field(default_factory=list)
    valid: TrainingData | None = None
    test: TrainingData | None = None
    weights: np.ndarray | None = None

    @property
    def clips(self) -> int:
        """Clips of an epoch: a short list may be repeated."""
        return len(self.dataset)

    @property
    def listed(self) -> int:
        """Clips of the list."""
        return len(self.dataset.manifest)

    def settled(self, config: PretrainConfig) -> PretrainConfig:
        """Takes the settings with everything decided that was "auto"; returns them."""
        for part in (self, self.valid, self.test):
            if part:
                part.config = config
        return config

    @property
    def batch_clips(self) -> int:
        """Clips of a rank's batch; of its largest where they differ."""
        return self.config.train.batch_size

    def plan(self) -> TrainingLength:
        """How long the run is. Raises AuricleError when the data do not fill one weight update."""
        return TrainingLength.of(self.clips, self.config.train, self.ranks.world)

    def sampler(self) -> ShuffledBatches | BucketBatches:
        """This rank's part of the run's batches, from the beginning."""
        train = self.config.train
        rank, world = self.ranks.rank, self.ranks.world
        return ShuffledBatches(self.clips, train.batch_size, train.seed, rank, world, weights=self.weights)

    def batches(self, micro_step: int) -> Iterator[Batch]:
        """Endless batches from a micro-step on."""
        sampler = self.sampler()
        epoch, inside = divmod(micro_step, sampler.micro_steps)
        return iter(self.opened(replace(sampler, epoch=epoch, micro_step=inside)))

    def held_out(self) -> Iterable[Batch]:
        """This rank's share of the batches that are scored: the same clips and draws every time."""
        return self.loaders[0] if self.loaders else self.opened(self.held_out_sampler())

    def held_out_sampler(self) -> HeldOutBatches:
        train = self.config.train
        batches = draw_held_out(self.clips, train.batch_size, HELD_OUT_CLIPS, train.seed)
        return HeldOutBatches(batches, self.ranks.rank, self.ranks.world)

    def opened(self, sampler: Iterable[list[SampleIndex]]) -> Loader:
        pin = self.ranks.device.type == "cuda"
        self.loaders.append(make_loader(self.dataset, sampler, self.config.train.workers, pin, self.collate))
        return self.loaders[-1]

    def collate(self, samples: Sequence[Sample]) -> Batch:
        return collate(samples)

    def first_clips(self, clips: int) -> Batch:
        """The first clips of the first epoch's order, as in training."""
        seed = self.config.train.seed
        return next(iter(make_loader(self.dataset, ShuffledBatches(self.clips, min(clips, self.clips), seed))))

    def facts(self) -> dict[str, str]:
        """For the run's card."""
        return {"statistics": f"mean {self.statistics.mean:.4f}, deviation {self.statistics.std:.4f}"}

    def every_loader(self) -> list[Loader]:
        return self.loaders + [loader for part in (self.valid, self.test) if part for loader in part.loaders]

    def replaced(self) -> int:
        return sum(len(loader.failed) for loader in self.every_loader())

    def report(self) -> str:
        return "\n".join(filter(None, (loader.report() for loader in self.every_loader())))


def key_of(manifest: Manifest) -> str:
    """16 hex digits of the ids and lengths (and weights), in order: another list is another run."""
    digest = hashlib.sha256()
    for id, samples, weight in manifest.table.rows("id", "num_samples", "weight"):
        own = "" if weight == 1 else f"\t{weight}"
        digest.update(f"{id}\t{samples}{own}\n".encode())
    return digest.hexdigest()[:16]


# MAE-AST's data: audio of any lengths, in batches by samples (specification mae_ast 8).

UNNORMALISED = Statistics(0.0, 1.0)  # the network's own batch norm takes the data's place (specification mae_ast 3.3)


@dataclass
class BucketData(TrainingData):
    """Batches of clips of like length; ``groups`` are their numbers, longest first."""

    groups: tuple[np.ndarray, ...] = ()
    left_out: int = 0  # files that could not be opened

    def replaced(self) -> int:
        return super().replaced() + sum(data.left_out for data in (self, self.valid, self.test) if data)  # type: ignore[attr-defined]

    @property
    def batch_clips(self) -> int:
        return len(self.groups[0]) // self.ranks.world

    def plan(self) -> TrainingLength:
        return TrainingLength.of_batches(self.sampler().micro_steps, self.config.train)

    def sampler(self) -> BucketBatches:
        return BucketBatches(self.groups, self.config.train.seed, self.ranks.rank, self.ranks.world)

    def held_out_sampler(self) -> HeldOutBatches:
        return HeldOutBatches(self.groups, self.ranks.rank, self.ranks.world)

    def collate(self, samples: Sequence[Sample]) -> Batch:
        return cast(WholeClips, self.dataset).collate(samples)

    def first_clips(self, clips: int) -> Batch:
        """The longest clips, cut alike."""
        return next(iter(make_loader(self.dataset, HeldOutBatches([self.groups[0][:clips]]), collate=self.collate)))

    def facts(self) -> dict[str, str]:
        sizes = [len(group) // self.ranks.world for group in self.groups]
        return {"batches": f"{len(sizes)} an epoch, of {min(sizes)} to {max(sizes)} clips"}


def open_buckets(config: MAEASTPretrain, ranks: DistContext) -> BucketData:
    """The training list of a run, and its validation and test lists. Raises AuricleError for what cannot be used."""
    lists = lists_of(config)
    data = opened_list(lists[0], config, ranks, ranks.world)
    data.valid, data.test = (opened_list(path, config, ranks) if path else None for path in lists[1:])
    return data


def lists_of(config: MAEASTPretrain) -> tuple[str, str, str]:
    """What is learnt, validated and tested on: of a folder with train.tsv that list, and valid.tsv and test.tsv beside it."""
    folder = Path(config.source)
    if not (folder / "train.tsv").is_file():
        return config.source, config.valid, config.test
    beside = {name: str(path) if (path := folder / f"{name}.tsv").is_file() else "" for name in ("valid", "test")}
    return str(folder / "train.tsv"), config.valid or beside["valid"], config.test or beside["test"]


def opened_list(source: str, config: MAEASTPretrain, ranks: DistContext, world: int = 1) -> BucketData:
    """``world`` ranks share each batch; with 1 each takes whole ones (held-out lists)."""
    train = config.train
    listed = read_manifest(source)
    readable = with_lengths(listed, quiet=not ranks.first)
    if ranks.first:
        for note in readable.notes[len(listed.notes) :]:
            print(f"{source}: {note}", file=sys.stderr)
    manifest = kept(readable, config.data, source, quiet=not ranks.first)
    groups = make_buckets(manifest, config.data, train.batch_size, train.seed, world)
    dataset = WholeClips(
        manifest, front_end(config.front_end), config.data, seed=train.seed, min_frames=config.model.patch[1]
    )
    left_out = len(listed) - len(readable)
    return BucketData(dataset, UNNORMALISED, key_of(manifest), config, ranks, groups=groups, left_out=left_out)


def kept(manifest: Manifest, config: BucketConfig, source: str, quiet: bool) -> Manifest:
    """The clips of allowed lengths; how many were left out is said. Raises AuricleError when none is left."""
    used = np.array([config.keeps(samples) for samples in clip_samples(manifest).tolist()], bool)
    out = int((~used).sum())
    words = f"{out} of {len(manifest)} clips of {source} have fewer than {config.min_sample_size} samples" + (
        f" or more than {config.max_keep_size}" if config.max_keep_size else ""
    )
    if not used.any():
        raise AuricleError(f"{words}: none is left; lower --min-sample-size")
    if out and not quiet:
        print(f"{words}: left out (--min-sample-size)", file=sys.stderr)
    return replace(manifest, clips=manifest.table.take(used))
