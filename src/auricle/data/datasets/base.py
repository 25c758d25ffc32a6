"""What all data sets of clips share: how a sampler names a sample, what a sample holds, the labels, and how clips are cut or
filled up to one length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from auricle.core.errors import AuricleError
from auricle.core.options import check_choices, check_ranges, option
from auricle.core.randomness import RandomKey, RandomSource
from auricle.data.datasets.frame_labels import FrameLabels
from auricle.data.manifest.manifest import Clip, Manifest

CROPS = ("random", "loud", "start")
LOUD_OF = 4  # starts that are drawn for a loud crop


@dataclass(frozen=True)
class CropConfig:
    """How clips are brought to one length, and how a short list is repeated."""

    crop: str = option(
        "random",
        f"where a crop starts; loud: the loudest of {LOUD_OF} random ones, for recordings with much silence",
        choices=CROPS,
    )
    short: str = option(
        "zeros", "padding of clips that are shorter than a crop: zeros, or the clip again", choices=("zeros", "repeat")
    )
    published_crop: bool = option(False, "never draw the last possible start of a crop, as the original M2D program")
    min_ds_size: int = option(0, "smallest number of clips in an epoch; a shorter list is repeated")

    def __post_init__(self) -> None:
        check_choices(self)
        check_ranges(self, ("min_ds_size",), 0)


def crop_start(
    source: RandomSource,
    length: int,
    crop_length: int,
    *,
    published: bool = False,
    loudness: Callable[[int], float] | None = None,
) -> int:
    """Draw where a crop starts, uniformly over all possible starts.

    Args:
        source: Random numbers.
        length: Length of the clip.
        crop_length: Length of the crop, in the same unit.
        published: True never draws the last start, ``length - crop_length``, as the original program does
            ([m2d 5.2](docs/specification/m2d.md#s5-2)).
        loudness: Loudness of the crop at a start. With it, the loudest of ``LOUD_OF`` draws is taken.

    Returns:
        The start; 0 for a clip that is not longer than the crop.
    """
    if length <= crop_length:
        return 0
    starts = length - crop_length + (0 if published else 1)
    if loudness is None:
        return int(source.integers(0, starts))
    return max((int(source.integers(0, starts)) for _ in range(LOUD_OF)), key=loudness)


def fit_length(array: np.ndarray, length: int, short: str = "zeros") -> np.ndarray:
    """Cut an array at its end, or fill it up, to a length.

    Zeros in a raw log-mel spectrogram are unit power, not silence; the published programs pad so
    ([m2d 5.2](docs/specification/m2d.md#s5-2)).

    Args:
        array: (..., N).
        length: Length of the result.
        short: What follows a shorter array: ``"zeros"``, or ``"repeat"`` for repetitions of itself.

    Returns:
        (..., length).
    """
    available = array.shape[-1]
    if available >= length:
        return array[..., :length]
    if short == "repeat":
        return np.concatenate([array] * -(-length // available), axis=-1)[..., :length]
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, length - available)])


def fade_ends(wave: np.ndarray, fade: int, *, start: bool = True) -> np.ndarray:
    """Fade a waveform (S,) linearly: ``fade`` samples in and out, from and to 0 (all samples, where there are fewer).

    Args:
        wave: The samples; they are not changed.
        fade: Samples of a fade.
        start: False fades out at the end alone.
    """
    size = min(fade, len(wave))
    ramp = np.linspace(0.0, 1.0, size, dtype=np.float32)
    out = wave.copy()
    if start:
        out[:size] *= ramp
    out[len(out) - size :] *= ramp[::-1]
    return out


def faded_clip(wave: np.ndarray, length: int, fade: int, short: str = "repeat") -> np.ndarray:
    """Fade the ends of a whole clip (S,), then cut it or fill it up to a length.

    A clip that is repeated fades out once more at the end; a cut end is not faded again
    ([finetuning 9.1](docs/specification/finetuning.md#s9-1)).

    Args:
        wave: The clip.
        length: Samples of the result.
        fade: Samples of a fade.
        short: What follows a shorter clip: ``"zeros"`` or ``"repeat"``.

    Returns:
        (length,).
    """
    whole = fit_length(fade_ends(wave, fade), length, short)
    return fade_ends(whole, fade, start=False) if short == "repeat" and len(wave) <= length else whole


def epoch_length(count: int, min_ds_size: int) -> int:
    """Return the clips of an epoch: a list of ``count`` clips is repeated up to ``min_ds_size``.

    Place i of the epoch is clip ``i % count``. A list that is long enough stays as it is: 3 become 10, 12 stay 12 for a
    ``min_ds_size`` of 10 ([m2d 5.2](docs/specification/m2d.md#s5-2)).
    """
    return max(count, min_ds_size)


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
