"""A head that learns which frames to listen to."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.models.heads.base import Head, HeadInputs, Standardise, check_sizes, head_rule
from auricle.models.layers.init import keyed


class AttentiveHead(Head):
    """Linear class scores of every frame, averaged with weights over time that are a softmax of linear scores of the frames.

    A new head weighs all frames alike. Source: [attention pooling, Kong 2018](https://arxiv.org/abs/1711.00927).

    Args:
        input_dim: size of a frame.
        num_classes: the number of logits.
        reads: "frames"; there is no other choice.
        per_class: each class has weights of its own; False: all classes share them, with fewer parameters.
        seed: of the weights.
    """

    kind = "attentive"

    def __init__(
        self, input_dim: int, num_classes: int, reads: str = "frames", *, per_class: bool = False, seed: int = 0
    ):
        super().__init__()
        check_sizes(input_dim, num_classes)
        if reads != "frames":
            raise AuricleError(f"an attentive head reads frames, not {reads!r}")
        self.input_dim, self.num_classes, self.per_class = input_dim, num_classes, bool(per_class)
        self.standardise = Standardise(input_dim)
        self.attention = nn.Linear(input_dim, num_classes if per_class else 1, bias=False)
        self.linear = nn.Linear(input_dim, num_classes)
        nn.init.zeros_(self.attention.weight)
        keyed(self.linear, seed, head_rule, prefix="heads.linear")

    def set_input_stats(self, mean: Tensor, std: Tensor) -> None:
        """Set mean and standard deviation (D,) of the frames. Raises as ``Standardise.set``."""
        self.standardise.set(mean, std)

    def forward(self, inputs: HeadInputs) -> Tensor:
        if inputs.frames.shape[-1] != self.input_dim:
            raise AuricleError(
                f"this head reads {self.input_dim} values, the encoder's frames have {inputs.frames.shape[-1]}"
            )
        x = self.standardise(inputs.frames)
        valid = torch.arange(x.shape[1], device=x.device) < inputs.lengths[:, None]
        scores = nn.functional.linear(x, self.attention.weight.float())
        weights = scores.masked_fill(~valid[..., None], float("-inf")).softmax(1)
        return (weights * self._class_scores(x)).sum(1)

    def per_frame(self, frames: Tensor) -> Tensor | None:
        return self._class_scores(self.standardise(frames)) if frames.shape[-1] == self.input_dim else None

    def _class_scores(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.linear.weight.float(), self.linear.bias.float())

    def settings(self) -> dict[str, Any]:
        sizes = {"input_dim": self.input_dim, "num_classes": self.num_classes}
        return {"kind": self.kind, **sizes, "per_class": self.per_class}
