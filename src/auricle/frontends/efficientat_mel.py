"""EfficientAT's log-mel: pre-emphasis, symmetric Hann window, Kaldi mel bank, natural log.

Specification efficientat 4. ``EfficientATMel()`` is the published default (32 kHz, 128 bands, 10 ms).
The values are already in the family's scale, (ln(m + 1e-5) + 4.5) / 5: its encoders normalise with mean 0, deviation 1.
What training does to it (random band edges, masks) stands in ``frontends/spec_augment.py``.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from auricle.audio.resample import Resampler
from auricle.core.errors import AuricleError
from auricle.frontends.framing import blocks_of_frames, power, reflect

PRE_EMPHASIS = 0.97
LOG_OFFSET = 1e-5
SHIFT, SCALE = 4.5, 5.0
GROUP = 16  # bands multiplied together with the few bins they use: a quarter of the time of one product with all bins
ID = re.compile(r"sr(\d+)-m(\d+)-w(\d+)-h(\d+)-n(\d+)-fmin(\d+)-fmax(\d+)")


@dataclass(frozen=True)
class EfficientATMel:
    """(B, S) float32 waveform -> (B, F, T) float32, T = 1 + (S - 1) // hop, frame t centred on sample t * hop.

    sample_rate, fmin, fmax in hertz; window, hop and fft in samples; bands is F.
    """

    sample_rate: int = 32000
    bands: int = 128
    window: int = 800
    hop: int = 320
    fft: int = 1024
    fmin: int = 0
    fmax: int = 15000

    def __post_init__(self) -> None:
        if not (0 < self.window <= self.fft and self.hop > 0 and self.bands > 0 and self.fft % 2 == 0):
            raise AuricleError(f"front end {self.id}: needs 0 < window <= fft (even), hop and bands above 0")
        if not 0 <= self.fmin < self.fmax <= self.sample_rate:
            raise AuricleError(f"front end {self.id}: needs 0 <= fmin < fmax in hertz")

    @classmethod
    def from_id(cls, settings: str) -> EfficientATMel:
        """The front end of "sr32000-m128-w800-h320-n1024-fmin0-fmax15000" (what follows "efficientat-mel/")."""
        match = ID.fullmatch(settings)
        if not match:
            raise AuricleError(f"front end settings '{settings}' not understood; expected e.g. '{cls().settings}'")
        return cls(*(int(group) for group in match.groups()))

    @property
    def settings(self) -> str:
        return (
            f"sr{self.sample_rate}-m{self.bands}-w{self.window}-h{self.hop}-n{self.fft}-fmin{self.fmin}-fmax{self.fmax}"
        )

    @property
    def id(self) -> str:
        return f"efficientat-mel/{self.settings}"

    @property
    def resampler(self) -> Resampler:
        return "soxr"

    @property
    def hop_seconds(self) -> float:
        return self.hop / self.sample_rate

    @property
    def start_seconds(self) -> float:
        """Frame 0 is centred on sample 0."""
        return 0.0

    @property
    def min_samples(self) -> int:
        """Reflection by fft / 2 needs one sample more than that, and pre-emphasis takes one away."""
        return self.fft // 2 + 2

    def frames(self, samples: int) -> int:
        return 1 + (samples - 1) // self.hop

    def __call__(self, wave: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, S) -> (B, F, T). With ``lengths`` (B,) each clip is reflected at its own end; frames past it are 0.

        Raises AuricleError when a clip is shorter than ``min_samples``.
        """
        shortest = wave.shape[1] if lengths is None else int(lengths.min())
        if shortest < self.min_samples:
            raise AuricleError(
                f"{self.id} needs at least {self.min_samples} samples, got {shortest}; zero-pad the clip"
            )
        ends = None if lengths is None or bool((lengths == wave.shape[1]).all()) else lengths - 1
        values = self.log_mel(wave, ends)
        if ends is None:
            return values
        own = 1 + ends.div(self.hop, rounding_mode="floor")
        return values * (torch.arange(values.shape[2], device=wave.device) < own[:, None])[:, None]

    def log_mel(self, wave: Tensor, ends: Tensor | None = None) -> Tensor:
        """The arithmetic alone: ``ends`` (B,) are the lengths after pre-emphasis, None when all are whole."""
        emphasised = reflect(wave[:, 1:] - PRE_EMPHASIS * wave[:, :-1], ends, self.fft // 2)
        window = hann(self.window, self.fft, wave.device)
        bank = banded(self.bands, self.fft, self.sample_rate, self.fmin, self.fmax, wave.device)
        pieces = [
            in_bands(bank, power(frames * window).transpose(1, 2))
            for frames in blocks_of_frames(emphasised, self.fft, self.hop)
        ]
        mel = pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=2)
        return mel.add_(LOG_OFFSET).log_().add_(SHIFT).div_(SCALE)


DEFAULT_ID = EfficientATMel().id


@lru_cache(maxsize=32)
@torch.inference_mode(False)
def hann(window: int, fft: int, device: torch.device) -> Tensor:
    """(fft,) symmetric Hann window of ``window`` samples in the middle of zeros."""
    before = (fft - window) // 2
    values = torch.hann_window(window, periodic=False)
    return torch.nn.functional.pad(values, (before, fft - window - before)).to(device)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def mel_bank(bands: int, fft: int, rate: int, fmin: float, fmax: float, device: torch.device) -> Tensor:
    """(bands, fft / 2) Kaldi triangles in the mel domain, without the Nyquist bin, whose weight is 0.

    mel(f) = 1127 ln(1 + f / 700). The float32 order of operations is the original's (specification efficientat 4.3).
    """
    low, high = (1127.0 * math.log(1.0 + f / 700.0) for f in (fmin, fmax))
    step = (high - low) / (bands + 1)
    band = torch.arange(bands, dtype=torch.float32)[:, None]
    left, centre, right = (low + (band + n) * step for n in (0.0, 1.0, 2.0))
    mel = 1127.0 * (1.0 + torch.arange(fft // 2, dtype=torch.float32) * (rate / fft) / 700.0).log()
    rise, fall = (mel - left) / (centre - left), (right - mel) / (right - centre)
    return torch.minimum(rise, fall).clamp_min(0.0).to(device)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def banded(
    bands: int, fft: int, rate: int, fmin: float, fmax: float, device: torch.device
) -> tuple[tuple[int, int, Tensor], ...]:
    """``mel_bank`` in groups of bands: first bin, the one behind the last, and weights (GROUP, bins) of each group."""
    groups = []
    for rows in mel_bank(bands, fft, rate, fmin, fmax, torch.device("cpu")).split(GROUP):
        used = [0, *rows.any(0).nonzero()[:, 0].tolist()]
        first, stop = used[min(1, len(used) - 1)], used[-1] + 1
        groups.append((first, stop, rows[:, first:stop].contiguous().to(device)))
    return tuple(groups)


def in_bands(bank: tuple[tuple[int, int, Tensor], ...], spectrum: Tensor) -> Tensor:
    """(B, bins, T) -> (B, F, T): the product with the whole bank, without its zeros."""
    return torch.cat([weights @ spectrum[:, first:stop] for first, stop, weights in bank], dim=1)
