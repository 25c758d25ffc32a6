"""Spectrograms of overlapping windows of a stream, for which each frame is computed once.

The spectrogram of a window is that of the window alone: it is reflected at the window's ends, so the first and last frames
are the window's own, a few of hundreds. The frames between depend on samples inside the window alone (``FrontEnd.context``), and
are those of the whole stream. Only the ends are computed for each window; the result is that of the offline window within 1e-5.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from auricle.audio.recent import Recent
from auricle.frontends.base import FrontEnd


class WindowFrames:
    """The spectrograms of windows of ``size`` samples, ``hop`` samples apart.

    Args:
        front: the front end.
        size, hop: samples of a window, and from one to the next.
    """

    def __init__(self, front: FrontEnd, size: int, hop: int):
        step = front.hop_length
        left, right = front.context
        self.front, self.frames = front, front.num_frames(size)
        self.head = -(-left // step)  # first frames, which the start of the window changes
        self.stop = (size - right) // step  # the first of the last frames, which its end changes
        self.head_samples = max(self.head * step + right, front.min_samples)
        self.tail = min(
            self.stop - self.head, (size - front.min_samples) // step
        )  # where the samples of the ends begin
        on_grid = hop % step == 0 and hop < size
        self.shared = on_grid and self.tail > 0 and self.head < self.stop and self.head_samples <= size
        self.stream = front.stream()
        self.held = Recent(max(1, self.stop), (front.n_mels,))
        self.fed = 0  # samples of the stream of which frames were computed

    def window(self, samples: Recent, start: int, stop: int) -> Tensor:
        """Return the spectrogram (1, F, T) of the samples [start, stop), which are held in ``samples``.

        Windows come in order, each ``hop`` samples after the one before. What is between them is computed once.
        """
        wave = samples.part(start, stop)
        if not self.shared:
            return self.front(torch.from_numpy(wave.copy())[None])
        self.held.append(self.stream.push(samples.part(self.fed, stop).copy()).numpy())
        self.fed = stop
        step = self.front.hop_length
        first = start // step
        values = np.empty((self.front.n_mels, self.frames), np.float32)
        values[:, self.head : self.stop] = self.held.part(first + self.head, first + self.stop)
        if self.head:
            values[:, : self.head] = self._alone(wave[: self.head_samples])[:, : self.head]
        values[:, self.stop :] = self._alone(wave[self.tail * step :])[:, self.stop - self.tail :]
        return torch.from_numpy(values)[None]

    def _alone(self, wave: np.ndarray) -> np.ndarray:
        return self.front(torch.from_numpy(wave.copy())[None])[0].numpy()
