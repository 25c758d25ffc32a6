"""M2D's classifier (specification m2d 6.4) and the training mask of its fine-tuning (3.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.models.m2d.config import M2DHeadConfig
from auricle.models.masking.patches import Mask, mask_from_flags, structured_flags

FRESH_STD = 2e-5  # specification m2d 6.4


class M2DHead(nn.Module):
    """Batch norm without scale and shift (running statistics), then a linear layer: (B, D) -> logits (B, C)."""

    def __init__(self, width: int, config: M2DHeadConfig):
        super().__init__()
        self.config = config
        self.norm = nn.BatchNorm1d(width, affine=False)
        self.linear = nn.Linear(width, config.num_classes)

    def forward(self, clip: Tensor) -> Tensor:
        """In training a batch of one is normalised by the running statistics: it has no variance of its own (a batch norm
        over all ranks takes its place where there are several)."""
        if self.training and (len(clip) > 1 or not isinstance(self.norm, nn.BatchNorm1d)):
            return self.linear(self.norm(clip.to(self.linear.weight.dtype))).float()
        return self.per_frame(clip)

    def per_frame(self, frames: Tensor) -> Tensor:
        """(…, D) -> (…, C), by the running statistics in training too."""
        return self.linear(self.settled(frames).to(self.linear.weight.dtype)).float()

    def settled(self, x: Tensor) -> Tensor:
        mean, variance = self.norm.get_buffer("running_mean"), self.norm.get_buffer("running_var")
        return (x - mean) * (variance + self.norm.eps).rsqrt()


def head_rule(local: str, owner: nn.Module, parameter: Tensor, generator: torch.Generator) -> None:
    """A fresh head: weights from a truncated normal, biases zero."""
    if local == "bias":
        parameter.zero_()
    else:
        nn.init.trunc_normal_(parameter, std=FRESH_STD, generator=generator)


def width_of_head(config: M2DHeadConfig, rows: int, width: int) -> int:
    """How wide the vectors are that the head reads: D, or the F * D of a stacked frame."""
    return width if config.pools == "tokens" else rows * width


def mean_of_rows(frames: Tensor, rows: int) -> Tensor:
    """Stacked (…, F * D) -> (…, D): the mean of the F patches of a time step."""
    return frames.unflatten(-1, (rows, -1)).mean(-2)


@dataclass(frozen=True)
class TrainingMask:
    """Patches hidden from the encoder in training mode, as a regulariser: whole rows and columns of the grid.

    ``published=True`` hides as many, but others: what the original program does (specification m2d 3.2, a quirk), and
    what the published fine-tuned weights were trained with.
    """

    ratio: float
    published: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1:
            raise AuricleError(f"a training mask hides a share between 0 and 1 of the patches, not {self.ratio}")

    def draw(self, key: BatchKey | None, grid: tuple[int, int]) -> Mask:
        """How many rows and columns is drawn for the batch (as its first clip says), which ones for each clip."""
        if key is None:
            raise AuricleError(
                "patches are hidden from this encoder in training: pass draws= (BatchDraws of the batch)"
            )
        u = float(key.shared("training-mask").random())
        flags = [structured_flags(1, grid, self.ratio, u, source) for source in key.each("training-mask")]
        return mask_from_flags(np.concatenate(flags), published=self.published)
