"""The spectrogram of a recording of any length, from consecutive pieces of its waveform."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from auricle.frontends.base import FrontEnd

CONTEXT_HOPS = 4  # kept on both sides of a piece: more than half of a log-mel window (1.25 hops)


def log_mel_of_blocks(waves: Iterable[np.ndarray], front: FrontEnd) -> np.ndarray:
    """Consecutive (S_i,) waves -> (F, N), the same as ``front`` of the whole, with one piece of waveform in memory.

    For front ends whose frames reach less than CONTEXT_HOPS hops to each side of t hops. Only frames with their full
    context are taken from a piece, so that nothing is reflected but the two ends of the recording.
    """
    hop = round(front.hop_seconds * front.sample_rate)
    context = CONTEXT_HOPS * hop
    parts, held, left = [], np.zeros(0, np.float32), 0
    for wave in waves:
        held = np.concatenate([held, wave])
        ready = (len(held) - context) // hop * hop  # frames before this sample are final
        if ready < 2 * context:
            continue
        parts.append(_frames(front, held[: ready + context])[:, left // hop : ready // hop])
        held, left = held[ready - context :], context
    parts.append(_frames(front, held)[:, left // hop :])
    return np.concatenate(parts, axis=1)


def _frames(front: FrontEnd, wave: np.ndarray) -> np.ndarray:
    return front(torch.from_numpy(wave)[None])[0].numpy()
