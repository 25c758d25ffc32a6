"""The spectrogram of one recording from consecutive blocks of its waveform, in bounded memory.

This is the one implementation for all front ends. It needs only ``context``: a frame is final when all samples that it
depends on have arrived, and samples are dropped when no later frame depends on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from auricle.frontends.base import FrontEnd


class FrontEndStream:
    """Compute a spectrogram block by block. All parts joined equal ``front_end`` of the whole recording within 1e-5.

    Held between two calls are the context of the next frame and at most ``min_samples`` samples.
    """

    def __init__(self, front_end: FrontEnd):
        self.front_end = front_end
        self._reset()

    def _reset(self) -> None:
        self._wave = torch.zeros(0)  # the samples held
        self._start = 0  # position of the first of them in the recording, a multiple of the hop
        self._next_frame = 0

    def push(self, wave: Tensor | np.ndarray) -> Tensor:
        """Take the next samples of the recording.

        Args:
            wave: (n,) samples at the front end's rate, n >= 0, on any device.

        Returns:
            (F, t) the frames that have become final, t >= 0. A later sample cannot change them.
        """
        front, wave = self.front_end, torch.as_tensor(wave, dtype=torch.float32)
        held = torch.cat([self._wave.to(wave.device), wave])
        left, right = front.context
        final = (self._start + len(held) - right) // front.hop_length  # frames whose context has arrived
        if final <= self._next_frame or len(held) < front.min_samples:
            self._wave = held
            return held.new_zeros(front.n_mels, 0)
        first = self._start // front.hop_length
        frames = front(held[None])[0, :, self._next_frame - first : final - first]
        self._next_frame = final
        needed_from = min(final * front.hop_length - left, self._start + len(held) - front.min_samples)
        start = max(0, needed_from) // front.hop_length * front.hop_length
        self._wave, self._start = held[start - self._start :].clone(), start
        return frames

    def flush(self) -> Tensor:
        """End the recording and return its remaining frames (F, t). The stream then starts a new recording.

        A recording shorter than ``min_samples`` is zero-padded to it, as encoders do. Without samples there are no frames.
        """
        front, wave = self.front_end, self._wave
        first_new = self._next_frame - self._start // front.hop_length
        self._reset()
        if len(wave) == 0:
            return wave.new_zeros(front.n_mels, 0)
        padded = torch.nn.functional.pad(wave, (0, max(0, front.min_samples - len(wave))))
        return front(padded[None])[0, :, first_new:]


def spectrogram_blocks(blocks: Iterable[Tensor | np.ndarray], front_end: FrontEnd) -> Iterator[Tensor]:
    """Yield the spectrogram of a recording, (F, t) for each block (n,) of its samples and once more for its end."""
    stream = front_end.stream()
    for block in blocks:
        yield stream.push(block)
    yield stream.flush()
