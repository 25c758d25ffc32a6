"""Spectrograms of speech with the stored features of a speech model as targets ([m2d 5.8](docs/specification/m2d.md#s5-8)).

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
from auricle.data.datasets.base import Crop, CropConfig
from auricle.data.datasets.spectrograms import Spectrograms
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.stores.npy import SETTINGS, check_spectrogram, open_array, open_npz, read_card

FEATURES = "features"
PUBLISHED_FRONT_END = "m2d-logmel/16k"
FRAMES_PER_FEATURE = 2  # 100 log-mel frames and 50 features a second
SAMPLE_RATE = 16000


class SpeechPair(NamedTuple):
    """A spectrogram and its features.

    Attributes:
        log_mel: (F, N).
        features: (T', D).
        valid: How many features belong to the recording without its padding.
    """

    log_mel: np.ndarray
    features: np.ndarray
    valid: int


class SpeechPairs(Spectrograms):
    """Crops of log-mel frames, with the mean feature of every ``target_frames`` frames as targets (T', D).

    Args:
        manifest: Clips with stored spectrograms and features.
        frames: Length of the crops; even.
        target_frames: Frames per target: the frames of the network's patches; even.
        seed: Seed of the random draws.
        config: How clips are cut.
        front_end: Id of the front end that made the spectrograms; by default that of their ``prepare.json``.
        classes: Class list of the labels.

    Raises:
        AuricleError: A number of frames is odd, or the store has no features.
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
            manifest,
            frames,
            seed=seed,
            config=config,
            classes=classes,
            front_end=front_end or published_front_end(manifest),
        )
        self.target_frames = target_frames
        self.min_seconds = 0.0 if published_front_end(manifest) else _min_seconds_of(manifest)

    @property
    def target_width(self) -> int:
        """D, taken from the first clip."""
        return self.pair(self.manifest.clips[0]).features.shape[1]

    def crop(self, clip: Clip, key: RandomKey) -> Crop:
        """Read a crop of a clip and its targets. Raises AudioError for files that are missing or damaged."""
        assert self.frames is not None
        pair = self.pair(clip)
        count = self.frames // FRAMES_PER_FEATURE
        length = usable_features(pair, count, self.target_frames, clip.id)
        log_mel = pair.log_mel[:, : FRAMES_PER_FEATURE * length]
        start = self.first_frame(log_mel, self.frames, key)
        first = count * start // self.frames
        features = np.asarray(pair.features[:length][first : first + count], np.float32)
        crop = self.crop_at(log_mel, start, self.frames, clip, key)
        targets = average_groups(features, self.target_frames // FRAMES_PER_FEATURE)
        return replace(crop, targets=targets, target_hop=self.target_frames * self.hop_seconds)

    def pair(self, clip: Clip) -> SpeechPair:
        """Open the spectrogram and the features of a clip. Raises AudioError for files that are missing or damaged."""
        path = self.manifest.spectrogram(clip)
        if path.suffix == ".npz":
            return read_published_pair(path)
        features = open_array(features_path(self.manifest, clip))
        valid = len(features) * _clip_samples(clip) // _padded_samples(clip, self.min_seconds)
        return SpeechPair(self.store.open(clip).values, features, valid)


def published_front_end(manifest: Manifest) -> str | None:
    """Return the front end of the published layout where the manifest lists ``.npz`` files, else None."""
    key = manifest.clips[0].key if manifest.clips else None
    return PUBLISHED_FRONT_END if key is not None and key.endswith(".npz") else None


def read_published_pair(path: Path) -> SpeechPair:
    """Read an ``.npz`` of the published layout. Raises AudioError for a file that is not one."""
    log_mel, features, valid = open_npz(path, ("arr_0", "arr_1", "arr_2"))
    if valid.size != 1:
        raise AudioError(f"{path}: arr_2 should be one number of features, found {valid.shape}")
    return SpeechPair(check_spectrogram(log_mel, path), check_spectrogram(features, path), int(valid.reshape(())))


def usable_features(pair: SpeechPair, count: int, target_frames: int, id: str) -> int:
    """Return how many features crops may come from: those of the recording, or of a crop where that is more.

    Args:
        pair: The features of a clip.
        count: Features of a crop.
        target_frames: The result is a multiple of it.
        id: Id of the clip, for the error.

    Raises:
        AuricleError: There are too few features for a crop.
    """
    length = max(pair.valid, count)
    length -= length % target_frames
    if length < count or len(pair.features) < count:
        raise AuricleError(
            f"'{id}' has {min(length, len(pair.features))} usable features and a crop needs {count}: take a shorter "
            "crop, or extract the features with longer padding (--min-seconds)"
        )
    return length


def average_groups(features: np.ndarray, count: int) -> np.ndarray:
    """Average every ``count`` consecutive features: (T', D) to (T' // count, D)."""
    whole = len(features) // count * count
    return features[:whole].reshape(-1, count, features.shape[1]).mean(axis=1)


def features_path(manifest: Manifest, clip: Clip) -> Path:
    """Return the file of a clip's features: ``features/<key>`` beside the folder of its spectrogram."""
    return _features_folder(manifest, clip) / str(clip.key)


def _features_folder(manifest: Manifest, clip: Clip) -> Path:
    return (manifest.root / (clip.store or "")).parent / FEATURES


def _min_seconds_of(manifest: Manifest) -> float:
    """To how many seconds audio was padded before its features were made. Raises AuricleError where there are none."""
    card = _features_folder(manifest, manifest.clips[0]) / SETTINGS
    if not card.is_file():
        raise AuricleError(f"{manifest.root} holds no speech features; 'auricle prepare speech' makes them")
    return float(read_card(card)["min_seconds"])


def _clip_samples(clip: Clip) -> int:
    """Samples of the clip at 16 kHz."""
    if clip.seconds is None:
        raise AuricleError(f"the manifest does not hold the length of '{clip.id}'; prepare it again")
    return round(clip.seconds * SAMPLE_RATE)


def _padded_samples(clip: Clip, min_seconds: float) -> int:
    return max(_clip_samples(clip), int(min_seconds * SAMPLE_RATE))
