"""The data of a run by its settings: what a source is, and its statistics (measured once, the same on all ranks)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from auricle.data.clips import Clips
from auricle.data.items import ClipDataset
from auricle.data.live_spectrograms import LiveSpectrograms
from auricle.data.manifest import Manifest
from auricle.data.manifest_io import read_manifest
from auricle.data.mixing import Noise, NoisyDataset
from auricle.data.spectrograms import Spectrograms
from auricle.data.speech import SpeechPairs
from auricle.data.statistics import SAMPLES, Statistics, sampled_statistics
from auricle.data.stores import card_of, front_end_of
from auricle.errors import AuricleError
from auricle.jobs.bucket_data import open_buckets
from auricle.jobs.methods import MAEASTPretrain, PretrainConfig, ViTPretrain
from auricle.jobs.run_data import TrainingData, key_of
from auricle.signal.front_ends import front_end

if TYPE_CHECKING:
    from auricle.training.distribution import Ranks


def open_data(config: PretrainConfig, ranks: Ranks) -> TrainingData:
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
    return Clips(
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


def shares_of(dataset: ClipDataset, config: ViTPretrain) -> list[float]:
    """How often every place of an epoch is to be drawn: by weight, by length, or by their product."""
    ones = [1.0] * len(dataset)
    weights = weights_of(dataset, config.source) if config.data.weighted else ones
    lengths = lengths_of(dataset, config.source) if config.data.by_length else ones
    return [weight * length for weight, length in zip(weights, lengths, strict=True)]


def lengths_of(dataset: ClipDataset, source: str) -> list[float]:
    """Seconds of the clip at every place of an epoch. Raises AuricleError for a list that does not say them."""
    clips = [dataset.clip(number) for number in range(len(dataset))]
    lengths = [clip.seconds or 0.0 for clip in clips]
    if not all(lengths):
        id = clips[lengths.index(0.0)].id
        raise AuricleError(
            f"{source} does not say how long {id} is, which --by-length needs; 'auricle prepare' writes rate and num_samples"
        )
    return lengths


def weights_of(dataset: ClipDataset, source: str) -> list[float]:
    """The list's weight of every place of an epoch. Raises AuricleError for a list without weights."""
    weights = [dataset.clip(number).weight for number in range(len(dataset))]
    if len(set(weights)) == 1:
        raise AuricleError(
            f"{source} gives no clip a weight of its own; 'auricle prepare as-list' writes a weighted list"
        )
    return weights


def with_noise(dataset: ClipDataset, statistics: Statistics, config: ViTPretrain, ranks: Ranks) -> ClipDataset:
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
    mixed = Noise(manifest, mean, config.data.noise_ratio, least, config.front_end)
    return dataset.with_noise(mixed, statistics.mean)
