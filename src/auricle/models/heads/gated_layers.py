"""A head on the means over time of several blocks: a gate weighs what the blocks say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.models.heads.base import (
    COSINE_SCALE,
    MOST_LAYERS,
    Head,
    HeadInputs,
    Standardise,
    check_sizes,
    cosine,
    head_rule,
)
from auricle.models.inputs import mean_over_time
from auricle.models.layers.init import keyed

LayerScores = Literal["prototype", "linear"]


class GatedLayersHead(Head):
    """Class scores of every block, added with weights that are positive and sum to one.

    The vector of a block is its mean over time, standardised. Its scores are cosine similarities with a prototype per class,
    times a learnt scale, or those of a linear layer. The weights of the blocks are a softmax of one number per block, and
    each class has a bias. The blocks may differ in width. Source: [convex gating of layers](https://arxiv.org/abs/2602.16305).

    Args:
        layers: 0-based blocks that are read, each once.
        layer_dims: the width of each of them.
        num_classes: the number of logits.
        scores: "prototype" or "linear".
        seed: of the weights.
    """

    kind = "gated-layers"

    def __init__(
        self,
        layers: Sequence[int],
        layer_dims: Sequence[int],
        num_classes: int,
        *,
        scores: LayerScores = "prototype",
        seed: int = 0,
    ):
        super().__init__()
        whole = all(isinstance(value, int) for value in (*layers, *layer_dims))
        if not whole or not 1 <= len(layers) == len(layer_dims) <= MOST_LAYERS or len(set(layers)) < len(layers):
            raise AuricleError(
                f"a gated-layers head reads 1 to {MOST_LAYERS} blocks, each once, and knows the width of each: not {layers} "
                f"and {layer_dims}"
            )
        if scores not in get_args(LayerScores):
            raise AuricleError(f"the scores of a gated-layers head are prototype or linear, not {scores!r}")
        for dim in layer_dims:
            check_sizes(dim, num_classes)
        self.layers, self.layer_dims, self.num_classes = tuple(layers), tuple(layer_dims), num_classes
        self.scores = scores
        self.standardise = nn.ModuleList(Standardise(dim) for dim in layer_dims)
        self.layer_scores = nn.ModuleList(nn.Linear(dim, num_classes, bias=False) for dim in layer_dims)
        self.gate = nn.Parameter(torch.zeros(len(layers)))
        if scores == "prototype":
            self.log_scale = nn.Parameter(torch.tensor(math.log(COSINE_SCALE)))
        self.bias = nn.Parameter(torch.zeros(num_classes))
        keyed(self.layer_scores, seed, head_rule, prefix="heads.layer_scores")

    def set_input_stats(self, mean: Tensor, std: Tensor) -> None:
        """Set mean and standard deviation of the blocks' vectors.

        Args:
            mean, std: (D,), those of the blocks joined in the order of ``layers``, as ``Embeddings.clip`` joins them.

        Raises:
            AuricleError: as ``Standardise.set``.
        """
        dims = list(self.layer_dims)
        if mean.shape != (sum(dims),) or std.shape != (sum(dims),):
            raise AuricleError(
                f"the blocks of this head have {sum(dims)} features together, the statistics are of {tuple(mean.shape)} and "
                f"{tuple(std.shape)}"
            )
        for standardise, m, s in zip(self._standardise(), mean.split(dims), std.split(dims)):
            standardise.set(m, s)

    def layer_weights(self) -> Tensor:
        """Return the weights of the blocks, (L,), positive, with the sum 1."""
        return self.gate.float().softmax(0)

    def forward(self, inputs: HeadInputs) -> Tensor:
        found = tuple(layer.shape[-1] for layer in inputs.layers)
        if found != self.layer_dims:
            raise AuricleError(f"this head reads blocks of {self.layer_dims} values, the encoder's blocks have {found}")
        pooled = [mean_over_time(*pair) for pair in zip(inputs.layers, inputs.layer_lengths)]
        scores = torch.stack(
            [self._scores(i, standardise(x)) for i, (standardise, x) in enumerate(zip(self._standardise(), pooled))]
        )
        if self.scores == "prototype":
            scores = self.log_scale.float().exp() * scores
        return (self.layer_weights()[:, None, None] * scores).sum(0) + self.bias.float()

    def _scores(self, i: int, x: Tensor) -> Tensor:
        """Class scores (B, C) of the standardised vectors (B, D) of a block."""
        own = self.layer_scores[i]
        assert isinstance(own, nn.Linear)
        weight = own.weight.float()
        return cosine(x, weight) if self.scores == "prototype" else nn.functional.linear(x, weight)

    def _standardise(self) -> list[Standardise]:
        return list(self.standardise)  # type: ignore[arg-type]

    def per_frame(self, frames: Tensor) -> None:
        return None

    def settings(self) -> dict[str, Any]:
        blocks = {"layers": list(self.layers), "layer_dims": list(self.layer_dims)}
        return {"kind": self.kind, **blocks, "num_classes": self.num_classes, "scores": self.scores}
