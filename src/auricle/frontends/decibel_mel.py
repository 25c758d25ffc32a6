"""The mel spectrogram in decibels of the respiratory programs: HTK mel bank of height 1, power, 10 log10.

Source: [finetuning 9.2](docs/specification/finetuning.md#s9-2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from auricle.audio.resample import Resampler
from auricle.core.errors import AuricleError
from auricle.frontends.framing import band_groups, htk_bank, kaldi_centres
from auricle.frontends.log_mel import LogMel

LEAST_POWER = 1e-10  # digital silence is -100 dB
RANGE = (-100.0, 40.0)  # dB of digital silence and of a sine at full scale: what the programs take from each batch
SETTINGS = "16k"


@dataclass(frozen=True)
class DecibelMel(LogMel):
    """(B, S) float32 waveform -> (B, F, T) float32 decibels, with the frames of M2D's log-mel at 16 kHz."""

    @classmethod
    def from_id(cls, settings: str) -> DecibelMel:
        """Return the front end of "16k" (what follows "decibel-mel/")."""
        if settings != SETTINGS:
            raise AuricleError(f"the mel spectrogram in decibels exists as '{SETTINGS}', not as '{settings}'")
        return cls()

    @property
    def id(self) -> str:
        return f"decibel-mel/{SETTINGS}"

    @property
    def band_hz(self) -> np.ndarray:
        return kaldi_centres(self.n_mels, self.fmin, self.sample_rate / 2)

    @property
    def resampler(self) -> Resampler:
        return "sinc"

    def log_mel(self, wave: Tensor, lengths: Tensor | None = None) -> Tensor:
        bank = band_groups(htk_bank, self.sample_rate, self.n_fft, self.n_mels, self.fmin, device=wave.device)
        return self.mel(wave, lengths, bank).clamp_(min=LEAST_POWER).log10_().mul_(10.0)


def scaled_by_batch(values: Tensor) -> Tensor:
    """Scale decibels (B, F, T) so that the batch as a whole fills ``RANGE``, as the respiratory programs do.

    A clip then depends on the batch that it is in. A batch of one value alone is returned as it is.
    """
    low, high = values.min(), values.max()
    if not high > low:
        return values
    return RANGE[0] + (values - low) * ((RANGE[1] - RANGE[0]) / (high - low))
