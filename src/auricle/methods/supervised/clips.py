"""Labelled waveforms to learn from: crops with augmentation, mixed with other clips, and windows to score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from auricle.core.randomness import RandomKey
from auricle.data.augment.waveform import WaveAugment, draw_share, mixed_waves
from auricle.data.datasets.base import CropConfig, Sample, SampleIndex
from auricle.data.datasets.waveforms import Waveforms
from auricle.data.manifest.clip_table import Clip
from auricle.data.manifest.manifest import Manifest

WINDOW_MARK = "#window="  # between the id of a clip and the number of a window of it
ROUNDING = 1e-6  # windows: a length in seconds is not exact


class LabelledWaveforms(Waveforms):
    """Crops (S,) with labels for training: augmented, and a share of them mixed with another clip.

    Args:
        manifest, rate, seconds, seed, config, classes, resampler: as of ``Waveforms``.
        augment: gain, shift and impulse responses of every clip.
        mixup: share of the clips that are mixed with a clip drawn from the whole list (which may be the clip itself).
        mixup_alpha: the clip's own share of a mixture is drawn from Beta(alpha, alpha).
        binary_labels: mixtures keep labels whose share is above one half.
    """

    def __init__(
        self,
        manifest: Manifest,
        rate: int,
        seconds: float | None,
        *,
        augment: WaveAugment,
        mixup: float = 0.0,
        mixup_alpha: float = 2.0,
        binary_labels: bool = False,
        **options: object,
    ):
        super().__init__(manifest, rate, seconds, **options)  # type: ignore[arg-type]
        self.augment, self.mixup, self.mixup_alpha = augment, mixup, mixup_alpha
        self.binary_labels = binary_labels

    def __getitem__(self, index: SampleIndex | int) -> Sample:
        """Return the sample at a place of an epoch, augmented."""
        index = index if isinstance(index, SampleIndex) else SampleIndex(0, index, index)
        key = RandomKey(self.seed, index.epoch, index.position)
        sample = self._augmented(index, key)
        if not self.mixup or key.of("wave mixup").random() >= self.mixup:
            return sample
        number = int(key.of("wave mixup partner").integers(0, len(self)))
        partner = self._augmented(SampleIndex(index.epoch, index.position, number), replace(key, seed=self.seed + 1))
        mixture = mixed_samples(sample, partner, draw_share(key, self.mixup_alpha))
        return with_binary_labels(mixture) if self.binary_labels else mixture

    def _augmented(self, index: SampleIndex, key: RandomKey) -> Sample:
        clip = self.clip(index.number)
        crop = self.crop(clip, key)
        crop = replace(crop, values=self.augment(crop.values, key))
        if self.augment.roll:
            crop = replace(crop, length=len(crop.values))  # the padding is no longer at the end
        return self.sample(clip, index, crop, self.augment.shift(key) / self.rate)


def mixed_samples(sample: Sample, partner: Sample, share: float) -> Sample:
    """Mix two samples. The longer one is cut to the other; labels count where they were annotated (OpenMIC's rule)."""
    size = min(len(sample.crop.values), len(partner.crop.values))
    wave = mixed_waves(sample.crop.values[:size], partner.crop.values[:size], share)
    length = min(size, max(sample.crop.length, partner.crop.length))
    crop = replace(sample.crop, values=wave, length=length)
    if sample.labels is None or partner.labels is None or sample.known is None or partner.known is None:
        return replace(sample, crop=crop)
    own, other = np.float32(share) * sample.known, np.float32(1 - share) * partner.known
    labels, frames = own * sample.labels + other * partner.labels, sample.frame_labels
    if frames is not None and partner.frame_labels is not None:
        frames = own * frames + other * partner.frame_labels
    known = np.maximum(sample.known, partner.known)
    return replace(sample, crop=crop, labels=labels, known=known, frame_labels=frames)


def with_binary_labels(sample: Sample) -> Sample:
    """Round the labels of a mixture: a class applies where its share is above one half.

    See [efficientat_training 8](docs/specification/efficientat_training.md#s8).
    """
    labels, frames = (None if x is None else (x > 0.5).astype(np.float32) for x in (sample.labels, sample.frame_labels))
    return replace(sample, labels=labels, frame_labels=frames)


def windows_of(manifest: Manifest, seconds: float, *, full: bool = False) -> Manifest:
    """Return the consecutive windows of every clip as clips; the last one is cut where the clip ends.

    Args:
        manifest: the clips.
        seconds: length of a window.
        full: leave out what does not fill a window; else what is shorter than a tenth of a window. A clip that is shorter
            than a window is one window.
    """
    rows: list[Clip] = []
    for clip in manifest:
        count = 1 if clip.seconds is None else num_windows(clip.seconds, seconds, full=full)
        for k, (start, end) in enumerate(spans_of(clip, seconds, count)):
            rows.append(replace(clip, id=f"{clip.id}{WINDOW_MARK}{k}", start=start, end=end))
    return replace(manifest, clips=rows)


def spans_of(clip: Clip, seconds: float, count: int) -> Iterator[tuple[float, float | None]]:
    """Yield start and end in the recording of ``count`` consecutive windows of a clip; the last one ends where the clip does."""
    first = clip.start or 0.0
    for number in range(count):
        start = first + number * seconds
        yield start, None if clip.seconds is None else min(start + seconds, first + clip.seconds)


def clip_of(id: str) -> str:
    """Return the id of the clip that a window is of; other ids as they are."""
    clip, _, number = id.rpartition(WINDOW_MARK)
    return clip if clip and number.isdigit() else id


def group_of(clip: Clip) -> str:
    """Return the group of a clip or of a window; without one, the clip is a group of its own."""
    return clip.group if clip.group is not None else f"clip {clip_of(clip.id)}"


def num_windows(length: float, seconds: float, *, full: bool) -> int:
    """Return how many windows of ``seconds`` a clip of ``length`` seconds has: ``windows_of``."""
    windows = np.floor(length / seconds + ROUNDING) if full else np.ceil(length / seconds - 0.1)
    return max(1, int(windows))


def scored_waveforms(
    manifest: Manifest,
    rate: int,
    seconds: float | None,
    windows: str,
    classes: Sequence[str] | None,
    *,
    short: str = "zeros",
    **options: object,
) -> Waveforms:
    """Return the clips to score: the first window of each, all consecutive windows, or whole clips.

    Args:
        manifest, rate, seconds, classes, options: as of ``Waveforms``.
        windows: "first", "consecutive", "full" (consecutive ones, without the remainder) or "whole".
        short: what follows a clip that is shorter than a window.
    """
    if windows in ("consecutive", "full") and seconds is not None:
        manifest = windows_of(manifest, seconds, full=windows == "full")
    length, config = None if windows == "whole" else seconds, CropConfig(crop="start", short=short)
    return Waveforms(manifest, rate, length, config=config, classes=classes, **options)  # type: ignore[arg-type]
