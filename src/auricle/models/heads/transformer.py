"""A head that is a transformer on the frames."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.models.heads.base import MOST_CLASSES, MOST_INPUTS, MOST_LAYERS, Head, HeadInputs
from auricle.models.layers.init import keyed, linear_rule, transformer_rule
from auricle.models.layers.transformer import BlockStyle, Transformer

HEAD_NORM_EPS = 1e-5  # [finetuning 11](docs/specification/finetuning.md#s11)


class TransformerHead(Head):
    """A transformer on the frames: its output at a learnt token, which starts as zero, goes through a linear layer.

    The blocks are pre-norm, without positions and dropout ([finetuning 11](docs/specification/finetuning.md#s11)).

    Args:
        input_dim: size of a frame.
        num_classes: the number of logits.
        reads: "frames"; there is no other choice.
        token_dim: size of a token; a frame is cut into input_dim / token_dim tokens (the patches that M2D stacks).
        depth, num_heads: of the transformer. Its inner width is that of a token.
        seed: of the weights.
    """

    kind = "transformer"

    def __init__(
        self,
        input_dim: int,
        num_classes: int,
        reads: str = "frames",
        *,
        token_dim: int | None = None,
        depth: int = 4,
        num_heads: int = 1,
        seed: int = 0,
    ):
        super().__init__()
        width = token_dim or input_dim
        sizes = 1 <= width <= input_dim <= MOST_INPUTS and 1 <= num_classes <= MOST_CLASSES
        blocks = 1 <= depth <= MOST_LAYERS and 1 <= num_heads <= width
        if not sizes or not blocks or input_dim % width or width % num_heads or reads != "frames":
            raise AuricleError(
                f"a transformer head reads frames, cuts them into whole tokens, and has 1 to {MOST_LAYERS} blocks whose heads "
                f"share the width of a token evenly: not {reads}, {input_dim} and {width}, {depth} and {num_heads}"
            )
        self.input_dim, self.num_classes, self.token_dim = input_dim, num_classes, width
        self.depth, self.num_heads = depth, num_heads
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.transformer = Transformer(width, depth, num_heads, BlockStyle(hidden=width, eps=HEAD_NORM_EPS))
        self.linear = nn.Linear(width, num_classes)
        keyed(self.transformer, seed, transformer_rule, prefix="heads.transformer")
        keyed(self.linear, seed, linear_rule, prefix="heads.linear")

    def forward(self, inputs: HeadInputs) -> Tensor:
        frames = inputs.frames.to(self.linear.weight.dtype)
        if frames.shape[-1] != self.input_dim:
            raise AuricleError(f"this head reads {self.input_dim} values, the encoder's frames have {frames.shape[-1]}")
        tokens = frames.unflatten(2, (-1, self.token_dim)).flatten(1, 2)
        valid = torch.arange(frames.shape[1], device=frames.device) < inputs.lengths[:, None]
        mask = nn.functional.pad(valid.repeat_interleave(self.input_dim // self.token_dim, 1), (1, 0), value=True)
        x = torch.cat([self.token.expand(len(tokens), -1, -1), tokens], dim=1)
        return self.linear(self.transformer(x, mask)[:, 0]).float()

    def per_frame(self, frames: Tensor) -> None:
        return None

    def settings(self) -> dict[str, Any]:
        sizes = {"input_dim": self.input_dim, "num_classes": self.num_classes, "token_dim": self.token_dim}
        return {"kind": self.kind, **sizes, "depth": self.depth, "num_heads": self.num_heads}
