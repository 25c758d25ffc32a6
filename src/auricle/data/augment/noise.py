"""Mix background noise into log-mel spectrograms ([m2d 5.2](docs/specification/m2d.md#s5-2))."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Self

import numpy as np

from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomKey, key_of
from auricle.data.datasets.base import ClipDataset, Crop, crop_start, epoch_length
from auricle.data.datasets.waveforms import Waveforms
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.stores.base import open_store
from auricle.data.stores.conversion import log_mel_of_wave
from auricle.frontends.base import front_end

EPS = np.finfo(np.float32).eps  # [m2d 1.2](docs/specification/m2d.md#s1-2): the floor of every logarithm


def log_mix(clean: np.ndarray, noise: np.ndarray, ratio: float) -> np.ndarray:
    """Mix two log-mel spectrograms by energy: log(max(ratio * exp(noise) + (1 - ratio) * exp(clean), eps)).

    Args:
        clean: (F, T), minus the mean of its corpus.
        noise: (F, T), minus the mean of the noise corpus.
        ratio: Share of the noise; 1 or more gives the noise alone.

    Returns:
        (F, T) float32.
    """
    if ratio >= 1:
        return noise
    return np.log(np.maximum(ratio * np.exp(noise) + (1 - ratio) * np.exp(clean), EPS)).astype(np.float32)


@dataclass(frozen=True)
class BackgroundNoise:
    """A list of noise recordings, used without replacement and reshuffled each time it is used up.

    Attributes:
        manifest: The noise. Its spectrograms are stored, or are computed from its audio.
        mean: Mean of the noise corpus (``statistics.sampled_statistics``).
        ratio: Share of the noise in the energy.
        min_ds_size: Length up to which the list is repeated.
        front_end: Id of the front end that computes spectrograms from audio.
    """

    manifest: Manifest
    mean: float
    ratio: float
    min_ds_size: int = 0
    front_end: str = ""

    def partner(self, key: RandomKey) -> int:
        """Return the row of the noise for the clip at ``key.position``. Each pass through the list has a new order."""
        count = epoch_length(len(self.manifest), self.min_ds_size)
        deck, place = divmod(key.position, count)
        return int(_deck(key.seed, key.epoch, deck, count)[place]) % len(self.manifest)

    def centred(self, key: RandomKey, frames: int, *, published: bool = False) -> np.ndarray:
        """Return a crop of noise (F, frames) minus the mean of the noise; short noise is repeated first."""
        clip = self.manifest.clips[self.partner(key)]
        stored = open_store(self.manifest, "spectrogram").open(clip).values if clip.has_spectrogram else None
        array = repeat_to_length(self._log_mel_of_audio(clip, key, frames) if stored is None else stored, frames)
        start = crop_start(key.of("noise crop"), array.shape[-1], frames, published=published)
        return np.asarray(array[..., start : start + frames], np.float32) - np.float32(self.mean)

    def _log_mel_of_audio(self, clip: Clip, key: RandomKey, frames: int) -> np.ndarray:
        """(F, up to ``frames``) of a keyed part of the clip's audio; only that part is decoded."""
        if not self.front_end:
            raise AuricleError(
                f"the noise '{clip.id}' is sound, not a stored spectrogram; 'auricle prepare' makes them"
            )
        front = front_end(self.front_end)
        seconds = (frames - 1) * front.hop_seconds
        waveforms = Waveforms(self.manifest, front.sample_rate, seconds, resampler=front.resampler)
        crop = waveforms.crop(clip, replace(key, seed=key_of("noise span", key.seed)))  # not where the main clip is cut
        return log_mel_of_wave(crop.values[: max(crop.length, front.min_samples)], front)

    def mixed(self, clean: np.ndarray, mean: float, key: RandomKey, *, published: bool = False) -> np.ndarray:
        """Mix noise into a log-mel spectrogram (F, T); ``mean`` is the mean of the main corpus."""
        noise = self.centred(key, clean.shape[-1], published=published)
        return log_mix(clean - np.float32(mean), noise, self.ratio) + np.float32(mean)


class NoisyDataset(ClipDataset):
    """A data set of log-mel spectrograms into which noise can be mixed."""

    noise: BackgroundNoise | None = None
    mean: float = 0.0

    def with_noise(self, noise: BackgroundNoise, mean: float) -> Self:
        """Return a copy whose clips are mixed with noise; ``mean`` is the mean of this corpus (its statistics)."""
        twin = copy.copy(self)
        twin.noise, twin.mean = noise, mean
        return twin

    def with_noise_mixed(self, crop: Crop, key: RandomKey) -> Crop:
        """Return a crop with noise mixed in, and the crop without it as ``clean``; the same crop where no noise is set."""
        if self.noise is None:
            return crop
        mixed = self.noise.mixed(crop.values, self.mean, key, published=self.config.published_crop)
        return replace(crop, values=mixed, clean=crop.values)


def repeat_to_length(array: np.ndarray, frames: int) -> np.ndarray:
    """Double an array (..., N) until it has at least ``frames`` frames ([m2d 5.2](docs/specification/m2d.md#s5-2))."""
    while array.shape[-1] < frames:
        array = np.concatenate([array, array], axis=-1)
    return array


@lru_cache(maxsize=4)
def _deck(seed: int, epoch: int, deck: int, count: int) -> np.ndarray:
    return RandomKey(seed, epoch, deck).of("noise order").permutation(count)
