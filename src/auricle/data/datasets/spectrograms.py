"""Crops of stored log-mel spectrograms, read through memory maps: only the frames of the crop leave the disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from auricle.core.randomness import RandomKey
from auricle.data.augment.noise import NoisyDataset
from auricle.data.datasets.base import Crop
from auricle.data.datasets.crops import CropConfig, crop_start, fit
from auricle.data.datasets.waveforms import Clips
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.stores.base import open_store
from auricle.data.stores.conversion import log_mel_of_wave
from auricle.data.stores.npy import front_end_of
from auricle.frontends.base import front_end as front_end_by_id


class Spectrograms(NoisyDataset):
    """Raw (not normalised) log-mel crops (F, frames), float32; ``frames`` None gives whole clips.

    ``front_end`` is the id of what made the store: by default what its ``prepare.json`` says. ``classes`` adds labels.
    Raises AuricleError for an empty manifest, an unknown front end and labels that are not among the classes.
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

    def cut(self, clip: Clip, key: RandomKey) -> Crop:
        array = self.store.open(clip).values
        width = self.frames or array.shape[1]
        return self.crop(array, self.start(array, width, key), width, clip, key)

    def crop(self, array: np.ndarray, start: int, width: int, clip: Clip, key: RandomKey) -> Crop:
        """``width`` frames of (F, N) from ``start`` on, filled up where there are fewer, mixed with noise where asked."""
        values = fit(np.asarray(array[:, start : start + width], np.float32), width, self.config.short)
        length = width if self.config.short == "repeat" else min(width, array.shape[1])
        seconds = (clip.start or 0.0) + start * self.hop_seconds
        return self.noisy(Crop(values, length, seconds), key)

    def start(self, array: np.ndarray, width: int, key: RandomKey) -> int:
        """The first of ``width`` frames of (F, N)."""
        if self.config.crop == "start":
            return 0
        loudness = (lambda at: float(array[:, at : at + width].mean())) if self.config.crop == "loud" else None
        return crop_start(
            key.of("crop"), array.shape[1], width, published=self.config.published_crop, loudness=loudness
        )


# Crops of recordings, decoded at the crop and made into log-mel by the loader: what noise is mixed into.


class LiveSpectrograms(NoisyDataset):
    """Raw (not normalised) log-mel crops (F, frames) of sound, by a front end with centred frames.

    Sound that is too short is filled up before the transform. Raises what ``Clips`` raises.
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
        self.clips = Clips(manifest, rate, seconds, seed=seed, config=config, resampler=self.front.resampler)

    def cut(self, clip: Clip, key: RandomKey) -> Crop:
        sound = self.clips.cut(clip, key)
        values = log_mel_of_wave(sound.values, self.front)
        length = min(self.frames, self.front.num_frames(sound.length))
        return self.noisy(replace(sound, values=values, length=length), key)
