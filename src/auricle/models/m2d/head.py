"""What stands on M2D's encoder: the decoder of masked pre-training (from what was seen to every grid cell), the classifier,
and the training mask of its fine-tuning.

Source: [m2d 4.1](docs/specification/m2d.md#s4-1) point 3, [6.4](docs/specification/m2d.md#s6-4) and
[3.2](docs/specification/m2d.md#s3-2).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey
from auricle.models.layers.transformer import Transformer, grid_table, take
from auricle.models.m2d.config import M2DHeadConfig, PredictorConfig
from auricle.models.masking.patches import Mask, mask_from_flags, structured_flags


class Predictor(nn.Module):
    """latent (B, 1 + K, D) of the visible tokens -> (B, N, out) for all tokens in spatial order."""

    pos_embed: Tensor

    def __init__(self, config: PredictorConfig, embed_dim: int, grid: tuple[int, int], out: int):
        super().__init__()
        inner = config.decoder_embed_dim
        self.embed = nn.Linear(embed_dim, inner)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, inner))
        self.register_buffer("pos_embed", grid_table(inner, grid))
        self.transformer = Transformer(inner, config.decoder_depth, config.decoder_num_heads)
        self.project = nn.Linear(inner, out)

    def forward(self, latent: Tensor, mask: Mask) -> Tensor:
        return self.project(self.inner(latent, mask)[:, 1:])

    def hidden(self, latent: Tensor, mask: Mask) -> Tensor:
        """(B, M, out): the masked tokens only, in the mask's order; the last block and what follows skip the others.

        Tokens stay in the mask's order: attention does not care, and positions are looked up.
        """
        x, positions = self.embed(latent), self.pos_embed[0]
        seen = x + torch.cat([positions[:1].expand(len(x), 1, -1), positions[1:][mask.visible]], dim=1)
        hidden = self.mask_token + positions[1:][mask.hidden]
        return self.project(self.transformer.tail(torch.cat([seen, hidden.to(seen.dtype)], dim=1), hidden.shape[1]))

    def inner(self, latent: Tensor, mask: Mask) -> Tensor:
        """(B, 1 + N, d): the class token, then all tokens in spatial order, after the final norm."""
        x = self.embed(latent)
        hidden = self.mask_token.to(x.dtype).expand(len(x), mask.hidden.shape[1], -1)
        tokens = take(torch.cat([x[:, 1:], hidden], dim=1), mask.ids_restore)
        return self.transformer(torch.cat([x[:, :1], tokens], dim=1) + self.pos_embed)


INIT_STD = 2e-5  # [m2d 6.4](docs/specification/m2d.md#s6-4)


class M2DHead(nn.Module):
    """Batch norm without scale and shift (running statistics), then a linear layer: (B, D) -> logits (B, C)."""

    def __init__(self, in_features: int, config: M2DHeadConfig):
        super().__init__()
        self.config = config
        self.norm = nn.BatchNorm1d(in_features, affine=False)
        self.linear = nn.Linear(in_features, config.num_classes)

    def forward(self, clip: Tensor) -> Tensor:
        """Compute logits. In training, a batch of one uses the running statistics, because it has no variance.

        (With several processes, the batch norm is synchronised and works with one clip per process.)
        """
        if self.training and (len(clip) > 1 or not isinstance(self.norm, nn.BatchNorm1d)):
            return self.linear(self.norm(clip.to(self.linear.weight.dtype))).float()
        return self.per_frame(clip)

    def per_frame(self, frames: Tensor) -> Tensor:
        """Compute logits per frame: (…, D) -> (…, C); always with the running statistics."""
        return self.linear(self.normalise_running(frames).to(self.linear.weight.dtype)).float()

    def normalise_running(self, x: Tensor) -> Tensor:
        mean, variance = self.norm.get_buffer("running_mean"), self.norm.get_buffer("running_var")
        return (x - mean) * (variance + self.norm.eps).rsqrt()


def head_rule(local: str, owner: nn.Module, parameter: Tensor, generator: torch.Generator) -> None:
    """Initialise a head: weights from a truncated normal distribution, biases zero."""
    if local == "bias":
        parameter.zero_()
    else:
        nn.init.trunc_normal_(parameter, std=INIT_STD, generator=generator)


def head_in_features(config: M2DHeadConfig, rows: int, embed_dim: int) -> int:
    """Return the input size of the head: D for patch tokens, F * D for stacked frames."""
    return embed_dim if config.pools == "tokens" else rows * embed_dim


def mean_of_rows(frames: Tensor, rows: int) -> Tensor:
    """Average the F patches of a time step: (…, F * D) -> (…, D)."""
    return frames.unflatten(-1, (rows, -1)).mean(-2)


@dataclass(frozen=True)
class TrainingMask:
    """Mask rows and columns of the patch grid in training mode, as a regulariser.

    ``published=True`` masks the same number of patches, but those that the original program masks
    ([m2d 3.2](docs/specification/m2d.md#s3-2)); the published fine-tuned weights were trained this way.
    """

    ratio: float
    published: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.ratio < 1:
            raise AuricleError(f"the ratio of a training mask must lie between 0 and 1, not {self.ratio}")

    def draw(self, key: BatchKey | None, grid: tuple[int, int], chunk: int = 0) -> Mask:
        """Draw the mask of a chunk: the numbers of rows and columns for the batch, and which ones for each clip."""
        if key is None:
            raise AuricleError("this encoder masks patches in training: pass key= (the BatchKey of the batch)")
        purpose = "training-mask" if chunk == 0 else f"training-mask {chunk}"
        u = float(key.shared(purpose).random())
        flags = [structured_flags(1, grid, self.ratio, u, source) for source in key.each(purpose)]
        return mask_from_flags(np.concatenate(flags), published=self.published)
