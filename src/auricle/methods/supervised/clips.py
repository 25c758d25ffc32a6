"""Labelled waveforms to learn from: crops with augmentation, mixed with other clips, and windows to score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from auricle.core.randomness import RandomKey
from auricle.data.augment.waveform import WaveAugment, draw_share, mixed_waves
from auricle.data.datasets.base import Sample, SampleIndex
from auricle.data.datasets.crops import CropConfig
from auricle.data.datasets.waveforms import Waveforms
from auricle.data.manifest.clip import Clip
from auricle.data.manifest.manifest import Manifest
from auricle.methods.supervised.objective import WINDOW_MARK


class LabelledWaveforms(Waveforms):
    """Crops (S,) with labels for training: augmented, and a share of them mixed with another clip.

    Args:
        manifest, rate, seconds, seed, config, classes, resampler: as of ``Waveforms``.
        augment: gain, shift and impulse responses of every clip.
        mixup: share of the clips that are mixed with a clip drawn from the whole list (which may be the clip itself).
    """

    def __init__(
        self,
        manifest: Manifest,
        rate: int,
        seconds: float | None,
        *,
        augment: WaveAugment,
        mixup: float = 0.0,
        **options: object,
    ):
        super().__init__(manifest, rate, seconds, **options)  # type: ignore[arg-type]
        self.augment, self.mixup = augment, mixup

    def __getitem__(self, index: SampleIndex | int) -> Sample:
        """Return the sample at a place of an epoch, augmented."""
        index = index if isinstance(index, SampleIndex) else SampleIndex(0, index, index)
        key = RandomKey(self.seed, index.epoch, index.position)
        sample = self._augmented(index, key)
        if not self.mixup or key.of("wave mixup").random() >= self.mixup:
            return sample
        number = int(key.of("wave mixup partner").integers(0, len(self)))
        partner = self._augmented(SampleIndex(index.epoch, index.position, number), replace(key, seed=self.seed + 1))
        return mixed_samples(sample, partner, draw_share(key))

    def _augmented(self, index: SampleIndex, key: RandomKey) -> Sample:
        clip = self.clip(index.number)
        crop = self.crop(clip, key)
        crop = replace(crop, values=self.augment(crop.values, key))
        if self.augment.roll:
            crop = replace(crop, length=len(crop.values))  # the padding is no longer at the end
        labels, known = (None, None) if self.labels is None else self.labels(clip)
        return Sample(clip.id, index, crop, self.rate, self.front_end, labels, known)


def mixed_samples(sample: Sample, partner: Sample, share: float) -> Sample:
    """Mix two samples. The longer one is cut to the other; labels count where they were annotated (OpenMIC's rule)."""
    size = min(len(sample.crop.values), len(partner.crop.values))
    wave = mixed_waves(sample.crop.values[:size], partner.crop.values[:size], share)
    length = min(size, max(sample.crop.length, partner.crop.length))
    crop = replace(sample.crop, values=wave, length=length)
    if sample.labels is None or partner.labels is None or sample.known is None or partner.known is None:
        return replace(sample, crop=crop)
    labels = np.float32(share) * sample.labels * sample.known + np.float32(1 - share) * partner.labels * partner.known
    return replace(sample, crop=crop, labels=labels, known=np.maximum(sample.known, partner.known))


def windows_of(manifest: Manifest, seconds: float) -> Manifest:
    """Return the consecutive windows of every clip as clips; the last one is cut where the clip ends.

    A window that is shorter than a tenth of ``seconds`` is left out, unless it is the only one.
    """
    rows: list[Clip] = []
    for clip in manifest:
        length = clip.seconds
        count = 1 if length is None else max(1, int(np.ceil(length / seconds - 0.1)))
        first = clip.start or 0.0
        for k in range(count):
            start = first + k * seconds
            end = min(start + seconds, first + length) if length is not None else None
            rows.append(replace(clip, id=f"{clip.id}{WINDOW_MARK}{k}", start=start, end=end))
    return replace(manifest, clips=rows)


def scored_waveforms(
    manifest: Manifest, rate: int, seconds: float | None, windows: str, classes: Sequence[str] | None, resampler: str
) -> Waveforms:
    """Return the clips to score: the first window of each, all consecutive windows, or whole clips."""
    if windows == "consecutive" and seconds is not None:
        manifest = windows_of(manifest, seconds)
    length = None if windows == "whole" else seconds
    options = {"config": CropConfig(crop="start"), "classes": classes, "resampler": resampler}
    return Waveforms(manifest, rate, length, **options)  # type: ignore[arg-type]
