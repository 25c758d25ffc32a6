"""Background noise mixed into log-mel spectrograms (specification m2d 5.2)."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Self

import numpy as np

from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomKey, key_of
from auricle.data.datasets.base import ClipDataset, Crop
from auricle.data.datasets.crops import crop_start, inflated
from auricle.data.datasets.waveforms import Clips
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.stores.base import open_store
from auricle.data.stores.conversion import log_mel_of_wave
from auricle.frontends.base import front_end

EPS = np.finfo(np.float32).eps  # specification m2d 1.2: the floor of every logarithm


def log_mix(clean: np.ndarray, noise: np.ndarray, ratio: float) -> np.ndarray:
    """Log of the energies mixed, ``ratio`` of noise: log(max(ratio*exp(noise) + (1-ratio)*exp(clean), eps)).

    Both (F, W) centred log-mel: each minus the mean of its own corpus, not of the clip. ``ratio`` of 1 or more is the
    noise alone.
    """
    if ratio >= 1:
        return noise
    return np.log(np.maximum(ratio * np.exp(noise) + (1 - ratio) * np.exp(clean), EPS)).astype(np.float32)


@dataclass(frozen=True)
class BackgroundNoise:
    """A manifest of noise, taken without replacement: reshuffled, by key, each time it is used up.

    Its spectrograms are those stored, or are made from its sound by the front end called ``front_end``. ``mean`` is the
    scalar mean of the noise corpus (``statistics.sampled_statistics``), ``ratio`` the share of noise energy,
    ``min_ds_size`` the length up to which the list is repeated.
    """

    manifest: Manifest
    mean: float
    ratio: float
    min_ds_size: int = 0
    front_end: str = ""

    def partner(self, key: RandomKey) -> int:
        """Which noise the clip at ``key.position`` gets: the list in a new order every time it has been through."""
        count = inflated(len(self.manifest), self.min_ds_size)
        deck, place = divmod(key.position, count)
        return int(_deck(key.seed, key.epoch, deck, count)[place]) % len(self.manifest)

    def centred(self, key: RandomKey, width: int, *, published: bool = False) -> np.ndarray:
        """(F, width) noise minus the noise mean: doubled until long enough, then a keyed crop."""
        clip = self.manifest.clips[self.partner(key)]
        array = doubled(
            open_store(self.manifest, "spectrogram").open(clip).values if clip.key else self.heard(clip, key, width),
            width,
        )
        start = crop_start(key.of("noise crop"), array.shape[-1], width, published=published)
        return np.asarray(array[..., start : start + width], np.float32) - np.float32(self.mean)

    def heard(self, clip: Clip, key: RandomKey, width: int) -> np.ndarray:
        """(F, up to width) of a keyed span of the clip's sound; only that span is decoded."""
        if not self.front_end:
            raise AuricleError(
                f"the noise '{clip.id}' is sound, not a stored spectrogram; 'auricle prepare' makes them"
            )
        front = front_end(self.front_end)
        seconds = (width - 1) * front.hop_seconds
        sound = Clips(self.manifest, front.sample_rate, seconds, resampler=front.resampler)
        cut = sound.cut(clip, replace(key, seed=key_of("noise span", key.seed)))  # not where the main clip is cut
        return log_mel_of_wave(cut.values[: max(cut.length, front.min_samples)], front)

    def mixed(self, clean: np.ndarray, mean: float, key: RandomKey, *, published: bool = False) -> np.ndarray:
        """Raw (F, W) -> raw (F, W) with noise; ``mean`` is the main corpus's scalar mean, added again after mixing."""
        noise = self.centred(key, clean.shape[-1], published=published)
        return log_mix(clean - np.float32(mean), noise, self.ratio) + np.float32(mean)


class NoisyDataset(ClipDataset):
    """Clips of raw log-mel, into which noise can be mixed."""

    noise: BackgroundNoise | None = None
    mean: float = 0.0

    def with_noise(self, noise: BackgroundNoise, mean: float) -> Self:
        """A copy whose clips are mixed with noise; ``mean`` is this corpus's scalar mean (its statistics)."""
        twin = copy.copy(self)
        twin.noise, twin.mean = noise, mean
        return twin

    def noisy(self, cut: Crop, key: RandomKey) -> Crop:
        """The cut with noise in it and its ``clean`` self beside it; as it is where no noise was asked for."""
        if self.noise is None:
            return cut
        mixed = self.noise.mixed(cut.values, self.mean, key, published=self.config.published_crop)
        return replace(cut, values=mixed, clean=cut.values)


def doubled(array: np.ndarray, width: int) -> np.ndarray:
    """(..., N) joined to itself until it has at least ``width`` frames, as noise is (specification m2d 5.2)."""
    while array.shape[-1] < width:
        array = np.concatenate([array, array], axis=-1)
    return array


@lru_cache(maxsize=4)
def _deck(seed: int, epoch: int, deck: int, count: int) -> np.ndarray:
    return RandomKey(seed, epoch, deck).of("noise order").permutation(count)
