"""The mel spectrogram in decibels of the respiratory programs: HTK mel bank of height 1, power, 10 log10.

Source: [finetuning 9.2](docs/specification/finetuning.md#s9-2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from auricle.audio.resample import Resampler
from auricle.core.errors import AuricleError
from auricle.frontends.framing import blocks_of_frames, htk_bank, kaldi_centres, power, reflect
from auricle.frontends.log_mel import LogMel, hann

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
        padded = reflect(wave, lengths, self.n_fft // 2)
        window = hann(self.n_fft, wave.device)
        bank = htk_bank(self.sample_rate, self.n_fft, self.n_mels, self.fmin, wave.device)
        blocks = blocks_of_frames(padded, self.n_fft, self.hop_length)
        sizes: dict[str, Any] = {"bins": self.n_fft // 2 + 1, "support": (0, self.n_fft)}
        parts = [bank @ power(frames, window, **sizes).transpose(1, 2) for frames in blocks]
        mel = parts[0] if len(parts) == 1 else torch.cat(parts, dim=2)
        return mel.clamp_(min=LEAST_POWER).log10_().mul_(10.0)


def scaled_by_batch(values: Tensor) -> Tensor:
    """FilePart decibels (B, F, T) so that the batch as a whole fills ``RANGE``, as the respiratory programs do.

    A clip then depends on the batch that it is in. A batch of one value alone is returned as it is.
    """
    low, high = values.min(), values.max()
    if not high > low:
        return values
    return RANGE[0] + (values - low) * ((RANGE[1] - RANGE[0]) / (high - low))
