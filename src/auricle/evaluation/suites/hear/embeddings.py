"""Scene and timestamp embeddings of any encoder, as HEAR's interface asks for them.

Source: [evaluation 7.1](docs/specification/evaluation.md#s7-1).
"""

from __future__ import annotations

import torch
from torch import Tensor

from auricle.models.base import Encoder


@torch.no_grad()
def scene_embeddings(encoder: Encoder, audio: Tensor) -> Tensor:
    """Compute one embedding per clip: waveforms (B, S) at the encoder's rate -> ``EncoderOutput.clip`` (B, D), float32."""
    return encoder(audio).clip.float()


@torch.no_grad()
def timestamp_embeddings(encoder: Encoder, audio: Tensor) -> tuple[Tensor, Tensor]:
    """Compute embeddings over time: waveforms (B, S) at the encoder's rate -> frames (B, T, D), times (B, T) in milliseconds.

    Times are the starts of T equal parts of the clip. HEAR requires regular steps that end before the clip does; the true centres
    of frames (``EncoderOutput.times``) are irregular where an encoder works in chunks.
    """
    frames = encoder(audio).frames.float()
    step = 1e3 * audio.shape[1] / encoder.info.sample_rate / max(1, frames.shape[1])
    times = step * torch.arange(frames.shape[1], dtype=torch.float32, device=frames.device)
    return frames, times.repeat(len(frames), 1)
