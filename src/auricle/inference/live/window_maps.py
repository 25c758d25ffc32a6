"""Maps of overlapping windows of a stream, for a network in two parts: each column of the first part's map is computed once.

As with the frames (``frontends/window_frames.py``), only the columns that see the ends of a window are computed for each window,
and those that are new, in one call on frames that are joined: the result is that of the whole window within rounding. Columns
stand on a grid of ``stride`` frames from the beginning of a window. If the hop is no multiple of that, windows take turns: with a
hop of 50 frames and a stride of 4 every second window has the same grid, and shares its columns.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from auricle.frontends.window_frames import WindowFrames
from auricle.models.local_layers import LocalLayers

WORTH = 0.6  # of the frames of a window: with more to compute than that, keeping maps does not pay


class WindowMaps:
    """The maps of the windows whose frames a ``WindowFrames`` gives.

    Attributes:
        shared: columns are kept; False: too little would be left of a window, or its frames are not shared.
        first, stop: columns [first, stop) see frames alone that are the same in every window that holds them.
    """

    def __init__(self, local: LocalLayers, frames: WindowFrames):
        stride = local.stride
        turns = stride // math.gcd(frames.move, stride)
        self.local, self.shift = local, turns * frames.move // stride  # columns from a window to the next on its grid
        self.first = -(-(frames.head + local.left) // stride)
        self.stop = (frames.stop - 1 - local.right) // stride + 1
        self.known = self.stop - self.shift  # columns that the window before on the grid has
        seen = stride * (self.first - 1) + local.right + 1  # frames that the first columns see
        self.joined = -(-seen // stride) * stride
        self.begin = (stride * self.known - local.left) // stride * stride  # the first frame that new columns see
        computed = self.joined + frames.frames - self.begin
        self.shared = frames.shared and self.joined <= self.begin and computed < WORTH * frames.frames
        self.kept: list[Tensor | None] = [None] * turns
        self.turn = 0

    def of(self, values: Tensor) -> Tensor:
        """Return the map (1, C, F', T') of the next window's frames (1, F, T). The next window on its grid is written over it."""
        kept = self.kept[self.turn]
        if kept is None:
            kept = self.local.maps(values).contiguous(memory_format=torch.channels_last)
            self.kept[self.turn] = kept
        else:
            new = self.local.maps(torch.cat([values[..., : self.joined], values[..., self.begin :]], dim=2))
            line, moved = kept.permute(0, 2, 3, 1).numpy().reshape(-1), self.shift * kept.shape[1]
            line[:-moved] = line[moved:]  # one move of all rows: what comes from the next row is written over below
            offset = (self.begin - self.joined) // self.local.stride
            kept[..., : self.first] = new[..., : self.first]
            kept[..., self.known :] = new[..., self.known - offset :]
        self.turn = (self.turn + 1) % len(self.kept)
        return kept
