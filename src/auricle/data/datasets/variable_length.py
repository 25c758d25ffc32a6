"""Clips of one batch brought to one length: cut to the shortest, or filled up to the longest (specification mae_ast 8)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from auricle.core.errors import AudioError
from auricle.core.randomness import RandomKey, RandomSource
from auricle.data.batch import Batch, collate
from auricle.data.datasets.base import Crop, Sample
from auricle.data.datasets.crops import CropConfig, crop_start
from auricle.data.datasets.waveforms import Clips
from auricle.data.loading.length_batches import BucketConfig
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.frontends.base import FrontEnd

SLACK = 4096  # samples by which decoders of one compressed file may differ in length
SLACK_SHARE = 0.01


class WholeClips(Clips):
    """Mono clips (S_i,) of their own lengths; ``collate`` cuts those of a batch on the frames of ``front`` to the shortest.

    ``front`` is a front end without padding at its edges, so the frames of a cut waveform are those cut from the whole
    one's. A clip of fewer than ``min_frames`` frames, and one whose file is not as long as the manifest says, is an
    AudioError: the loader takes another in its place and reports it.
    """

    def __init__(
        self, manifest: Manifest, front: FrontEnd, config: BucketConfig, *, seed: int = 0, min_frames: int = 1
    ):
        crops = CropConfig(crop="random" if config.random_crop else "start")
        length, resampler = config.max_seconds or None, front.resampler
        super().__init__(manifest, front.sample_rate, length, seed=seed, config=crops, resampler=resampler)
        self.front, self.buckets, self.min_frames = front, config, min_frames

    def cut(self, clip: Clip, key: RandomKey) -> Crop:
        start, end = self._span(clip, key)
        sound = self.read(clip, start, end)
        self._check_length(clip, sound.declared_samples)
        needed = self.front.min_samples + (self.min_frames - 1) * self.front.hop_length
        if len(sound.wave) < needed:
            raise AudioError(
                f"{clip.id} lasts {1000 * len(sound.wave) / self.rate:.0f} ms; a token takes "
                f"{1000 * needed / self.rate:.0f} ms: leave such clips out (--min-sample-size)"
            )
        return Crop(sound.wave, len(sound.wave), start)

    def _check_length(self, clip: Clip, found: int | None) -> None:
        said = clip.num_samples
        if said is not None and found is not None and abs(found - said) > max(SLACK, SLACK_SHARE * said):
            raise AudioError(
                f"{clip.id}: the list says {said} samples, the file holds {found}; write the list again "
                "(samples are counted at the file's own rate)"
            )

    def collate(self, samples: Sequence[Sample]) -> Batch:
        """A Batch, each clip cut from a place that its own key decides."""
        sources = [RandomKey(self.seed, s.item.epoch, s.item.position).of("cut") for s in samples]
        return collate(self.cut_alike(samples, sources))

    def cut_alike(self, samples: Sequence[Sample], sources: Sequence[RandomSource]) -> list[Sample]:
        """None longer than the shortest (with ``pad_audio``: the longest) and than ``max_sample_size`` frames."""
        frames = [self.front.num_frames(s.cut.length) for s in samples]
        width = max(frames) if self.buckets.pad_audio else min(frames)
        width = min(width, self.buckets.max_sample_size or width)
        return [self._narrowed(*each, width) for each in zip(samples, frames, sources, strict=True)]

    def _narrowed(self, sample: Sample, frames: int, source: RandomSource, width: int) -> Sample:
        if frames < width:
            return sample
        first = crop_start(source, frames, width) if self.config.crop == "random" else 0
        length = self.front.min_samples + (width - 1) * self.front.hop_length
        wave = sample.cut.values[first * self.front.hop_length :][:length]
        return replace(sample, cut=Crop(wave, length, sample.cut.crop_start + first * self.front.hop_seconds))
