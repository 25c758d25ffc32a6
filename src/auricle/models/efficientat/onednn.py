"""A convolutional network as one oneDNN graph per input shape: fused layers, no call overhead (CPUs, float32).

Building a graph costs about half a second, so a shape gets its own only when it keeps coming: the windows of a long
recording, clips of one length. Until then, and wherever a graph does not apply, the network runs as it is.
"""

from __future__ import annotations

import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

NAMES = {nn.Identity: "none", nn.ReLU: "relu", nn.Hardswish: "hardswish"}  # activations that oneDNN applies itself


class FusedConv(nn.Module):
    """``activation(conv(x))`` for inference as one oneDNN operation: (B, Cin, F, T) -> (B, Cout, F', T').

    Fewer passes over memory, and weights in oneDNN's own layout. In float32 on a CPU it is the operation that PyTorch's own
    compiler chooses there (``torch.ops.mkldnn``); on GPUs, under autocast and in other precisions, the two modules as they
    are. Equal within float32 rounding, and an eighth faster over a whole MN. Weights are packed for the first shape that
    comes; other shapes are right as well.
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


PATIENCE = 16  # calls with one shape before it gets a graph
SHAPES = 2  # graphs kept: each holds a copy of the weights
MOST_GRAPHS = (
    24  # per process: PyTorch frees little of what tracing made (of 29 MB for width 1) before the process ends
)
RUNS = 2  # the first calls of a traced network, in which PyTorch learns the shapes and builds the graph


MADE: list[tuple[int, ...]] = []  # the shapes of all graphs of this process


class Graphs:
    """``network.class_scores(values)`` for inference, from the ``PATIENCE``-th call of a shape on by a graph of its own.

    Equal to it within float32 rounding. May be shared between threads.
    """

    def __init__(self, network: nn.Module):
        self.network = network
        self.calls: OrderedDict[tuple[int, ...], int] = OrderedDict()
        self.built: OrderedDict[tuple[int, ...], Callable[[Tensor], Tensor]] = OrderedDict()
        self.lock = threading.Lock()

    def __call__(self, values: Tensor) -> Tensor:
        graph = self.graph_of(values) if applies(values) else None
        return self.network.class_scores(values) if graph is None else graph(values)  # type: ignore[operator]

    def graph_of(self, values: Tensor) -> Callable[[Tensor], Tensor] | None:
        """The graph of this shape, built where its time has come; None before."""
        shape = tuple(values.shape)
        with self.lock:
            if not self.due(shape):
                return None
            if shape not in self.built:
                if len(MADE) >= MOST_GRAPHS:
                    return None
                MADE.append(shape)
                self.built[shape] = built(Logits(self.network), values)
                if len(self.built) > SHAPES:
                    self.built.popitem(last=False)
            self.built.move_to_end(shape)
            return self.built[shape]

    def due(self, shape: tuple[int, ...]) -> bool:
        """Count a call; True once this shape has come often enough. Of shapes only the last few are remembered."""
        self.calls[shape] = self.calls.pop(shape, 0) + 1
        if len(self.calls) > 2 * SHAPES:
            self.calls.popitem(last=False)
        return self.calls[shape] > PATIENCE

    def __deepcopy__(self, memo: dict[int, Any]) -> Graphs:
        """Copies build their own: graphs cannot be copied."""
        return Graphs(memo.get(id(self.network), self.network))

    def __getstate__(self) -> dict[str, Any]:
        return {"network": self.network}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["network"])  # type: ignore[misc]


class Logits(nn.Module):
    """(B, F, T) -> (B, C)."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, values: Tensor) -> Tensor:
        return self.network.class_scores(values)  # type: ignore[operator]


def applies(values: Tensor) -> bool:
    plain = values.is_cpu and values.dtype == torch.float32 and not torch.is_grad_enabled()
    return plain and torch.backends.mkldnn.is_available() and not torch.is_autocast_enabled("cpu")


def built(network: nn.Module, values: Tensor) -> Callable[[Tensor], Tensor]:
    """The network traced for this shape, its graph compiled."""
    with warnings.catch_warnings(), fusion():
        warnings.simplefilter("ignore")  # tracing warns of every number read from a shape: the shape is fixed here
        graph = torch.jit.freeze(torch.jit.trace(network.eval(), values, check_trace=False))
        for _ in range(RUNS):
            graph(values)
    return graph


@contextmanager
def fusion() -> Iterator[None]:
    """PyTorch's oneDNN fusion is one switch for the whole process: on only while a graph is made."""
    before = torch.jit.onednn_fusion_enabled()
    torch.jit.enable_onednn_fusion(True)
    try:
        yield
    finally:
        torch.jit.enable_onednn_fusion(before)
