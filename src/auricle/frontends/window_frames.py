"""Spectrograms of overlapping windows of a stream, for which each frame is computed once.

The spectrogram of a window is that of the window alone: it is reflected at the window's ends, so the first and last frames
are the window's own, a few of hundreds. The frames between depend on samples inside the window alone (``FrontEnd.context``), and
every window that holds them has the same. Only the ends and what is new are computed for each window, in one call: the result
is that of the window alone within 1e-5.

The spectrogram of the last window is kept in the layout that networks take, and moved on by a hop for the next one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from auricle.audio.recent import Recent
from auricle.frontends.base import FrontEnd


class WindowFrames:
    """The spectrograms of windows of ``size`` samples, ``hop`` samples apart.

    Args:
        front: the front end.
        normalise: of the encoder, applied to each frame once.
        size, hop: samples of a window, and from one to the next.

    Attributes:
        shared: frames are kept from one window to the next; where the hop is no whole number of frames, or the window is too
            short, each window is computed by itself.
        head, stop: frames [head, stop) of a window are shared; those before and behind depend on its ends.
    """

    def __init__(
        self, front: FrontEnd, size: int, hop: int, normalise: Callable[[Tensor], Tensor] = lambda values: values
    ):
        step = front.hop_length
        left, right = front.context
        self.front, self.normalise, self.frames = front, normalise, front.num_frames(size)
        self.lead = self.head = -(-left // step)  # frames that reach back before the samples they begin with
        self.stop = (size - right) // step
        self.last_begin = (size - front.min_samples) // step  # the latest frame from which the end can be computed
        # whole frames of samples that decide about the first frames
        self.head_samples = -(-(self.head * step + right) // step) * step if self.head else 0
        self.shared = hop % step == 0 and hop < size and self.head < self.stop and self.last_begin > 0
        self.move = hop // step  # frames from one window to the next
        self.values = torch.zeros(1, front.n_mels, self.frames)  # of the last window
        self.known = 0  # frames of the stream that are final

    def window(self, samples: Recent, start: int, stop: int) -> Tensor:
        """Return the spectrogram (1, F, T) of the samples [start, stop), which are held in ``samples``.

        Windows come in order, each ``hop`` samples after the one before. The next window is written over this one.
        """
        wave = samples.part(start, stop)
        if not self.shared:
            return self.normalise(self.front(torch.from_numpy(wave.copy())[None]))
        first = start // self.front.hop_length  # the window's frame 0 in the stream
        known = max(self.head, self.known - first)  # frames of the window that earlier ones have computed
        offset, frames = self._new_frames(wave, known)
        values = self.values.numpy()[0]
        if self.known:
            line = values.reshape(-1)  # one move of all bands: what comes from the next band is written over below
            line[: -self.move] = line[self.move :]
        values[:, : self.head] = frames[:, : self.head]
        values[:, known:] = frames[:, known - offset :]
        self.known = first + self.stop
        return self.values

    def _new_frames(self, wave: np.ndarray, known: int) -> tuple[int, np.ndarray]:
        """Compute the first ``head`` frames of a window, and those from ``known`` to its end.

        The samples of both are joined to one wave. Frames near the seam are of no use, and are not asked for.

        Returns:
            offset, and frames (F, t): column i holds frame i of the window for i < head, and frame i + offset from ``known`` on.
        """
        step = self.front.hop_length
        begin = min(known - self.lead, self.last_begin) * step
        if begin <= self.head_samples:
            begin = joined = 0
        else:
            joined = self.head_samples
        both = np.concatenate([wave[:joined], wave[begin:]])
        return (begin - joined) // step, self.normalise(self.front(torch.from_numpy(both)[None]))[0].numpy()
