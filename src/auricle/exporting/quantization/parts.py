"""The parts of an ONNX graph that a smaller form treats differently, found by how the nodes are connected.

The front end is what depends on no parameter of the encoder. The head is what ``embedding`` and ``frames`` do not depend on.
Gates are products of averages: squeeze-excitation, and the attention over kernels of DyMN. No name of a layer is looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from auricle.exporting.quantization.forms import SMALL

AVERAGES = ("ReduceMean", "GlobalAveragePool")
PRODUCTS = ("Conv", "Gemm", "MatMul")
PARAMETERS = "encoder."  # names of the encoder's parameters and buffers begin so in a trace of ``WaveformGraph``
FEATURES = ("embedding", "frames")
POINTWISE = ("Relu", "HardSwish", "HardSigmoid", "Sigmoid", "Softmax", "Gelu", "Erf", "Clip", "Add", "Mul", "Div")
RESHAPED = ("Reshape", "Squeeze", "Unsqueeze", "Transpose", "Flatten", "Identity", "Split", "Concat")
KEPT_ALONG = (*PRODUCTS, *POINTWISE, *RESHAPED)


@dataclass(frozen=True)
class Product:
    """A node that multiplies what flows through the graph with a constant.

    Attributes:
        node: its name; op: its operator.
        weight: name of the constant.
        part: "front end", "first", "small", "gates", "head" or "body", of ``forms.PARTS``.
        axis: of the constant, that counts the outputs.
    """

    node: str
    op: str
    weight: str
    part: str
    axis: int


def products_of(model: Any) -> tuple[Product, ...]:
    """Return the products with constants of an ONNX model (``onnx.ModelProto``), in their order."""
    graph = model.graph
    constants = {value.name for value in graph.initializer}
    sizes = {value.name: tuple(value.dims) for value in graph.initializer}
    features = needed_for(graph, [value.name for value in graph.output if value.name in FEATURES])
    network, averaged = _after_parameters(graph, constants), averages(graph, constants, AVERAGES, KEPT_ALONG)
    found: list[Product] = []
    for node in graph.node:
        weight = _constant_factor(node, constants)
        if weight is None or len(sizes[weight]) < 2:
            continue
        part = part_of(
            in_front_end=node.name not in network,
            in_head=node.name not in features,
            of_averages=any(value in averaged for value in node.input),
            has_first=any(product.part == "first" for product in found),
            is_small=_is_small(node, sizes[weight]),
        )
        found.append(Product(node.name, node.op_type, weight, part, _output_axis(node, weight, len(sizes[weight]))))
    return tuple(found)


def part_of(*, in_front_end: bool, in_head: bool, of_averages: bool, has_first: bool, is_small: bool) -> str:
    """Return the part that a product belongs to, one of ``forms.PARTS``; ``has_first``: the first layer came before."""
    if in_front_end:
        return "front end"
    if in_head:
        return "head"
    if of_averages:
        return "gates"
    if not has_first:
        return "first"
    return "small" if is_small else "body"


def _constant_factor(node: Any, constants: set[str]) -> str | None:
    """The constant that a product multiplies with; None if it has none, or nothing else."""
    if node.op_type not in PRODUCTS:
        return None
    first, second = node.input[:2]
    if second in constants and first not in constants:
        return str(second)
    return str(first) if node.op_type == "MatMul" and first in constants and second not in constants else None


def _is_small(node: Any, size: tuple[int, ...]) -> bool:
    depthwise = (
        node.op_type == "Conv"
        and len(size) > 2
        and size[1] == 1
        and any(a.name == "group" and a.i > 1 for a in node.attribute)
    )
    return depthwise or math.prod(size) < SMALL


def _output_axis(node: Any, weight: str, dims: int) -> int:
    if node.op_type == "Conv":
        return 0
    if node.op_type == "Gemm":
        return 0 if any(a.name == "transB" and a.i for a in node.attribute) else 1
    return dims - 1 if node.input[1] == weight else dims - 2


def needed_for(graph: Any, values: Iterable[Any]) -> set[str]:
    """Return the names of the nodes that some values depend on. ``graph.node`` is in topological order."""
    wanted, found = set(values), set()
    for node in reversed(graph.node):
        if wanted.intersection(node.output):
            found.add(node.name)
            wanted.update(node.input)
    return found


def _after_parameters(graph: Any, constants: set[str]) -> set[str]:
    """Names of the nodes that depend on a parameter of the encoder."""
    reached = {name for name in constants if name.startswith(PARAMETERS)}
    found = set()
    for node in graph.node:
        if reached.intersection(node.input):
            found.add(node.name)
            reached.update(node.output)
    return found


def averages(graph: Any, constants: set[Any], of: tuple[str, ...], kept_along: tuple[str, ...]) -> set[Any]:
    """Return the values that are computed from averages alone, by nodes that have no other input but constants.

    Args:
        of: operators that average; kept_along: those after which averages are still averages.
    """
    found: set[Any] = set()
    for node in graph.node:
        if node.op_type in of:
            found.update(node.output)
        elif node.op_type in kept_along:
            inputs = [value for value in node.input if value != "" and value not in constants]
            if inputs and all(value in found for value in inputs):
                found.update(node.output)
    return found
