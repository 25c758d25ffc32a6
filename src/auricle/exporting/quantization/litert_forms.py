"""Write a LiteRT file in a smaller form, with ai-edge-quantizer.

The parts of the graph are those of ``parts.py``, found by how the operators are connected: the converter keeps no names of
layers. LiteRT has no weights in 16-bit integers; what takes 16 bits is float16, and in the form ``float16`` the first layer and
the small ones stay float32, where rounding hurts most and saves least.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from auricle.exporting.quantization.forms import SMALL, Form
from auricle.exporting.quantization.parts import FEATURES, averages, needed_for, part_of
from auricle.exporting.runtimes import Inputs

PRODUCTS = ("FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D")
AVERAGES = ("MEAN", "AVERAGE_POOL_2D")
POINTWISE = ("RELU", "RELU6", "HARD_SWISH", "LOGISTIC", "SOFTMAX", "GELU", "ADD", "MUL", "DIV", "MINIMUM", "MAXIMUM")
RESHAPED = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "SLICE", "CONCATENATION")
KEPT_ALONG = (*PRODUCTS, *POINTWISE, *RESHAPED)
LOGARITHM = "LOG"  # the last step of every front end
SIGNATURE = "serving_default"


@dataclass(frozen=True)
class LiteRTProduct:
    """An operator that multiplies what flows through the graph with a constant.

    Attributes:
        output: name of the tensor that it gives.
        op: its operator.
        part: "front end", "first", "small", "gates", "head" or "body", of ``forms.PARTS``.
    """

    output: str
    op: str
    part: str


@dataclass(frozen=True)
class _Operator:
    """An operator with the names of an ONNX node, for what ``parts.py`` finds; tensors are numbers."""

    name: str
    op_type: str
    input: tuple[int, ...]
    output: tuple[int, ...]


@dataclass(frozen=True)
class _Operators:
    node: list[_Operator]


def to_form(content: bytes, form: Form, calibration: Sequence[Inputs] = ()) -> bytes:
    """Return a LiteRT file in a smaller form.

    Args:
        content: the file in float32.
        calibration: inputs of the graph by name, whose activations decide the ranges of ``int8-static``.
    """
    from ai_edge_quantizer import qtyping, quantizer

    made = quantizer.Quantizer(bytearray(content))
    sizes = qtyping.QuantGranularity
    granularity = sizes.CHANNELWISE if form.per_channel else sizes.TENSORWISE
    for product in products_of(content):
        where, op = f"^{re.escape(product.output)};?$", qtyping.TFLOperationName(product.op)
        if product.part in form.integers and form.kind == "int8-static":
            made.add_static_config(where, op, activation_num_bits=8, weight_num_bits=8, weight_granularity=granularity)
        elif product.part in form.integers:
            made.add_dynamic_config(where, op, num_bits=8, granularity=granularity)
        elif form.kind == "float16" or product.part in ("front end", *form.in_16_bits):
            if form.kind != "float16" or product.part not in form.in_16_bits:
                made.update_quantization_recipe(where, op, _float16(), "float_casting")
        else:
            made.add_weight_only_config(where, op, num_bits=8, granularity=granularity)
    with contextlib.redirect_stderr(io.StringIO()):  # progress bars
        ranges = None
        if made.need_calibration:
            ranges = made.calibrate({SIGNATURE: [_as_given(inputs) for inputs in calibration]}, num_threads=1)
        result = made.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return bytes(result.quantized_model)


def _float16() -> Any:
    from ai_edge_quantizer import qtyping

    weights = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
    return qtyping.OpQuantizationConfig(
        weight_tensor_config=weights, compute_precision=qtyping.ComputePrecision.FLOAT, explicit_dequantize=True
    )


def _as_given(inputs: Inputs) -> Inputs:
    """Inputs in the types of the file, which has 32-bit integers."""
    return {name: value.astype(np.int32) if value.dtype == np.int64 else value for name, value in inputs.items()}


def products_of(content: bytes) -> tuple[LiteRTProduct, ...]:
    """Return the products with constants of a LiteRT file, in their order."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    names = {code: name for name, code in vars(schema.BuiltinOperator).items() if not name.startswith("_")}
    codes = [names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]
    graph = model.subgraphs[0]
    constants = {i for i, tensor in enumerate(graph.tensors) if model.buffers[tensor.buffer].data is not None}
    nodes = [
        _Operator(str(number), codes[node.opcodeIndex], tuple(i for i in node.inputs if i >= 0), tuple(node.outputs))
        for number, node in enumerate(graph.operators)
    ]
    operators = _Operators(nodes)
    outputs = {entry.name.decode(): entry.tensorIndex for entry in model.signatureDefs[0].outputs}
    front = needed_for(operators, next((node.input for node in nodes if node.op_type == LOGARITHM), ()))
    features = needed_for(operators, [outputs[name] for name in FEATURES if name in outputs])
    averaged = averages(operators, constants, AVERAGES, KEPT_ALONG)
    found: list[LiteRTProduct] = []
    for node in nodes:
        if node.op_type not in PRODUCTS or node.input[1] not in constants or node.input[0] in constants:
            continue
        size = math.prod(int(n) for n in graph.tensors[node.input[1]].shape)
        part = part_of(
            in_front_end=node.name in front,
            in_head=node.name not in features,
            of_averages=node.input[0] in averaged,
            has_first=any(product.part == "first" for product in found),
            is_small=node.op_type == "DEPTHWISE_CONV_2D" or size < SMALL,
        )
        found.append(LiteRTProduct(graph.tensors[node.output[0]].name.decode(), node.op_type, part))
    return tuple(found)
