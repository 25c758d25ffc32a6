"""The contract of front ends, and how an id selects one.

A front end turns waveforms into spectrograms. It is a frozen, pure function of the waveform. Its ``id`` contains every
setting that decides the values: front ends with equal ids give equal spectrograms. Ids are saved in weight files, stores
and caches.

    front = front_end("m2d-logmel/16k")
    spectrogram = front(wave)                                       # (B, S) -> (B, F, T)
    stream = front.stream()                                         # the same, from blocks of any size
    parts = [*(stream.push(block) for block in blocks), stream.flush()]
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor

from auricle.core.devices import autocast
from auricle.core.errors import AuricleError, nearest
from auricle.frontends.streaming import FrontEndStream

if TYPE_CHECKING:
    from auricle.audio.resample import Resampler

FRONT_ENDS = {  # imported on first use
    "m2d-logmel": ("auricle.frontends.log_mel", "LogMel"),
    "efficientat-mel": ("auricle.frontends.efficientat_mel", "EfficientATMel"),
    "mae-ast-fbank": ("auricle.frontends.fbank", "KaldiFbank"),
    "decibel-mel": ("auricle.frontends.decibel_mel", "DecibelMel"),
}

MOST_BANDS = 4096

Count = TypeVar("Count", int, Tensor)


class FrontEnd(ABC):
    """Waveforms (B, S) float32 in [-1, 1] -> log-mel spectrograms (B, F, T) float32.

    A subclass is a frozen dataclass that gives the properties below, ``num_frames`` and ``log_mel``.
    """

    @property
    @abstractmethod
    def id(self) -> str:
        """Kind and settings, such as "m2d-logmel/16k". ``front_end(id)`` gives an equal front end."""

    @property
    @abstractmethod
    def sample_rate(self) -> int:
        """Hertz."""

    @property
    @abstractmethod
    def hop_length(self) -> int:
        """Samples from one frame to the next. The own hop of frame t is samples [t * hop_length, (t + 1) * hop_length)."""

    @property
    @abstractmethod
    def n_mels(self) -> int:
        """Mel bands F."""

    @property
    @abstractmethod
    def band_hz(self) -> np.ndarray:
        """(F,) centre of each mel band in hertz, rising."""

    @property
    @abstractmethod
    def min_samples(self) -> int:
        """Samples of the shortest clip."""

    @property
    @abstractmethod
    def context(self) -> tuple[int, int]:
        """Samples to the left and to the right of a frame's own hop that the frame depends on.

        Reflection at the ends of a recording is included: no frame depends on samples farther away.
        """

    @property
    @abstractmethod
    def first_center(self) -> float:
        """Centre of frame 0, in samples."""

    @property
    @abstractmethod
    def resampler(self) -> Resampler:
        """The resampler with which the published weights were trained."""

    @abstractmethod
    def num_frames(self, samples: Count) -> Count:
        """Return the number of frames T of clips with ``samples`` samples, at least ``min_samples``."""

    def samples_for(self, frames: int) -> int:
        """Return the smallest number of samples above ``min_samples`` that give ``frames`` frames."""
        return self.min_samples + (frames - self.num_frames(self.min_samples)) * self.hop_length

    @abstractmethod
    def log_mel(self, wave: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute (B, F, T) of (B, S) without checks; frames past a clip's own length (B,) are unspecified."""

    @property
    def hop_seconds(self) -> float:
        """Seconds from one frame to the next."""
        return self.hop_length / self.sample_rate

    @cached_property
    def silence(self) -> float:
        """Lowest value of the spectrogram of digital silence."""
        return float(self(torch.zeros(1, self.min_samples)).min())

    def frame_time(self, index: float) -> float:
        """Return the centre of a frame in seconds from the start of the clip. Fractions lie between two frames."""
        return (self.first_center + index * self.hop_length) / self.sample_rate

    def __call__(self, wave: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Compute the spectrograms of a batch, always in float32, also under autocast.

        Args:
            wave: (B, S) float32 at ``sample_rate``.
            lengths: (B,) samples of each clip; None: all S. Each clip comes out as if it were alone: it is reflected at
                its own end, and its frames past ``num_frames(length)`` are 0.

        Returns:
            (B, F, T) float32, T = ``num_frames(S)``.

        Raises:
            AuricleError: if a clip is shorter than ``min_samples``.
        """
        shortest = wave.shape[1] if lengths is None else int(lengths.min())
        if shortest < self.min_samples:
            raise AuricleError(f"{self.id} needs {self.min_samples} samples or more, got {shortest}; zero-pad the clip")
        equal = lengths is None or bool((lengths == wave.shape[1]).all())
        with autocast("float32", wave.device):
            values = self.log_mel(wave, None if equal else lengths)
        if lengths is None or equal:
            return values
        past = torch.arange(values.shape[2], device=wave.device) >= self.num_frames(lengths)[:, None]
        return values.masked_fill(past[:, None], 0.0)

    def stream(self) -> FrontEndStream:
        """Return a stream that computes the spectrogram of one recording from consecutive blocks."""
        return FrontEndStream(self)

    def as_module(self) -> FrontEndModule:
        """Return a module for ``torch.export``, (B, S) -> (B, F, T), whose graph has real-valued operations alone."""
        return FrontEndModule(self)


class FrontEndModule(torch.nn.Module):
    """A front end as a module. It makes the windows and the mel bank, so that a trace takes them as constants.

    An exported graph multiplies with the Fourier matrix in place of the FFT, and holds all frames at once.
    """

    def __init__(self, front_end: FrontEnd):
        super().__init__()
        self.front_end = front_end
        front_end(torch.zeros(1, front_end.min_samples))

    def forward(self, wave: Tensor) -> Tensor:
        return self.front_end(wave)


@lru_cache(maxsize=64)
def front_end(id: str) -> FrontEnd:
    """Return the front end of an id such as "m2d-logmel/16k".

    Raises:
        AuricleError: for an unknown kind, settings that the kind does not have, and more than ``MOST_BANDS`` bands.
    """
    kind, _, settings = id.partition("/")
    if kind not in FRONT_ENDS:
        raise AuricleError(f"unknown front end '{id}'{nearest(kind, tuple(FRONT_ENDS))}")
    module, name = FRONT_ENDS[kind]
    front: FrontEnd = getattr(importlib.import_module(module), name).from_id(settings)
    if front.n_mels > MOST_BANDS:
        raise AuricleError(f"the front end '{id}' has {front.n_mels} mel bands; at most {MOST_BANDS} are supported")
    return front
