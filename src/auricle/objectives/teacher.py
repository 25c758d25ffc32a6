"""A live teacher: any Encoder, frozen, asked for its frames of the batch that the student learns from."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from auricle.data.batch import Batch
from auricle.errors import AuricleError
from auricle.models.contract import Encoded, Encoder
from auricle.objectives.inputs import spec_of
from auricle.signal.resample import resample


class Teacher:
    """Not a module: its weights are in no state and no optimiser sees them.

    Where the front ends agree it takes the student's spectrogram, normalised by the student's statistics, as published
    (specification m2d 4.3); else the audio, at its own rate and with its own statistics.
    """

    def __init__(self, encoder: Encoder, student: Encoder, stats: Sequence[float]):
        self.same = encoder.info.front_end == student.info.front_end
        mean, std = stats
        self.encoder = (encoder.with_stats(mean, std) if self.same else encoder).eval().requires_grad_(False)
        self.hop_seconds = encoder.info.hop_seconds
        self.given = encoder

    @cached_property
    def fingerprint(self) -> str:
        """Of the encoder as it was given, with its own statistics."""
        return self.given.fingerprint()

    @torch.no_grad()
    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """-> frames (B, T', D) and their centres (T',) in seconds of the crop."""
        encoded = self._of_spectrogram(batch) if self.same else self._of_audio(batch)
        assert encoded.frames is not None
        return encoded.frames, encoded.times

    def _of_spectrogram(self, batch: Batch) -> Encoded:
        return self.encoder.encode(spec_of(batch, self.encoder), padding="published")

    def _of_audio(self, batch: Batch) -> Encoded:
        info = self.encoder.info
        if batch.audio is None:
            raise AuricleError(
                f"the teacher {info.name} hears '{info.front_end}', the data hold '{batch.front_end}' spectrograms; "
                "train on a folder of audio, or take a teacher of that front end"
            )
        wave = batch.audio
        if batch.rate != info.sample_rate:
            resampler = self.encoder.front.resampler
            wave = torch.from_numpy(resample(wave.cpu().numpy(), batch.rate, info.sample_rate, resampler)).to(
                wave.device
            )
        return self.encoder(wave, padding="published")
