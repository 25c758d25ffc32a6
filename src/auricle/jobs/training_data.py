"""The data of a run: what a source is, its statistics (measured once, the same on all ranks), and its batches."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from auricle.data.batch import Batch
from auricle.data.clips import Clips
from auricle.data.items import ClipDataset
from auricle.data.loader import Loader, make_loader
from auricle.data.manifest import Manifest
from auricle.data.manifest_io import read_manifest
from auricle.data.mixing import Noise
from auricle.data.sampler import Batches
from auricle.data.spectrograms import Spectrograms
from auricle.data.speech import SpeechPairs
from auricle.data.statistics import SAMPLES, Statistics, sampled_statistics
from auricle.data.stores import card_of, front_end_of
from auricle.errors import AuricleError
from auricle.signal.front_ends import front_end

if TYPE_CHECKING:
    from auricle.jobs.methods import PretrainConfig
    from auricle.training.distribution import Ranks


@dataclass
class TrainingData:
    """A data set ready for the loop. ``key`` changes when the clips do."""

    dataset: ClipDataset
    statistics: Statistics
    key: str
    config: PretrainConfig
    ranks: Ranks
    loaders: list[Loader] = field(default_factory=list)

    @property
    def clips(self) -> int:
        return len(self.dataset)

    def batches(self, micro_step: int) -> Iterator[Batch]:
        """Endless batches from a micro-step on."""
        train = self.config.train
        sampler = Batches(self.clips, train.batch_size, train.seed, self.ranks.rank, self.ranks.world)
        epoch, inside = divmod(micro_step, sampler.micro_steps)
        sampler = replace(sampler, epoch=epoch, micro_step=inside)
        pin = self.ranks.device.type == "cuda"
        self.loaders.append(make_loader(self.dataset, sampler, train.workers, pin_memory=pin))
        return iter(self.loaders[-1])

    def first_clips(self, clips: int) -> Batch:
        """The first clips of the first epoch's order, as in training."""
        seed = self.config.train.seed
        return next(iter(make_loader(self.dataset, Batches(self.clips, min(clips, self.clips), seed))))

    def replaced(self) -> int:
        return sum(len(loader.failed) for loader in self.loaders)

    def report(self) -> str:
        return "\n".join(filter(None, (loader.report() for loader in self.loaders)))


def open_data(config: PretrainConfig, ranks: Ranks) -> TrainingData:
    """Raises AuricleError for a source that is not there, holds no clips, or was prepared for another front end."""
    manifest = listed(config.source, config)
    dataset = dataset_of(manifest, config)
    statistics = ranks.agree(statistics_of(dataset, config) if ranks.first else None)
    if config.data.noise_ratio > 0:
        dataset = with_noise(dataset, statistics, config, ranks)
    return TrainingData(dataset, statistics, key_of(manifest), config, ranks)


def listed(source: str, config: PretrainConfig) -> Manifest:
    """A list, whose paths start at ``data_path`` where that is given, or a folder."""
    return read_manifest(source, root=config.data.data_path or None)


def statistics_of(dataset: ClipDataset, config: PretrainConfig) -> Statistics:
    """Those given, else measured."""
    if config.data.norm_stats:
        return Statistics(*config.data.norm_stats)
    samples = min(SAMPLES, 2 * len(dataset.manifest))
    return sampled_statistics(dataset, samples, seed=config.train.seed, front_end=config.front_end)


def dataset_of(manifest: Manifest, config: PretrainConfig) -> ClipDataset:
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


def crops_of(manifest: Manifest, config: PretrainConfig, classes: tuple[str, ...] | None = None) -> ClipDataset:
    """From stored log-mel where there is one, else from audio; with labels where ``classes`` are given."""
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
    front = front_end(config.front_end)
    seconds = (frames - 1) * front.hop_seconds  # centred frames: n hops give n + 1 frames
    return Clips(manifest, front.sample_rate, seconds, seed=seed, config=crops, classes=classes)


def stored_front_end(manifest: Manifest, otherwise: str) -> str:
    """What the spectrograms' own card says; ``otherwise`` where they have none (those of the original program)."""
    return otherwise if otherwise and not card_of(manifest) else front_end_of(manifest)


def with_noise(dataset: ClipDataset, statistics: Statistics, config: PretrainConfig, ranks: Ranks) -> ClipDataset:
    """Background noise mixed into stored log-mel (specification m2d 5.2)."""
    if not config.data.csv_bg_noise:
        raise AuricleError("--noise-ratio needs --csv-bg-noise: a prepared folder of noise recordings")
    if not isinstance(dataset, Spectrograms):
        raise AuricleError("noise is mixed into stored log-mel; prepare the data first ('auricle prepare')")
    manifest = listed(config.data.csv_bg_noise, config)
    noise = crops_of(manifest, config)
    mean = ranks.agree(
        sampled_statistics(noise, min(SAMPLES, 2 * len(manifest)), seed=config.train.seed).mean if ranks.first else None
    )
    mixed = Noise(manifest, mean, config.data.noise_ratio, config.data.crops.min_ds_size)
    return dataset.with_noise(mixed, statistics.mean)


def key_of(manifest: Manifest) -> str:
    """16 hex digits of the ids and lengths, in order: another list is another run."""
    digest = hashlib.sha256()
    for clip in manifest:
        digest.update(f"{clip.id}\t{clip.num_samples}\n".encode())
    return digest.hexdigest()[:16]
