"""A convolution with its activation as one oneDNN operation: fewer passes over memory, weights in oneDNN's own layout."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

NAMES = {nn.Identity: "none", nn.ReLU: "relu", nn.Hardswish: "hardswish"}  # activations that oneDNN applies itself


class FusedConv(nn.Module):
    """``activation(conv(x))`` for inference: (B, Cin, F, T) -> (B, Cout, F', T').

    In float32 on a CPU it is the operation that PyTorch's own compiler chooses there (``torch.ops.mkldnn``); on GPUs,
    under autocast and in other precisions, the two modules as they are. Equal within float32 rounding, and an eighth
    faster over a whole MN. Weights are packed for the first shape that comes; other shapes are right as well.
    """

    def __init__(self, conv: nn.Conv2d, activation: nn.Module):
        super().__init__()
        self.conv, self.activation = conv, activation
        self.packed: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.fits(x):
            return self.activation(self.conv(x))
        conv = self.conv
        how = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        if self.packed is None:
            self.packed = torch.ops.mkldnn._reorder_convolution_weight(conv.weight, *how, list(x.shape))
        name = NAMES[type(self.activation)]
        return torch.ops.mkldnn._convolution_pointwise(x, self.packed, conv.bias, *how, name, [], "")

    def fits(self, x: Tensor) -> bool:
        plain = x.device.type == "cpu" and x.dtype == torch.float32 and not x.requires_grad
        usable = torch.backends.mkldnn.is_available() and not torch.is_autocast_enabled("cpu")
        return plain and usable and not torch.jit.is_tracing()  # a graph fuses by itself

    def __getstate__(self) -> dict[str, Any]:
        """Copies pack their weights anew: packed ones cannot be copied."""
        return {**self.__dict__, "packed": None}
