"""Products of 8-bit integers whose input ranges are found in each call: ``int8-dynamic`` of an ONNX graph.

Weights are bytes with zero point 128, because ONNX Runtime's convolutions take no others, and have scales of their own per output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from auricle.exporting.quantization.parts import Product
from auricle.exporting.quantization.weights import smaller

ZERO = 128


def quantize_dynamic(model: Any, products: Sequence[Product], *, per_channel: bool) -> None:
    """Replace products of an ONNX model (``onnx.ModelProto``) by products of integers.

    A constant that more than one node uses, a product whose constant comes first and a scaled ``Gemm`` stay as they are.
    """
    from onnx import numpy_helper

    graph = model.graph
    constants = {value.name: value for value in graph.initializer}
    uses: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            uses[name] = uses.get(name, 0) + 1
    by_node = {product.node: product for product in products}
    nodes: list[Any] = []
    quantized: dict[str, tuple[str, ...]] = {}
    for node in graph.node:
        product = by_node.get(node.name)
        if product is None or uses[product.weight] > 1 or node.input[1] != product.weight or _is_scaled(node):
            nodes.append(node)
            continue
        values = numpy_helper.to_array(constants.pop(product.weight))
        if product.op == "Gemm" and product.axis == 0:
            values = np.ascontiguousarray(values.T)
        axis = values.ndim - 1 if product.op != "Conv" else 0
        integers, scale = smaller(values, "int8" if per_channel else "int8 per tensor", axis)
        assert scale is not None
        stored = (integers.astype(np.int16) + ZERO).astype(np.uint8)
        shape = (1, -1) + (1,) * (values.ndim - 2) if product.op == "Conv" else (-1,)
        scale = scale.reshape(shape) if per_channel else scale.reshape(())
        zero = np.array(ZERO, np.uint8)
        for suffix, array in (("uint8", stored), ("scale", scale), ("zero", zero)):
            constants[f"{product.weight}_{suffix}"] = numpy_helper.from_array(array, f"{product.weight}_{suffix}")
        nodes += _nodes(node, product, quantized, values.ndim, constants)
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants.values())


def _is_scaled(node: Any) -> bool:
    given = {a.name: a for a in node.attribute}
    if node.op_type != "Gemm":
        return False
    factors = [given[name].f for name in ("alpha", "beta") if name in given]
    return any(factor != 1.0 for factor in factors) or ("transA" in given and given["transA"].i != 0)


def _nodes(
    node: Any, product: Product, quantized: dict[str, tuple[str, ...]], dims: int, constants: dict[str, Any]
) -> list[Any]:
    """The nodes in place of a product; an input that was quantized before is not quantized again."""
    from onnx import TensorProto, helper, numpy_helper

    made, name, wave = [], node.name, node.input[0]
    if wave not in quantized:
        quantized[wave] = tuple(f"{wave}_{part}" for part in ("uint8", "scale", "zero"))
        made.append(helper.make_node("DynamicQuantizeLinear", [wave], list(quantized[wave]), name=f"{wave}_quantized"))
    integers, scale, zero = quantized[wave]
    inputs = [integers, f"{product.weight}_uint8", zero, f"{product.weight}_zero"]
    op = "ConvInteger" if product.op == "Conv" else "MatMulInteger"
    product_node = helper.make_node(op, inputs, [f"{name}_integers"], name=f"{name}_integers")
    if product.op == "Conv":
        product_node.attribute.extend(node.attribute)
    bias = node.input[2] if len(node.input) > 2 and node.input[2] else None
    scaled = node.output[0] if bias is None else f"{name}_scaled"
    made += [
        product_node,
        helper.make_node("Cast", [f"{name}_integers"], [f"{name}_float"], name=f"{name}_cast", to=TensorProto.FLOAT),
        helper.make_node("Mul", [scale, f"{product.weight}_scale"], [f"{name}_scales"], name=f"{name}_scales"),
        helper.make_node("Mul", [f"{name}_float", f"{name}_scales"], [scaled], name=f"{name}_scaled"),
    ]
    if bias is not None:
        added = bias
        if product.op == "Conv" and bias in constants:
            added = f"{name}_bias"
            values = numpy_helper.to_array(constants[bias]).reshape(-1, *(1,) * (dims - 2))
            constants[added] = numpy_helper.from_array(values, added)
        made.append(helper.make_node("Add", [scaled, added], list(node.output), name=f"{name}_biased"))
    return made
