"""Kaldi's log-mel filterbank as MAE-AST reads it (specification mae_ast 3.2), on real values only.

Frames of 25 ms every 10 ms, complete ones alone; per frame: mean removed, pre-emphasis, window, power, mel, ln.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from auricle.audio.resample import Resampler
from auricle.core.errors import AuricleError
from auricle.frontends.efficientat_mel import banded, in_bands
from auricle.frontends.framing import blocks_of_frames, power

FLOOR = 1.1920929e-07  # float32 machine epsilon: digital silence is ln(FLOOR) = -15.942385
PRE_EMPHASIS = 0.97
LOWEST, HIGHEST = 20, 8000  # hertz
WINDOW, HOP, FFT = 400, 160, 512  # samples
WINDOWS = {"povey": 0.85, "hann": 1.0}  # powers of the symmetric Hann window
ID = re.compile(r"16k(?:-m(\d+))?(-hann)?")


@dataclass(frozen=True)
class KaldiFbank:
    """(B, S) float32 waveform in [-1, 1] -> (B, F, T) float32, T = 1 + (S - 400) // 160, frame t centred on 160 t + 200.

    16 kHz; bands is F; window is "povey" (MAE-AST) or "hann" (SSAST, specification mae_ast 12).
    """

    bands: int = 128
    window: str = "povey"

    @classmethod
    def from_id(cls, settings: str) -> KaldiFbank:
        """The front end of "16k", "16k-m80", "16k-hann" … (what follows "mae-ast-fbank/")."""
        match = ID.fullmatch(settings)
        if not match or match[1] == "0":
            raise AuricleError(f"fbank settings '{settings}' not understood; expected 16k, 16k-m80 (bands), 16k-hann")
        return cls(int(match[1] or 128), "hann" if match[2] else "povey")

    @property
    def id(self) -> str:
        bands = "" if self.bands == 128 else f"-m{self.bands}"
        return f"mae-ast-fbank/16k{bands}{'-hann' if self.window == 'hann' else ''}"

    @property
    def sample_rate(self) -> int:
        return 16000

    @property
    def resampler(self) -> Resampler:
        return "sinc"

    @property
    def hop_seconds(self) -> float:
        return HOP / self.sample_rate

    @property
    def start_seconds(self) -> float:
        """The centre of frame 0: frames begin with the sound, they are not centred on its first sample."""
        return WINDOW / 2 / self.sample_rate

    @property
    def min_samples(self) -> int:
        return WINDOW

    def frames(self, samples: int) -> int:
        return 1 + (samples - WINDOW) // HOP

    def __call__(self, wave: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, S) -> (B, F, T). With ``lengths`` (B,) frames past a clip's own end are 0.

        Raises AuricleError when a clip is shorter than ``min_samples``.
        """
        shortest = wave.shape[1] if lengths is None else int(lengths.min())
        if shortest < self.min_samples:
            raise AuricleError(f"{self.id} needs {self.min_samples} samples or more, got {shortest}; zero-pad the clip")
        values = self.log_mel(wave)
        if lengths is None or bool((lengths == wave.shape[1]).all()):
            return values
        own = 1 + (lengths - WINDOW).div(HOP, rounding_mode="floor")
        behind = torch.arange(values.shape[2], device=wave.device) >= own[:, None]
        return values.masked_fill(behind[:, None], 0.0)

    def log_mel(self, wave: Tensor) -> Tensor:
        """The arithmetic alone.

        Mean removal and pre-emphasis are linear, so the emphasised wave is framed and 0.03 times a frame's mean taken
        off; a frame's first sample, which Kaldi treats apart, is multiplied by the window's 0.
        """
        emphasised = functional.pad(wave[:, 1:] - PRE_EMPHASIS * wave[:, :-1], (1, FFT - WINDOW))
        offset = (1 - PRE_EMPHASIS) * wave.unfold(1, WINDOW, HOP).mean(dim=2, keepdim=True)
        window = window_of(self.window, wave.device)
        bank = banded(self.bands, FFT, self.sample_rate, LOWEST, HIGHEST, wave.device)
        pieces, start = [], 0
        for frames in blocks_of_frames(emphasised, FFT, HOP):
            level = offset[:, start : start + frames.shape[1]]
            pieces.append(in_bands(bank, power((frames - level) * window).transpose(1, 2)))
            start += frames.shape[1]
        mel = pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=2)
        return mel.clamp_min(FLOOR).log()


DEFAULT_ID = KaldiFbank().id


def fbank_id(bands: int = 128) -> str:
    """The id of MAE-AST's front end with so many mel bins."""
    return KaldiFbank(bands).id


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def window_of(name: str, device: torch.device) -> Tensor:
    """(512,): the symmetric Hann window of 400 samples to a power, then zeros."""
    values = torch.hann_window(WINDOW, periodic=False).pow(WINDOWS[name])
    return functional.pad(values, (0, FFT - WINDOW)).to(device)
