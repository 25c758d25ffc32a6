"""Run a convolutional network through oneDNN: fused layers, and one traced graph per input shape (CPUs, float32).

Building a graph takes about half a second, so a shape gets one only after several calls with it: windows of a long
recording, or clips of one length. Before that, and where a graph cannot be used, the network runs as PyTorch modules.
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

FUSED_ACTIVATIONS = {
    nn.Identity: "none",
    nn.ReLU: "relu",
    nn.Hardswish: "hardswish",
}  # those that oneDNN fuses, its names


class FusedConv(nn.Module):
    """``activation(conv(x))`` for inference as one oneDNN operation: (B, Cin, F, T) -> (B, Cout, F', T').

    It passes over memory less often, and stores the weights in oneDNN's own layout. In float32 on a CPU it calls the operation
    that PyTorch's own compiler chooses there (``torch.ops.mkldnn``). On GPUs, under autocast and in other precisions it calls
    the two modules. The results are equal within float32 rounding; a whole MN is an eighth faster. Weights are packed for the
    first shape; other shapes give right results too.
    """

    def __init__(self, conv: nn.Conv2d, activation: nn.Module):
        super().__init__()
        self.conv, self.activation = conv, activation
        self.packed: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.can_fuse(x):
            return self.activation(self.conv(x))
        conv = self.conv
        layout = (list(conv.padding), list(conv.stride), list(conv.dilation), conv.groups)
        if self.packed is None:
            self.packed = torch.ops.mkldnn._reorder_convolution_weight(conv.weight, *layout, list(x.shape))
        name = FUSED_ACTIVATIONS[type(self.activation)]
        return torch.ops.mkldnn._convolution_pointwise(x, self.packed, conv.bias, *layout, name, [], "")

    def can_fuse(self, x: Tensor) -> bool:
        plain = x.device.type == "cpu" and x.dtype == torch.float32 and not x.requires_grad
        usable = torch.backends.mkldnn.is_available() and not torch.is_autocast_enabled("cpu")
        return plain and usable and not torch.jit.is_tracing()  # a traced graph fuses by itself

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the packed weights: they cannot be copied, and a copy packs its own."""
        return {**self.__dict__, "packed": None}


Shape = tuple[int, ...]
Graph = Callable[[Tensor], Tensor]
CALLS_BEFORE_GRAPH = 16  # with one shape, for the first two graphs of the process; twice as many for each further one
GRAPHS_PER_PROCESS = 8
ALWAYS = CALLS_BEFORE_GRAPH << GRAPHS_PER_PROCESS  # calls that are enough for any further graph
SHAPES_COUNTED = 4  # the last shapes whose calls are counted
WARMUP_CALLS = 2  # the first calls of a traced network, in which PyTorch learns the shapes and builds the graph


class SharedGraphs:
    """The graphs of this process, by weights and input shape.

    PyTorch frees nothing of a graph before the process ends: 25 MB for any width. So graphs are kept, networks with the
    same weights (copies, a file that is loaded again) share them, and their number is limited: a graph pays off after about
    a hundred calls, and from the third on each has to be worth more.
    """

    def __init__(self) -> None:
        self.graphs: dict[tuple[str, Shape], Graph] = {}  # by fingerprint and shape
        self.lock = threading.Lock()  # also for the one switch of ``onednn_fusion``

    def of(self, network: nn.Module, fingerprint: str, values: Tensor, calls: int) -> Graph | None:
        """Return the graph of a network for inputs of this shape. Build it if ``calls`` with them are enough; else None."""
        key = (fingerprint, tuple(values.shape))
        with self.lock:
            made = len(self.graphs)
            enough = CALLS_BEFORE_GRAPH * 2 ** max(0, made - 1)
            if key not in self.graphs and made < GRAPHS_PER_PROCESS and calls > enough:
                self.graphs[key] = build_graph(Logits(network), values)
            return self.graphs.get(key)


SHARED = SharedGraphs()


class Graphs:
    """Compute ``network.class_scores(values)`` for inference, by a graph for every shape that is used often.

    The results equal those of the network within float32 rounding. Threads may share it. It is an attribute of the network
    and does not refer to it: a network that nobody uses is freed at once.

    Attributes:
        fixed: the shapes that get a graph, at their first call; None: those that come often.
    """

    def __init__(self) -> None:
        self.fingerprint = ""  # of the network, from the first graph on
        self.fixed: set[Shape] | None = None
        self.calls: OrderedDict[Shape, int] = OrderedDict()
        self.built: dict[Shape, Graph] = {}
        self.lock = threading.Lock()

    def __call__(self, network: nn.Module, values: Tensor) -> Tensor:
        graph = self.graph_of(network, values) if can_use_graph(values) else None
        return network.class_scores(values) if graph is None else graph(values)  # type: ignore[operator]

    def graph_of(self, network: nn.Module, values: Tensor) -> Graph | None:
        """Return the graph of this shape; None until it was used often enough, or if there are too many graphs."""
        shape = tuple(values.shape)
        with self.lock:
            if shape not in self.built:
                calls = self.count(shape) if self.fixed is None else ALWAYS * (shape in self.fixed)
                if calls <= CALLS_BEFORE_GRAPH:
                    return None
                self.fingerprint = self.fingerprint or network.fingerprint()  # type: ignore[operator]
                graph = SHARED.of(network, self.fingerprint, values, calls)
                if graph is None:
                    return None
                self.built[shape] = graph
            return self.built[shape] if self.fixed is None or shape in self.fixed else None

    def count(self, shape: Shape) -> int:
        """Count a call and return the number of calls with this shape. Only the last few shapes are counted."""
        self.calls[shape] = self.calls.pop(shape, 0) + 1
        if len(self.calls) > SHAPES_COUNTED:
            self.calls.popitem(last=False)
        return self.calls[shape]

    def __reduce__(self) -> tuple[type[Graphs], tuple[()]]:
        """Copy and pickle as an empty one: graphs cannot be copied, and a copy counts its own calls."""
        return Graphs, ()


class Logits(nn.Module):
    """(B, F, T) -> (B, C)."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, values: Tensor) -> Tensor:
        return self.network.class_scores(values)  # type: ignore[operator]


def can_use_graph(values: Tensor) -> bool:
    plain = values.is_cpu and values.dtype == torch.float32 and not torch.is_grad_enabled()
    return plain and torch.backends.mkldnn.is_available() and not torch.is_autocast_enabled("cpu")


def build_graph(network: nn.Module, values: Tensor) -> Callable[[Tensor], Tensor]:
    """Trace and compile the network for one shape."""
    with warnings.catch_warnings(), onednn_fusion():
        warnings.simplefilter("ignore")  # tracing warns of every number read from a shape: the shape is fixed here
        graph = torch.jit.freeze(torch.jit.trace(network.eval(), values, check_trace=False))
        for _ in range(WARMUP_CALLS):
            graph(values)
    return graph


@contextmanager
def onednn_fusion() -> Iterator[None]:
    """Turn PyTorch's oneDNN fusion on. It is one switch for the whole process, so it is on only while a graph is built."""
    before = torch.jit.onednn_fusion_enabled()
    torch.jit.enable_onednn_fusion(True)
    try:
        yield
    finally:
        torch.jit.enable_onednn_fusion(before)
