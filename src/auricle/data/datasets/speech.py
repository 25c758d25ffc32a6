"""Spectrograms of speech with the stored features of a speech model as targets (specification m2d 5.8).

A prepared folder holds ``lms/<key>`` and ``features/<key>``; the published layout is one ``.npz`` per recording with
arr_0 = log-mel, arr_1 = features, arr_2 = how many features belong to the recording before it was padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from auricle.core.errors import AudioError, AuricleError
from auricle.core.randomness import RandomKey
from auricle.data.datasets.base import Crop
from auricle.data.datasets.crops import CropConfig
from auricle.data.datasets.spectrograms import Spectrograms
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.stores.card import SETTINGS, read_card
from auricle.data.stores.npy import checked, open_array, open_npz

FEATURES = "features"
PUBLISHED_FRONT_END = "m2d-logmel/16k"
FRAMES_PER_FEATURE = 2  # 100 log-mel frames and 50 features a second
SAMPLE_RATE = 16000


class Pair(NamedTuple):
    """log_mel (F, N), features (T', D), and how many features belong to the recording without its padding."""

    log_mel: np.ndarray
    features: np.ndarray
    valid: int


class SpeechPairs(Spectrograms):
    """Crops of ``frames`` log-mel frames, with the mean feature of every ``target_frames`` frames as targets (T', D).

    ``target_frames`` is the width of the network's patches. Raises AuricleError for odd widths, and for a store
    without features.
    """

    def __init__(
        self,
        manifest: Manifest,
        frames: int,
        target_frames: int,
        *,
        seed: int = 0,
        config: CropConfig | None = None,
        front_end: str | None = None,
        classes: Sequence[str] | None = None,
    ):
        if frames % FRAMES_PER_FEATURE or target_frames % FRAMES_PER_FEATURE:
            raise AuricleError(
                f"there are {FRAMES_PER_FEATURE} frames to a speech feature: crops of {frames} frames and patches of "
                f"{target_frames} must both be even"
            )
        super().__init__(
            manifest, frames, seed=seed, config=config, classes=classes, front_end=front_end or published(manifest)
        )
        self.target_frames = target_frames
        self.min_seconds = 0.0 if published(manifest) else min_seconds_of(manifest)

    @property
    def target_width(self) -> int:
        """D, of the first clip."""
        return self.pair(self.manifest.clips[0]).features.shape[1]

    def cut(self, clip: Clip, key: RandomKey) -> Crop:
        assert self.frames is not None
        pair = self.pair(clip)
        width = self.frames // FRAMES_PER_FEATURE
        length = valid_length(pair, width, self.target_frames, clip.id)
        log_mel = pair.log_mel[:, : FRAMES_PER_FEATURE * length]
        start = self.start(log_mel, self.frames, key)
        first = width * start // self.frames
        features = np.asarray(pair.features[:length][first : first + width], np.float32)
        cut = self.crop(log_mel, start, self.frames, clip, key)
        targets = averaged(features, self.target_frames // FRAMES_PER_FEATURE)
        return replace(cut, targets=targets, target_hop=self.target_frames * self.hop_seconds)

    def pair(self, clip: Clip) -> Pair:
        """Raises AudioError for files that are not there or hold something else."""
        path = self.manifest.spectrogram(clip)
        if path.suffix == ".npz":
            return published_pair(path)
        features = open_array(features_path(self.manifest, clip))
        return Pair(
            self.store.open(clip).values, features, len(features) * unpadded(clip) // padded(clip, self.min_seconds)
        )


def published(manifest: Manifest) -> str | None:
    """The front end of the published layout where the manifest lists ``.npz`` files."""
    key = manifest.clips[0].key if manifest.clips else None
    return PUBLISHED_FRONT_END if key is not None and key.endswith(".npz") else None


def published_pair(path: Path) -> Pair:
    log_mel, features, valid = open_npz(path, ("arr_0", "arr_1", "arr_2"))
    if valid.size != 1:
        raise AudioError(f"{path}: arr_2 should be one number of features, found {valid.shape}")
    return Pair(checked(log_mel, path), checked(features, path), int(valid.reshape(())))


def valid_length(pair: Pair, width: int, target_frames: int, id: str) -> int:
    """Features that may be used: of the recording alone, or a crop's ``width`` where that is more, in whole patches."""
    length = max(pair.valid, width)
    length -= length % target_frames
    if length < width or len(pair.features) < width:
        raise AuricleError(
            f"'{id}' has {min(length, len(pair.features))} usable features and a crop needs {width}: take a shorter "
            "crop, or extract the features with longer padding (--min-seconds)"
        )
    return length


def averaged(features: np.ndarray, count: int) -> np.ndarray:
    """(T', D) -> (T' // count, D), the mean of every ``count`` consecutive features."""
    whole = len(features) // count * count
    return features[:whole].reshape(-1, count, features.shape[1]).mean(axis=1)


def features_path(manifest: Manifest, clip: Clip) -> Path:
    """``features/<key>`` beside the folder of the clip's spectrogram."""
    return features_folder(manifest, clip) / str(clip.key)


def features_folder(manifest: Manifest, clip: Clip) -> Path:
    return (manifest.root / (clip.store or "")).parent / FEATURES


def min_seconds_of(manifest: Manifest) -> float:
    """To how many seconds sound was padded before its features were made. Raises AuricleError where there are none."""
    card = features_folder(manifest, manifest.clips[0]) / SETTINGS
    if not card.is_file():
        raise AuricleError(f"{manifest.root} holds no speech features; 'auricle prepare speech' makes them")
    return float(read_card(card)["min_seconds"])


def unpadded(clip: Clip) -> int:
    """Samples of the clip at 16 kHz."""
    if clip.seconds is None:
        raise AuricleError(f"the manifest does not say how long '{clip.id}' is; prepare it again")
    return round(clip.seconds * SAMPLE_RATE)


def padded(clip: Clip, min_seconds: float) -> int:
    return max(unpadded(clip), int(min_seconds * SAMPLE_RATE))
