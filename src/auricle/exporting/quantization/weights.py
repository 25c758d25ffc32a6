"""Constants of an ONNX graph stored in 8 or 16 bits, and made float32 again by nodes of the graph.

``Cast`` and ``Mul`` are known to every runtime, and are computed once when a graph is opened: the arithmetic stays that of float32.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

Storage = Literal["float16", "int16", "int8", "int8 per tensor"]  # int16 and int8 have one scale per output

SMALLEST = 256  # values; smaller weights stay float32: the nodes would take as much as they save
SMALLEST_OTHER = 4096  # values, of a constant that is no weight, such as positions; smaller ones are few and matter
LARGEST_FLOAT16 = 65504.0
LARGEST_INTEGER = {"int16": 32767, "int8": 127, "int8 per tensor": 127}


def store_weights(model: Any, storages: dict[str, Storage], axes: dict[str, int]) -> None:
    """Replace float32 constants of a model (``onnx.ModelProto``) by smaller ones.

    Args:
        storages: how to store a constant, by name. integers have one scale per output, or one.
        axes: the axis that counts the outputs of a constant.
    """
    import onnx
    from onnx import numpy_helper

    graph = model.graph
    nodes, kept = [], []
    for constant in graph.initializer:
        storage = storages.get(constant.name)
        values = numpy_helper.to_array(constant) if storage else None
        if values is None or values.dtype != np.float32 or values.size < SMALLEST:
            kept.append(constant)
            continue
        small, scale = smaller(values, storage, axes.get(constant.name, 0)) if storage else (values, None)
        stored = f"{constant.name}_{small.dtype}"
        kept.append(numpy_helper.from_array(small, stored))
        made = constant.name if scale is None else f"{constant.name}_float"
        nodes.append(
            onnx.helper.make_node("Cast", [stored], [made], name=f"{constant.name}_cast", to=onnx.TensorProto.FLOAT)
        )
        if scale is not None:
            kept.append(numpy_helper.from_array(scale, f"{constant.name}_scale"))
            factors = [made, f"{constant.name}_scale"]
            nodes.append(onnx.helper.make_node("Mul", factors, [constant.name], name=f"{constant.name}_scaled"))
    del graph.initializer[:]
    graph.initializer.extend(kept)
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])


def smaller(values: np.ndarray, storage: Storage, axis: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return float32 values as float16, or as integers with their scale, whose product with them is the value.

    Values beyond float16's range are cut to it: such a constant is a mark like minus infinity.
    """
    if storage == "float16":
        return np.clip(values, -LARGEST_FLOAT16, LARGEST_FLOAT16).astype(np.float16), None
    largest = LARGEST_INTEGER[storage]
    others: tuple[int, ...] | None = (
        tuple(i for i in range(values.ndim) if i != axis) if storage in ("int8", "int16") else None
    )
    scale = np.abs(values).max(axis=others, keepdims=True) / largest
    scale = np.where(scale > 0, scale, 1).astype(np.float32)
    return np.round(values / scale).astype(np.int16 if largest > 127 else np.int8), scale


def large_constants(model: Any, without: Iterable[str] = ()) -> list[str]:
    """Return the names of the float32 constants that are worth storing smaller."""
    from onnx import TensorProto

    left = set(without)
    return [
        constant.name
        for constant in model.graph.initializer
        if constant.data_type == TensorProto.FLOAT
        and int(np.prod(constant.dims)) >= SMALLEST_OTHER
        and constant.name not in left
    ]
