"""Data of the M2D family: crops of stored spectrograms, or of audio whose spectrograms are made during training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from auricle.core.errors import AuricleError
from auricle.data.augment.noise import BackgroundNoise, NoisyDataset
from auricle.data.datasets.base import ClipDataset
from auricle.data.datasets.spectrograms import LiveSpectrograms, Spectrograms
from auricle.data.datasets.speech import SpeechPairs
from auricle.data.datasets.waveforms import Waveforms
from auricle.data.loading.statistics import SAMPLES, Statistics, sampled_statistics
from auricle.data.manifest.formats import read_manifest
from auricle.data.manifest.manifest import Manifest
from auricle.data.stores.npy import card_of, front_end_of
from auricle.frontends.base import front_end
from auricle.methods.data import Processes, TrainingData, content_key
from auricle.methods.m2d.config import ViTPretrain


def open_clips(config: ViTPretrain, processes: Processes) -> TrainingData:
    """Open the data of a run, with the same statistics on all processes.

    Raises:
        AuricleError: for a source that is not there, holds no clips, or was prepared for another front end.
    """
    manifest = read_list(config.source, config)
    dataset = open_dataset(manifest, config)
    statistics = processes.broadcast(measure_statistics(dataset, config) if processes.is_main else None)
    if config.data.noise_ratio > 0:
        dataset = add_noise(dataset, statistics, config, processes)
    data = TrainingData(dataset, statistics, content_key(manifest), config, processes)
    if config.data.weighted or config.data.by_length:
        data.weights = draw_weights(dataset, config)
    data.valid, data.test = (open_scored(source, data, config) for source in (config.valid, config.test))
    return data


def read_list(source: str, config: ViTPretrain) -> Manifest:
    """Read a folder, or a list whose paths start at ``data_path`` if that is set."""
    return read_manifest(source, root=config.data.data_path, label_notes=config.learns_labels)


def open_scored(source: str | None, data: TrainingData, config: ViTPretrain) -> TrainingData | None:
    """Open a list that is scored and not learnt from, without noise; None where none is named."""
    if source is None:
        return None
    classes = data.dataset.manifest.label_classes() or None  # those of training, in its order
    manifest = replace(read_list(source, config), classes=classes)
    return replace(data, dataset=open_dataset(manifest, config), loaders=[])


def measure_statistics(dataset: ClipDataset, config: ViTPretrain) -> Statistics:
    """Return the statistics of the settings, or measure them on a sample of the data."""
    if config.data.norm_stats:
        return Statistics(*config.data.norm_stats)
    samples = min(SAMPLES, 2 * len(dataset.manifest))
    return sampled_statistics(dataset, samples, seed=config.train.seed, front_end=config.front_end)


def open_dataset(manifest: Manifest, config: ViTPretrain) -> ClipDataset:
    """Open crops of the model's input length, with stored targets where the method needs them."""
    if config.target_frames is None:
        return open_crops(manifest, config, config.classes_in(manifest))
    if not is_stored(manifest):
        raise AuricleError(
            f"{config.source} holds sound without features; 'auricle prepare speech' makes spectrograms with features"
        )
    frames, crops = config.crop_frames, config.data.crops
    return SpeechPairs(manifest, frames, config.target_frames, seed=config.train.seed, config=crops)


def is_stored(manifest: Manifest) -> bool:
    """Return True if the manifest lists stored spectrograms."""
    return bool(manifest.clips) and manifest.clips[0].has_spectrogram


def open_crops(manifest: Manifest, config: ViTPretrain, classes: tuple[str, ...] | None = None) -> ClipDataset:
    """Open crops from stored log-mel where there is one, else from audio; with labels if ``classes`` is set.

    Noise is mixed into log-mel. With noise the loader therefore makes the log-mel of audio; without noise the network's
    own front end makes it.
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


def stored_front_end(manifest: Manifest, otherwise: str | None) -> str:
    """Return the front end that the spectrograms' own card names; ``otherwise`` where they have no card."""
    return otherwise if otherwise and not card_of(manifest) else front_end_of(manifest)


def draw_weights(dataset: ClipDataset, config: ViTPretrain) -> np.ndarray:
    """Return how often each place of an epoch is to be drawn: by weight, by length, or by their product."""
    weights = np.ones(len(dataset.manifest))
    if config.data.weighted:
        weights = weights * clip_weights(dataset.manifest, config.source)
    if config.data.by_length:
        weights = weights * clip_seconds(dataset.manifest, config.source)
    return np.resize(weights, len(dataset))  # a short list may be repeated


def clip_seconds(manifest: Manifest, source: str) -> np.ndarray:
    """Return the length of every clip, in seconds.

    Raises:
        AuricleError: for a list that does not hold them.
    """
    lengths = np.nan_to_num(manifest.table.seconds())
    if not lengths.all():
        id = manifest.clips[int(np.argmin(lengths != 0))].id
        raise AuricleError(
            f"{source} does not hold the length of {id}, which --by-length needs; 'auricle prepare' writes rate and num_samples"
        )
    return lengths


def clip_weights(manifest: Manifest, source: str) -> np.ndarray:
    """Return the weight of every clip.

    Raises:
        AuricleError: for a list without weights.
    """
    weights = manifest.table.numbers("weight")
    if (weights == weights[0]).all():
        raise AuricleError(
            f"{source} gives no clip a weight of its own; 'auricle prepare as-list' writes a weighted list"
        )
    return weights


def add_noise(dataset: ClipDataset, statistics: Statistics, config: ViTPretrain, processes: Processes) -> ClipDataset:
    """Mix background noise into the log-mel of a dataset ([m2d 5.2](docs/specification/m2d.md#s5-2))."""
    if config.data.csv_bg_noise is None:
        raise AuricleError("--noise-ratio needs --csv-bg-noise: a prepared folder, list or folder of noise recordings")
    assert isinstance(dataset, NoisyDataset)
    manifest = read_list(config.data.csv_bg_noise, config)
    mean = None
    if processes.is_main:
        samples = min(SAMPLES, 2 * len(manifest))
        mean = sampled_statistics(open_crops(manifest, config), samples, seed=config.train.seed).mean
    noise = BackgroundNoise(
        manifest,
        processes.broadcast(mean),
        config.data.noise_ratio,
        config.data.crops.min_ds_size,
        config.front_end,
    )
    return dataset.with_noise(noise, statistics.mean)
