"""Crops of log-mel spectrograms: stored ones, of which only the frames of the crop are read, or computed from audio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from auricle.core.randomness import RandomKey
from auricle.data.augment.noise import NoisyDataset
from auricle.data.datasets.base import Crop, CropConfig, crop_start, fit_length
from auricle.data.datasets.waveforms import Waveforms
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.stores.base import open_store
from auricle.data.stores.conversion import log_mel_of_wave
from auricle.data.stores.npy import front_end_of
from auricle.frontends.base import front_end as front_end_by_id


class Spectrograms(NoisyDataset):
    """Crops (F, frames) of stored log-mel spectrograms, float32, not normalised.

    Args:
        manifest: Clips with a stored spectrogram.
        frames: Length of the crops; None gives whole clips.
        seed: Seed of the random draws.
        config: How clips are cut.
        front_end: Id of the front end that made the spectrograms; by default that of their ``prepare.json``.
        classes: Class list of the labels.

    Raises:
        AuricleError: The manifest is empty, the front end is unknown, or labels are not among the classes.
    """

    def __init__(
        self,
        manifest: Manifest,
        frames: int | None,
        *,
        seed: int = 0,
        config: CropConfig | None = None,
        front_end: str | None = None,
        classes: Sequence[str] | None = None,
    ):
        self.front_end = front_end or front_end_of(manifest)
        front = front_end_by_id(self.front_end)
        super().__init__(manifest, front.sample_rate, seed=seed, config=config or CropConfig(), classes=classes)
        self.store = open_store(manifest, "spectrogram")
        self.frames, self.hop_seconds = frames, front.hop_seconds

    def crop(self, clip: Clip, key: RandomKey) -> Crop:
        """Read a crop of a clip. Raises AudioError when its spectrogram cannot be read."""
        array = self.store.open(clip).values
        frames = self.frames or array.shape[1]
        return self.crop_at(array, self.first_frame(array, frames, key), frames, clip, key)

    def crop_at(self, array: np.ndarray, first: int, frames: int, clip: Clip, key: RandomKey) -> Crop:
        """Cut ``frames`` frames of (F, N) from ``first`` on, fill up where there are fewer, and mix with noise if set."""
        values = fit_length(np.asarray(array[:, first : first + frames], np.float32), frames, self.config.short)
        length = frames if self.config.short == "repeat" else min(frames, array.shape[1])
        seconds = (clip.start or 0.0) + first * self.hop_seconds
        return self.with_noise_mixed(Crop(values, length, seconds), key)

    def first_frame(self, array: np.ndarray, frames: int, key: RandomKey) -> int:
        """Draw the first of ``frames`` frames of (F, N)."""
        if self.config.crop == "start":
            return 0
        loudness = (lambda at: float(array[:, at : at + frames].mean())) if self.config.crop == "loud" else None
        return crop_start(
            key.of("crop"), array.shape[1], frames, published=self.config.published_crop, loudness=loudness
        )


class LiveSpectrograms(NoisyDataset):
    """Crops (F, frames) of log-mel spectrograms that are computed from audio, not normalised.

    The audio of the crop is decoded, filled up where it is too short, and transformed by a front end with centred frames.

    Args:
        manifest: Clips with audio.
        frames: Length of the crops.
        front_end: Id of the front end.
        seed: Seed of the random draws.
        config: How clips are cut.
        classes: Class list of the labels.

    Raises:
        AuricleError: What ``Waveforms`` raises, or the front end is unknown.
    """

    def __init__(
        self,
        manifest: Manifest,
        frames: int,
        front_end: str,
        *,
        seed: int = 0,
        config: CropConfig | None = None,
        classes: Sequence[str] | None = None,
    ):
        self.front_end, self.front = front_end, front_end_by_id(front_end)
        rate, config = self.front.sample_rate, config or CropConfig()
        super().__init__(manifest, rate, seed=seed, config=config, classes=classes)
        self.frames = frames
        seconds = (frames - 1) * self.front.hop_seconds
        self.waveforms = Waveforms(manifest, rate, seconds, seed=seed, config=config, resampler=self.front.resampler)

    def crop(self, clip: Clip, key: RandomKey) -> Crop:
        """Compute a crop of a clip. Raises AudioError when its file cannot be used."""
        audio = self.waveforms.crop(clip, key)
        values = log_mel_of_wave(audio.values, self.front)
        length = min(self.frames, self.front.num_frames(audio.length))
        return self.with_noise_mixed(replace(audio, values=values, length=length), key)
