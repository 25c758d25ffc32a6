"""What samplers ask of a data set (Item), what it answers (Sample), and what all data sets of clips share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomKey
from auricle.data.datasets.crops import CropConfig, inflated
from auricle.data.manifest.manifest import Clip, Manifest


class Item(NamedTuple):
    """One place of an epoch: (epoch, position) is the key of its random draws, number says which clip."""

    epoch: int
    position: int
    number: int


@dataclass(frozen=True)
class Crop:
    """A crop: values (S,) samples or (F, T) raw log-mel, its valid length, where it starts in the recording (seconds),
    when noise was mixed in the same values without it, and stored targets (T', D), ``target_hop`` seconds apart."""

    values: np.ndarray
    length: int
    crop_start: float
    clean: np.ndarray | None = None
    targets: np.ndarray | None = None
    target_hop: float | None = None


@dataclass(frozen=True)
class Sample:
    """A Cut with its clip's id and labels: labels (C,) and known (C,) of 0 and 1, or None."""

    id: str
    item: Item
    cut: Crop
    rate: int
    front_end: str | None
    labels: np.ndarray | None = None
    known: np.ndarray | None = None


class ClipDataset:
    """A map-style data set over a manifest, indexed by Item or by a plain number; sub-classes say how a clip is cut."""

    front_end: str | None = None

    def __init__(
        self, manifest: Manifest, rate: int, *, seed: int, config: CropConfig, classes: Sequence[str] | None = None
    ):
        if not len(manifest):
            raise AuricleError("the manifest holds no clips; nothing to load")
        self.manifest, self.rate, self.seed, self.config = manifest, rate, seed, config
        self.labels = None if classes is None else LabelVectors(classes, manifest)

    def __len__(self) -> int:
        return inflated(len(self.manifest), self.config.min_ds_size)

    def clip(self, number: int) -> Clip:
        return self.manifest.clips[number % len(self.manifest)]

    def cut(self, clip: Clip, key: RandomKey) -> Crop:
        """The crop of a clip for these draws. Raises AudioError when it cannot be read."""
        raise NotImplementedError

    def __getitem__(self, item: Item | int) -> Sample:
        item = item if isinstance(item, Item) else Item(0, item, item)
        clip = self.clip(item.number)
        cut = self.cut(clip, RandomKey(self.seed, item.epoch, item.position))
        labels, known = (None, None) if self.labels is None else self.labels(clip)
        return Sample(clip.id, item, cut, self.rate, self.front_end, labels, known)


class LabelVectors:
    """Clip -> multi-hot labels (C,) and which classes were annotated (C,), float32."""

    def __init__(self, classes: Sequence[str], manifest: Manifest):
        self.index = {name: i for i, name in enumerate(classes)}
        strange = sorted(set(manifest.table.distinct("labels")) - self.index.keys())
        if strange:
            raise AuricleError(
                f"{len(strange)} labels are not among the {len(classes)} classes: {', '.join(strange[:5])}; "
                "name a class list that holds them (classes=…, --classes)"
            )

    def __call__(self, clip: Clip) -> tuple[np.ndarray, np.ndarray]:
        everything = np.ones(len(self.index), np.float32)
        return self._hot(clip.labels), everything if clip.known is None else self._hot(clip.known)

    def _hot(self, names: Sequence[str]) -> np.ndarray:
        vector = np.zeros(len(self.index), np.float32)
        vector[[self.index[name] for name in names if name in self.index]] = 1.0
        return vector
