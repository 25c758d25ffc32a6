"""A network in two parts: layers that look at a few frames around each column of their map, and what follows them.

Of a stream of overlapping windows, the maps of the first part are the same where windows overlap, so they can be kept; the second
part sees the whole window (as squeeze-and-excitation does, whose averages are those of the window).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class LocalLayers:
    """What ``Encoder.local_layers`` returns; ``logits(maps(values))`` are those of ``Encoder.spec_logits_by_head``.

    Attributes:
        stride: spectrogram frames from one column of the map to the next; T frames give T / stride columns, rounded up.
        left, right: column c depends on frames [stride * c - left, stride * c + right]; beyond the ends the layers pad.
        maps: (1, F, T) normalised, contiguous -> (1, C, F', T'), channels-last.
        logits: such maps -> the logits (1, C) of each head by its name.
    """

    stride: int
    left: int
    right: int
    maps: Callable[[Tensor], Tensor]
    logits: Callable[[Tensor], dict[str, Tensor]]
