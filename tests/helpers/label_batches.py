"""A small batch of waveforms with labels."""

from __future__ import annotations

import torch

from auricle.data.batch import Batch


def labelled_batch(clips: int = 2, **more) -> Batch:
    audio = torch.randn(clips, 8, generator=torch.Generator().manual_seed(0))
    ids = tuple(f"{i}.wav" for i in range(clips))
    return Batch(torch.full((clips,), 8), ids, 8, audio=audio, positions=tuple(range(clips)), **more)
