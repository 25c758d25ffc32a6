"""M2D's log-mel: centred frames, periodic Hann window, power, Slaney mel bank, natural log.

Source: [m2d 1](docs/specification/m2d.md#s1).
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
from auricle.frontends.framing import BandGroups, band_groups, band_power, reflect, slaney_bank, slaney_centres

EPS = 1.1920929e-07  # float32 machine epsilon: digital silence is ln(EPS) = -15.942385
RATES = {"16k": 16000, "32k": 32000}
BANDS = 80  # of every published M2D; another number is named in the id
ID = re.compile(r"(16k|32k)(?:-m([1-9][0-9]{0,5}))?")


@dataclass(frozen=True)
class LogMel(FrontEnd):
    """(B, S) float32 waveform -> (B, F, T) float32, T = 1 + S // hop_length, frame t centred on sample t * hop_length.

    Everything else follows from the rate: window and FFT 25 ms, hop 10 ms, bands from 50 hertz to half the rate.
    """

    sample_rate: int = 16000
    n_mels: int = BANDS
    fmin: int = 50

    @classmethod
    def from_id(cls, settings: str) -> LogMel:
        """Return the front end of "16k", "32k", "16k-m64" (64 bands) … (what follows "m2d-logmel/")."""
        match = ID.fullmatch(settings)
        if not match:
            raise AuricleError(
                f"M2D's log-mel exists at {' and '.join(RATES)}, not at '{settings}'; with other than {BANDS} bands it is "
                "called 16k-m64"
            )
        return cls(RATES[match[1]], int(match[2] or BANDS))

    @property
    def id(self) -> str:
        return f"m2d-logmel/{self.sample_rate // 1000}k{'' if self.n_mels == BANDS else f'-m{self.n_mels}'}"

    @property
    def hop_length(self) -> int:
        return self.sample_rate // 100

    @property
    def n_fft(self) -> int:
        return self.sample_rate // 40

    @property
    def band_hz(self) -> np.ndarray:
        return slaney_centres(self.sample_rate, self.n_mels, self.fmin)

    @property
    def resampler(self) -> Resampler:
        return "soxr"

    @property
    def first_center(self) -> float:
        return 0.0

    @property
    def min_samples(self) -> int:
        """Reflection by n_fft / 2 needs one sample more than that."""
        return self.n_fft // 2 + 1

    @property
    def context(self) -> tuple[int, int]:
        """Half a window, whose first sample has weight 0.

        A last frame centred behind the last sample reaches one sample farther to the left by reflection.
        """
        half = self.n_fft // 2
        return half + 1, max(0, half - self.hop_length)

    def num_frames(self, samples: Count) -> Count:
        return 1 + samples // self.hop_length

    def log_mel(self, wave: Tensor, lengths: Tensor | None = None) -> Tensor:
        bank = band_groups(slaney_bank, self.sample_rate, self.n_fft, self.n_mels, self.fmin, device=wave.device)
        return self.mel(wave, lengths, bank).add_(EPS).log_()

    def mel(self, wave: Tensor, lengths: Tensor | None, bank: BandGroups) -> Tensor:
        """Compute the power in the bands of a bank, (B, F, T)."""
        padded = reflect(wave, lengths, self.n_fft // 2)
        window = hann(self.n_fft, wave.device)
        return band_power(padded, window, self.hop_length, bank, support=(0, self.n_fft))


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def hann(n_fft: int, device: torch.device) -> Tensor:
    """Return the periodic Hann window (n_fft,), evaluated in double."""
    return torch.hann_window(n_fft, periodic=True, dtype=torch.float64).float().to(device)
