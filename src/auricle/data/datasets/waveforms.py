"""Crops of recordings. Audio is decoded at the crop: of a long file only the part that is needed is read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auricle.audio.resample import Resampler
from auricle.core.randomness import RandomKey
from auricle.data.datasets.base import ClipDataset, Crop, CropConfig, crop_start, faded_clip, fit_length
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.stores.base import open_store


class Waveforms(ClipDataset):
    """Mono float32 crops (S,) of recordings. The start is drawn on the recording's own sample grid.

    Args:
        manifest: The clips.
        rate: Sample rate of the crops in hertz.
        seconds: Length of the crops; None gives whole clips.
        seed: Seed of the random draws.
        config: How clips are cut.
        classes: Class list of the labels.
        resampler: Resampling filter: the one of the front end.
        fade: Seconds of a linear fade at both ends of a clip; crops then start where the clip does.

    Raises:
        AuricleError: The manifest is empty, or has labels that are not among the classes.
    """

    def __init__(
        self,
        manifest: Manifest,
        rate: int,
        seconds: float | None,
        *,
        seed: int = 0,
        config: CropConfig | None = None,
        classes: Sequence[str] | None = None,
        resampler: Resampler = "soxr",
        fade: float = 0.0,
    ):
        super().__init__(manifest, rate, seed=seed, config=config or CropConfig(), classes=classes)
        self.store, self.seconds, self.resampler, self.fade = open_store(manifest, "audio"), seconds, resampler, fade

    def crop(self, clip: Clip, key: RandomKey) -> Crop:
        """Decode a crop of a clip. Raises AudioError when its file cannot be used."""
        start, end = self.crop_span(clip, key) if not self.fade else (clip.start or 0.0, clip.end)
        wave = self.store.open(clip).read(start, end, rate=self.rate, resampler=self.resampler).wave
        size = len(wave) if self.seconds is None else round(self.seconds * self.rate)
        length = size if self.config.short == "repeat" else min(size, len(wave))
        if self.fade:
            return Crop(faded_clip(wave, size, round(self.fade * self.rate), self.config.short), length, start)
        return Crop(fit_length(wave, size, self.config.short), length, start)

    def crop_span(self, clip: Clip, key: RandomKey) -> tuple[float, float | None]:
        """Return the seconds of the recording to decode: from, to (None: to its end)."""
        if self.seconds is None:
            return clip.start or 0.0, clip.end
        rate, samples = self._recording_size(clip)
        first = round((clip.start or 0.0) * rate)
        last = samples if clip.end is None else min(samples, round(clip.end * rate))
        size = round(self.seconds * rate)
        if last - first <= size:
            return first / rate, clip.end
        if self.config.crop != "start":
            loudness = (lambda at: self._power(clip, first + at, size, rate)) if self.config.crop == "loud" else None
            first += crop_start(
                key.of("crop"), last - first, size, published=self.config.published_crop, loudness=loudness
            )
        return first / rate, (first + size) / rate

    def _power(self, clip: Clip, first: int, size: int, rate: int) -> float:
        """Mean square of ``size`` samples, both counted at the recording's own ``rate``."""
        audio = self.store.open(clip)
        decoded = audio.read(first / rate, (first + size) / rate, rate=self.rate, resampler=self.resampler)
        return float(np.square(decoded.wave).mean())

    def _recording_size(self, clip: Clip) -> tuple[int, int]:
        """Rate and length of the recording: from the manifest, else from the file's header."""
        if clip.rate is not None and clip.num_samples is not None:
            return clip.rate, clip.num_samples
        info = self.store.open(clip).info()
        return info.rate, info.num_samples
