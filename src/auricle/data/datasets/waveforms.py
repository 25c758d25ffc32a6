"""Crops of recordings, decoded at the crop: of a long file only the span asked for is read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auricle.audio.decode import Decoded
from auricle.audio.resample import Resampler
from auricle.core.randomness import RandomKey
from auricle.data.datasets.base import ClipDataset, Crop
from auricle.data.datasets.crops import CropConfig, crop_start, fit
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.stores.base import open_store


class Clips(ClipDataset):
    """Mono float32 crops (S,) of ``seconds`` at ``rate`` hertz; ``seconds`` None gives whole clips. ``resampler`` is the
    front end's.

    The start is drawn on the recording's own sample grid. Raises AuricleError for an empty manifest and for labels that
    are not among the classes.
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
    ):
        super().__init__(manifest, rate, seed=seed, config=config or CropConfig(), classes=classes)
        self.store, self.seconds, self.resampler = open_store(manifest, "audio"), seconds, resampler

    def cut(self, clip: Clip, key: RandomKey) -> Crop:
        start, end = self._span(clip, key)
        wave = self.read(clip, start, end).wave
        width = len(wave) if self.seconds is None else round(self.seconds * self.rate)
        length = width if self.config.short == "repeat" else min(width, len(wave))
        return Crop(fit(wave, width, self.config.short), length, start)

    def read(self, clip: Clip, start: float, end: float | None) -> Decoded:
        """Seconds of a clip's recording, mono, at the rate of the data set."""
        return self.store.open(clip).read(start, end, rate=self.rate, resampler=self.resampler)

    def _span(self, clip: Clip, key: RandomKey) -> tuple[float, float | None]:
        """Seconds of the recording to decode: from, to (None: to its end)."""
        if self.seconds is None:
            return clip.start or 0.0, clip.end
        rate, samples = self._declared(clip)
        first = round((clip.start or 0.0) * rate)
        last = samples if clip.end is None else min(samples, round(clip.end * rate))
        width = round(self.seconds * rate)
        if last - first <= width:
            return first / rate, clip.end
        if self.config.crop != "start":
            loudness = (lambda at: self._power(clip, first + at, width, rate)) if self.config.crop == "loud" else None
            first += crop_start(
                key.of("crop"), last - first, width, published=self.config.published_crop, loudness=loudness
            )
        return first / rate, (first + width) / rate

    def _power(self, clip: Clip, first: int, width: int, rate: int) -> float:
        """Mean square of ``width`` samples, both counted at the recording's own ``rate``."""
        return float(np.square(self.read(clip, first / rate, (first + width) / rate).wave).mean())

    def _declared(self, clip: Clip) -> tuple[int, int]:
        """Rate and length of the recording: from the manifest, else from the file's header."""
        if clip.rate is not None and clip.num_samples is not None:
            return clip.rate, clip.num_samples
        info = self.store.open(clip).info()
        return info.rate, info.num_samples
