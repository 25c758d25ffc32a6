"""Crops of recordings, decoded at the crop and made into log-mel by the loader: what noise is mixed into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from auricle.data.clips import Clips
from auricle.data.crops import CropConfig
from auricle.data.items import Cut
from auricle.data.log_mel import log_mel_of_wave
from auricle.data.manifest import Clip, Manifest
from auricle.data.mixing import NoisyDataset
from auricle.draws import Draws
from auricle.signal.front_ends import front_end as front_end_by_id


class LiveSpectrograms(NoisyDataset):
    """Raw (not normalised) log-mel crops (F, frames) of sound, by a front end with centred frames.

    Sound that is too short is filled up before the transform. Raises what ``Clips`` raises.
    """

    def __init__(
        self,
        manifest: Manifest,
        frames: int,
        front_end: str,
        *,
        seed: int = 0,
        config: CropConfig | None = None,
        classes: Sequence[str] | None = None,
    ):
        self.front_end, self.front = front_end, front_end_by_id(front_end)
        rate, config = self.front.sample_rate, config or CropConfig()
        super().__init__(manifest, rate, seed=seed, config=config, classes=classes)
        self.frames = frames
        seconds = (frames - 1) * self.front.hop_seconds
        self.clips = Clips(manifest, rate, seconds, seed=seed, config=config, resampler=self.front.resampler)

    def cut(self, clip: Clip, draws: Draws) -> Cut:
        sound = self.clips.cut(clip, draws)
        values = log_mel_of_wave(sound.values, self.front)
        length = min(self.frames, self.front.frames(sound.length))
        return self.noisy(replace(sound, values=values, length=length), draws)
