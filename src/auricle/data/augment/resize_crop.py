"""Random resize crop of spectrograms: cut a box out of a wider canvas and resize it to the input's size.

See [finetuning 3.3](docs/specification/finetuning.md#s3-3).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from auricle.core.randomness import BatchKey, RandomSource

CANVAS = 1.5  # width of the canvas, times the width of the input
SCALE = (0.6, 1.5)  # of the box, relative to the input, on each axis


class Box(NamedTuple):
    """A box on the canvas: first row and column, height and width."""

    row: int
    column: int
    height: int
    width: int


def canvas_width(frames: int) -> int:
    return int(CANVAS * frames)


def draw_box(source: RandomSource, bins: int, frames: int) -> Box:
    """Draw a box for an input (F, T): both sides scaled uniformly, then placed uniformly."""
    wide, (low, high) = canvas_width(frames), SCALE
    height = min(max(int((low + (high - low) * source.random()) * bins), 1), bins)
    width = min(max(int((low + (high - low) * source.random()) * frames), 1), wide)
    row, column = int(source.integers(0, bins - height + 1)), int(source.integers(0, wide - width + 1))
    return Box(row, column, height, width)


def resize_crop(values: Tensor, boxes: list[Box]) -> Tensor:
    """Cut one box per clip and resize it to the input's size, bicubic with aligned corners.

    Args:
        values: (B, F, T) normalised spectrograms; the canvas around them is 0.
        boxes: B boxes.

    Returns:
        (B, F, T).
    """
    _, bins, frames = values.shape
    left = (canvas_width(frames) - frames) // 2
    canvas = functional.pad(values, (left, canvas_width(frames) - frames - left))
    cut = [
        functional.interpolate(
            canvas[i : i + 1, None, box.row : box.row + box.height, box.column : box.column + box.width],
            size=(bins, frames),
            mode="bicubic",
            align_corners=True,
        )[:, 0]
        for i, box in enumerate(boxes)
    ]
    return torch.cat(cut)


def draw_boxes(key: BatchKey, bins: int, frames: int) -> list[Box]:
    """Draw a box per clip."""
    return [draw_box(source, bins, frames) for source in key.each("resize crop")]
