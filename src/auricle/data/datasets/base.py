"""What all data sets of clips share: how a sampler names a sample, what a sample holds, and the labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomKey
from auricle.data.datasets.crops import CropConfig, epoch_length
from auricle.data.datasets.frame_labels import FrameLabels
from auricle.data.manifest.manifest import Clip, Manifest


class SampleIndex(NamedTuple):
    """One place of an epoch.

    Attributes:
        epoch: Epoch; with ``position`` the key of the sample's random draws.
        position: Position in the epoch's global order.
        number: Which clip: its row in the manifest, modulo the number of clips.
    """

    epoch: int
    position: int
    number: int


@dataclass(frozen=True)
class Crop:
    """A part of a clip.

    Attributes:
        values: (S,) samples, or (F, T) log-mel spectrogram, not normalised.
        length: Valid samples or frames of ``values``; padding follows.
        crop_start: Where it starts in the recording, in seconds.
        clean: ``values`` without the noise that was mixed in.
        targets: (T', D) stored outputs of a teacher.
        target_hop: Seconds between the targets.
    """

    values: np.ndarray
    length: int
    crop_start: float
    clean: np.ndarray | None = None
    targets: np.ndarray | None = None
    target_hop: float | None = None


@dataclass(frozen=True)
class Sample:
    """A crop with the id of its clip and its labels.

    Attributes:
        id: Id of the clip.
        index: Place in the epoch.
        crop: The values.
        rate: Sample rate of the audio in hertz.
        front_end: Id of the front end that made a spectrogram; None for audio.
        labels: (C,) 1 for classes that apply.
        known: (C,) 1 for classes that were annotated.
        frame_labels: (T, C) labels of each frame.
    """

    id: str
    index: SampleIndex
    crop: Crop
    rate: int
    front_end: str | None
    labels: np.ndarray | None = None
    known: np.ndarray | None = None
    frame_labels: np.ndarray | None = None


class ClipDataset:
    """A map-style data set over a manifest. Sub-classes define ``crop``.

    Samples have labels of frames where ``frame_labels`` is set.

    Args:
        manifest: The clips. They stay in columns; one ``Clip`` is made per sample.
        rate: Sample rate of the audio in hertz.
        seed: Seed of all random draws.
        config: How clips are cut.
        classes: Class list of the labels; None gives samples without labels.

    Raises:
        AuricleError: The manifest is empty, or has labels that are not among the classes.
    """

    front_end: str | None = None
    frame_labels: FrameLabels | None = None

    def __init__(
        self, manifest: Manifest, rate: int, *, seed: int, config: CropConfig, classes: Sequence[str] | None = None
    ):
        if not len(manifest):
            raise AuricleError("the manifest holds no clips; nothing to load")
        self.manifest, self.rate, self.seed, self.config = manifest, rate, seed, config
        self.labels = None if classes is None else LabelVectors(classes, manifest)

    def __len__(self) -> int:
        return epoch_length(len(self.manifest), self.config.min_ds_size)

    def clip(self, number: int) -> Clip:
        """Return the clip at a place of the (repeated) list."""
        return self.manifest.clips[number % len(self.manifest)]

    def crop(self, clip: Clip, key: RandomKey) -> Crop:
        """Read a crop of a clip with these random draws. Raises AudioError when the clip cannot be read."""
        raise NotImplementedError

    def __getitem__(self, index: SampleIndex | int) -> Sample:
        """Return the sample at a place of an epoch; a plain number is that place of epoch 0."""
        index = index if isinstance(index, SampleIndex) else SampleIndex(0, index, index)
        clip = self.clip(index.number)
        crop = self.crop(clip, RandomKey(self.seed, index.epoch, index.position))
        return self.sample(clip, index, crop)

    def sample(self, clip: Clip, index: SampleIndex, crop: Crop, shift: float = 0.0) -> Sample:
        """Return a crop with its labels; ``shift``: seconds by which it was shifted circularly."""
        labels, known = (None, None) if self.labels is None else self.labels(clip)
        frames = None if self.frame_labels is None else self.frame_labels(clip, crop.crop_start, shift)
        return Sample(clip.id, index, crop, self.rate, self.front_end, labels, known, frames)


class LabelVectors:
    """Converts the labels of a clip to vectors of 0 and 1. Raises AuricleError for labels outside the class list."""

    def __init__(self, classes: Sequence[str], manifest: Manifest):
        self.index = {name: i for i, name in enumerate(classes)}
        unlisted = sorted(set(manifest.table.distinct("labels")) - self.index.keys())
        if unlisted:
            raise AuricleError(
                f"{len(unlisted)} labels are not among the {len(classes)} classes: {', '.join(unlisted[:5])}; "
                "name a class list that holds them (classes=…, --classes)"
            )

    def __call__(self, clip: Clip) -> tuple[np.ndarray, np.ndarray]:
        """Return which classes apply and which were annotated, both (C,) float32."""
        everything = np.ones(len(self.index), np.float32)
        return self._multi_hot(clip.labels), everything if clip.known is None else self._multi_hot(clip.known)

    def _multi_hot(self, names: Sequence[str]) -> np.ndarray:
        vector = np.zeros(len(self.index), np.float32)
        vector[[self.index[name] for name in names if name in self.index]] = 1.0
        return vector
