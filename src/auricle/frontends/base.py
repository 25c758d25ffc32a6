"""Front-end ids. An id says everything that decides the values of a spectrogram: equal ids, equal spectrograms.

``front_end("m2d-logmel/16k")`` gives the front end. A front end is a frozen, pure function of the waveform.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from auricle.core.errors import AuricleError, nearest

if TYPE_CHECKING:
    from torch import Tensor

    from auricle.audio.resample import Resampler

KINDS = {
    "m2d-logmel": ("auricle.frontends.log_mel", "LogMel"),
    "efficientat-mel": ("auricle.frontends.efficientat_mel", "EfficientATMel"),
    "mae-ast-fbank": ("auricle.frontends.fbank", "KaldiFbank"),
}


class FrontEnd(Protocol):
    """id names it; sample_rate in hertz; resampler brings sound of other rates to it; hop_seconds between frames;
    start_seconds the centre of frame 0; bands F; min_samples its shortest input."""

    @property
    def id(self) -> str: ...
    @property
    def sample_rate(self) -> int: ...
    @property
    def resampler(self) -> Resampler: ...
    @property
    def hop_seconds(self) -> float: ...
    @property
    def start_seconds(self) -> float: ...
    @property
    def bands(self) -> int: ...
    @property
    def min_samples(self) -> int: ...

    def frames(self, samples: int) -> int:
        """How many frames ``samples`` samples give."""
        ...

    def __call__(self, wave: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, S) float32 -> (B, F, T) float32. With ``lengths`` (B,) each clip is reflected at its own end, as if alone;
        frames past a clip's own are 0."""
        ...


@lru_cache(maxsize=64)
def front_end(id: str) -> FrontEnd:
    """The front end of an id such as "m2d-logmel/16k". Raises AuricleError for an unknown one."""
    kind, _, settings = id.partition("/")
    if kind not in KINDS:
        raise AuricleError(f"unknown front end '{id}'{nearest(kind, tuple(KINDS))}")
    module, name = KINDS[kind]
    return getattr(importlib.import_module(module), name).from_id(settings)
