"""M2D's log-mel: centred frames, periodic Hann window, power, Slaney mel bank, natural log (specification m2d 1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from auricle.audio.resample import Resampler
from auricle.core.errors import AuricleError
from auricle.frontends.framing import blocks_of_frames, power, reflect

# The Slaney mel bank, bit-identical to librosa 0.11's default (specification m2d 1.2 point 5).

HZ_PER_MEL = 200.0 / 3  # linear below 1 kHz
BREAK_HZ = 1000.0
BREAK_MEL = BREAK_HZ / HZ_PER_MEL
LOG_STEP = np.log(6.4) / 27.0  # logarithmic above


def hz_to_mel(hz: np.ndarray) -> np.ndarray:
    """Slaney's scale: 200/3 Hz per mel up to 1 kHz, then logarithmic."""
    hz = np.asarray(hz, np.float64)
    return np.where(hz < BREAK_HZ, hz / HZ_PER_MEL, BREAK_MEL + np.log(np.maximum(hz, 1e-9) / BREAK_HZ) / LOG_STEP)


def mel_to_hz(mel: np.ndarray) -> np.ndarray:
    mel = np.asarray(mel, np.float64)
    return np.where(mel < BREAK_MEL, mel * HZ_PER_MEL, BREAK_HZ * np.exp(LOG_STEP * (mel - BREAK_MEL)))


def slaney_bank(rate: int, fft: int, bands: int, fmin: float, fmax: float) -> np.ndarray:
    """(bands, fft // 2 + 1) float32 triangles on the exact bin frequencies, each times 2 / its width in hertz."""
    edges = mel_to_hz(np.linspace(hz_to_mel(np.array(fmin)), hz_to_mel(np.array(fmax)), bands + 2))
    ramps = edges[:, None] - np.fft.rfftfreq(fft, 1.0 / rate)
    widths = np.diff(edges)[:, None]
    rise, fall = -ramps[:-2] / widths[:-1], ramps[2:] / widths[1:]
    bank = np.zeros((bands, fft // 2 + 1), np.float32)
    bank[:] = np.maximum(0.0, np.minimum(rise, fall))
    bank *= (2.0 / (edges[2:] - edges[:-2]))[:, None]
    return bank


EPS = 1.1920929e-07  # float32 machine epsilon: digital silence is ln(EPS) = -15.942385
RATES = {"16k": 16000, "32k": 32000}


@dataclass(frozen=True)
class LogMel:
    """(B, S) float32 waveform -> (B, F, T) float32, T = 1 + S // hop, frame t centred on sample t * hop.

    Everything follows from the rate: window and FFT 25 ms, hop 10 ms, 80 bands from 50 hertz to half the rate.
    """

    sample_rate: int = 16000
    bands: int = 80
    fmin: int = 50

    @classmethod
    def from_id(cls, settings: str) -> LogMel:
        """The front end of "16k" or "32k" (what follows "m2d-logmel/")."""
        if settings not in RATES:
            raise AuricleError(f"M2D's log-mel exists at {' and '.join(RATES)}, not at '{settings}'")
        return cls(RATES[settings])

    @property
    def id(self) -> str:
        return f"m2d-logmel/{self.sample_rate // 1000}k"

    @property
    def hop(self) -> int:
        return self.sample_rate // 100

    @property
    def fft(self) -> int:
        return self.sample_rate // 40

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
        """Reflection by fft / 2 needs one sample more than that."""
        return self.fft // 2 + 1

    def frames(self, samples: int) -> int:
        return 1 + samples // self.hop

    def __call__(self, wave: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, S) -> (B, F, T). With ``lengths`` (B,) each clip is reflected at its own end; frames past it are 0.

        Raises AuricleError when a clip is shorter than ``min_samples``.
        """
        shortest = wave.shape[1] if lengths is None else int(lengths.min())
        if shortest < self.min_samples:
            raise AuricleError(f"{self.id} needs {self.min_samples} samples or more, got {shortest}; zero-pad the clip")
        ends = None if lengths is None or bool((lengths == wave.shape[1]).all()) else lengths
        values = self.log_mel(wave, ends)
        if ends is None:
            return values
        own = 1 + ends.div(self.hop, rounding_mode="floor")
        behind = torch.arange(values.shape[2], device=wave.device) >= own[:, None]
        return values.masked_fill(behind[:, None], 0.0)

    def log_mel(self, wave: Tensor, ends: Tensor | None = None) -> Tensor:
        """The arithmetic alone: ``ends`` (B,) are the clips' own lengths, None when all are whole."""
        padded = reflect(wave, ends, self.fft // 2)
        window = hann(self.fft, wave.device)
        bank = mel_bank(self.sample_rate, self.fft, self.bands, self.fmin, wave.device)
        blocks = blocks_of_frames(padded, self.fft, self.hop)
        pieces = [bank @ power(frames * window).transpose(1, 2) for frames in blocks]
        mel = pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=2)
        return mel.add_(EPS).log_()


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def hann(fft: int, device: torch.device) -> Tensor:
    """(fft,) periodic Hann window, evaluated in double."""
    return torch.hann_window(fft, periodic=True, dtype=torch.float64).float().to(device)


@lru_cache(maxsize=16)
@torch.inference_mode(False)
def mel_bank(rate: int, fft: int, bands: int, fmin: float, device: torch.device) -> Tensor:
    """(bands, fft // 2 + 1) float32."""
    return torch.from_numpy(slaney_bank(rate, fft, bands, fmin, rate / 2)).to(device)
