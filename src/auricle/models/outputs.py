"""What an encoder takes and gives: spectrograms in, features and logits out.

Shapes: B batch, F mel bins, T frames, N tokens, D width, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor


@dataclass(frozen=True)
class Spectrogram:
    """values (B, F, T) float32, not normalised; lengths (B,) valid frames; the front end that made it."""

    values: Tensor
    lengths: Tensor
    hop_seconds: float
    front_end: str
    normalised: bool = False


@dataclass(frozen=True)
class LayerOutput:
    """Output of one block: frames (B, T, D'), times (T,) seconds, lengths (B,) valid frames."""

    frames: Tensor
    times: Tensor
    lengths: Tensor


@dataclass(frozen=True)
class EncoderOutput:
    """The result of encoding a batch; everything float32.

    Attributes:
        frames: (B, T, D) features over time; None with ``ids_keep``.
        times: (T,) centres of the frames in seconds.
        lengths: (B,) valid frames of each clip, at least 1.
        clip: (B, Dc), the mean of the valid frames unless a published head reads something else.
        logits: (B, C) of the main head, or None.
        frame_logits: (B, T, C) of the main head, or None.
        tokens: (B, N, D) before stacking, in the family's order, or None.
        layers: one ``LayerOutput`` per requested block.
        taps: raw internal maps by the family's names.
        head_logits: (B, C) of every head by its name.
    """

    frames: Tensor | None
    times: Tensor
    lengths: Tensor
    clip: Tensor
    logits: Tensor | None = None
    frame_logits: Tensor | None = None
    tokens: Tensor | None = None
    layers: tuple[LayerOutput, ...] = ()
    taps: dict[str, Tensor] = field(default_factory=dict)
    head_logits: dict[str, Tensor] = field(default_factory=dict)


class CoreOutput(NamedTuple):
    """frames (B, T, D), clip (B, Dc), and the main head's logits (B, C) or None."""

    frames: Tensor
    clip: Tensor
    logits: Tensor | None = None
