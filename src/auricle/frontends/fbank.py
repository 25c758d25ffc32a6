"""Kaldi's log-mel filterbank as MAE-AST reads it ([mae_ast 3.2](docs/specification/mae_ast.md#s3-2)), on real values only.

Frames of 25 ms every 10 ms, complete ones alone; per frame: mean removed, pre-emphasis, window, power, mel, ln.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from auricle.audio.resample import Resampler
from auricle.core.errors import AuricleError
from auricle.frontends.base import Count, FrontEnd
from auricle.frontends.framing import band_groups, band_power, kaldi_bank, kaldi_centres

FLOOR = 1.1920929e-07  # float32 machine epsilon: digital silence is ln(FLOOR) = -15.942385
PRE_EMPHASIS = 0.97
FMIN, FMAX = 20, 8000  # hertz
WIN_LENGTH, HOP_LENGTH, N_FFT = 400, 160, 512  # samples
WINDOWS = {"povey": 0.85, "hann": 1.0}  # powers of the symmetric Hann window
ID = re.compile(r"16k(?:-m(\d+))?(-hann)?")


@dataclass(frozen=True)
class KaldiFbank(FrontEnd):
    """(B, S) float32 waveform -> (B, F, T) float32, T = 1 + (S - 400) // 160, frame t centred on sample 160 t + 200.

    16 kHz. ``window`` is "povey" (MAE-AST) or "hann" (SSAST, [mae_ast 12](docs/specification/mae_ast.md#s12)).
    """

    n_mels: int = 128
    window: str = "povey"
    sample_rate: int = field(default=16000, init=False)
    hop_length: int = field(default=HOP_LENGTH, init=False)

    @classmethod
    def from_id(cls, settings: str) -> KaldiFbank:
        """Return the front end of "16k", "16k-m80", "16k-hann" … (what follows "mae-ast-fbank/")."""
        match = ID.fullmatch(settings)
        if not match or match[1] == "0":
            raise AuricleError(f"fbank settings '{settings}' not understood; expected 16k, 16k-m80 (bands), 16k-hann")
        return cls(int(match[1] or 128), "hann" if match[2] else "povey")

    @property
    def id(self) -> str:
        n_mels = "" if self.n_mels == 128 else f"-m{self.n_mels}"
        return f"mae-ast-fbank/16k{n_mels}{'-hann' if self.window == 'hann' else ''}"

    @property
    def band_hz(self) -> np.ndarray:
        return kaldi_centres(self.n_mels, FMIN, FMAX)

    @property
    def resampler(self) -> Resampler:
        return "sinc"

    @property
    def first_center(self) -> float:
        """Frame 0 begins with the clip; it is not centred on the first sample."""
        return WIN_LENGTH / 2

    @property
    def min_samples(self) -> int:
        return WIN_LENGTH

    @property
    def context(self) -> tuple[int, int]:
        return 0, WIN_LENGTH - HOP_LENGTH

    def num_frames(self, samples: Count) -> Count:
        return 1 + (samples - WIN_LENGTH) // HOP_LENGTH

    def log_mel(self, wave: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute (B, F, T); no frame reaches past a clip's end, so ``lengths`` changes nothing.

        Mean removal and pre-emphasis are linear: the emphasised wave is framed, and 0.03 times a frame's mean is
        subtracted. Kaldi treats a frame's first sample apart, but the window multiplies it by 0.
        """
        emphasised = functional.pad(wave[:, 1:] - PRE_EMPHASIS * wave[:, :-1], (1, N_FFT - WIN_LENGTH))
        offset = (1 - PRE_EMPHASIS) * wave.unfold(1, WIN_LENGTH, HOP_LENGTH).mean(dim=2, keepdim=True)
        window = window_of(self.window, wave.device)
        bank = band_groups(kaldi_bank, self.n_mels, N_FFT, self.sample_rate, FMIN, FMAX, device=wave.device)
        mel = band_power(emphasised, window, HOP_LENGTH, bank, support=(0, WIN_LENGTH), offset=offset)
        return mel.clamp_min(FLOOR).log()


DEFAULT_ID = KaldiFbank().id


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def window_of(name: str, device: torch.device) -> Tensor:
    """Return (512,): the symmetric Hann window of 400 samples to the power of ``WINDOWS[name]``, then zeros."""
    values = torch.hann_window(WIN_LENGTH, periodic=False).pow(WINDOWS[name])
    return functional.pad(values, (0, N_FFT - WIN_LENGTH)).to(device)
