"""EfficientAT's log-mel: pre-emphasis, symmetric Hann window, Kaldi mel bank, natural log.

Source: [efficientat 4](docs/specification/efficientat.md#s4).

``EfficientATMel()`` is the published default (32 kHz, 128 bands, 10 ms). The values are in the family's scale,
(ln(m + 1e-5) + 4.5) / 5, so its encoders normalise with mean 0 and standard deviation 1. The augmentation of training
(random band edges, masks) is in ``frontends/spec_augment.py``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from auricle.audio.resample import Resampler
from auricle.core.errors import AuricleError
from auricle.frontends.base import Count, FrontEnd
from auricle.frontends.framing import band_groups, band_power, kaldi_bank, kaldi_centres, reflect

PRE_EMPHASIS = 0.97
LOG_OFFSET = 1e-5
SHIFT, SCALE = 4.5, 5.0
MOST_RATE, MOST_FFT, MOST_OVERLAP = 1_000_000, 1 << 16, 64  # what a weight file may ask for
ID = re.compile(r"sr(\d+)-m(\d+)-w(\d+)-h(\d+)-n(\d+)-fmin(\d+)-fmax(\d+)")


@dataclass(frozen=True)
class EfficientATMel(FrontEnd):
    """(B, S) float32 waveform -> (B, F, T) float32, T = 1 + (S - 1) // hop_length.

    sample_rate, fmin and fmax in hertz; win_length, hop_length and n_fft in samples. Pre-emphasis takes the difference
    of neighbouring samples, so frame t is centred half a sample after sample t * hop_length.
    """

    sample_rate: int = 32000
    n_mels: int = 128
    win_length: int = 800
    hop_length: int = 320
    n_fft: int = 1024
    fmin: int = 0
    fmax: int = 15000

    def __post_init__(self) -> None:
        if not (0 < self.win_length <= self.n_fft and self.hop_length > 0 and self.n_mels > 0 and self.n_fft % 2 == 0):
            raise AuricleError(
                f"front end {self.id}: needs 0 < win_length <= n_fft (even), hop_length and n_mels above 0"
            )
        if self.sample_rate > MOST_RATE or self.n_fft > MOST_FFT or self.hop_length * MOST_OVERLAP < self.win_length:
            raise AuricleError(
                f"front end {self.id}: at most {MOST_RATE} hertz, an n_fft of {MOST_FFT}, and {MOST_OVERLAP} windows over "
                "each sample"
            )
        if not 0 <= self.fmin < self.fmax <= self.sample_rate:
            raise AuricleError(f"front end {self.id}: needs 0 <= fmin < fmax in hertz")

    @classmethod
    def from_id(cls, settings: str) -> EfficientATMel:
        """Return the front end of "sr32000-m128-w800-h320-n1024-fmin0-fmax15000" (what follows "efficientat-mel/")."""
        match = ID.fullmatch(settings)
        if not match:
            expected = cls().id.partition("/")[2]
            raise AuricleError(f"front end settings '{settings}' not understood; expected e.g. '{expected}'")
        return cls(*(int(group) for group in match.groups()))

    @property
    def id(self) -> str:
        return (
            f"efficientat-mel/sr{self.sample_rate}-m{self.n_mels}-w{self.win_length}-h{self.hop_length}-n{self.n_fft}"
            f"-fmin{self.fmin}-fmax{self.fmax}"
        )

    @property
    def band_hz(self) -> np.ndarray:
        return kaldi_centres(self.n_mels, self.fmin, self.fmax)

    @property
    def resampler(self) -> Resampler:
        return "soxr"

    @property
    def first_center(self) -> float:
        return 0.5

    @property
    def min_samples(self) -> int:
        """Reflection by n_fft / 2 needs one sample more than that, and pre-emphasis takes one away."""
        return self.n_fft // 2 + 2

    @property
    def context(self) -> tuple[int, int]:
        """The part of the window whose weights are not 0, one sample more for pre-emphasis, and reflection."""
        first = (self.n_fft - self.win_length) // 2  # of the window in the frame; its weight is 0
        before = max(0, self.n_fft // 2 - first - 1)
        after = max(0, first + self.win_length - 2 - self.n_fft // 2)
        reach = max(before, after) + 1  # the first frames, reflected, reach as far to the right as to the left
        return max(before, after + 2), max(0, reach + 1 - self.hop_length)

    def num_frames(self, samples: Count) -> Count:
        return 1 + (samples - 1) // self.hop_length

    def log_mel(self, wave: Tensor, lengths: Tensor | None = None) -> Tensor:
        difference = (wave[:, :-1] * -PRE_EMPHASIS).add_(wave[:, 1:])
        emphasised = reflect(difference, None if lengths is None else lengths - 1, self.n_fft // 2)
        window = hann(self.win_length, self.n_fft, wave.device)
        settings = self.n_mels, self.n_fft, self.sample_rate, self.fmin, self.fmax
        bank = band_groups(kaldi_bank, *settings, device=wave.device)
        support = even_support(self.win_length, self.n_fft)
        mel = band_power(emphasised, window, self.hop_length, bank, support=support)
        return mel.add_(LOG_OFFSET).log_().add_(SHIFT).div_(SCALE)


DEFAULT_ID = EfficientATMel().id


def even_support(win_length: int, n_fft: int) -> tuple[int, int]:
    """Return the first sample of the window in a frame, and the one after its last; one more if the window is odd."""
    first = (n_fft - win_length) // 2
    return first, first + win_length + win_length % 2


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def hann(win_length: int, n_fft: int, device: torch.device) -> Tensor:
    """Return (n_fft,): the symmetric Hann window of ``win_length`` samples in the middle of zeros."""
    before = (n_fft - win_length) // 2
    values = torch.hann_window(win_length, periodic=False)
    return torch.nn.functional.pad(values, (before, n_fft - win_length - before)).to(device)
