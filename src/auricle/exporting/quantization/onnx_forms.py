"""Write an ONNX model in a smaller form."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from auricle.exporting.quantization.forms import Form
from auricle.exporting.quantization.integers import quantize_dynamic
from auricle.exporting.quantization.parts import Product, products_of
from auricle.exporting.quantization.weights import Storage, large_constants, store_weights
from auricle.exporting.runtimes import Inputs


def to_form(model: Any, form: Form, calibration: Sequence[Inputs] = ()) -> Any:
    """Return a copy of an ONNX model (``onnx.ModelProto``) in a smaller form.

    Args:
        calibration: inputs of the graph by name, whose activations decide the ranges of ``int8-static``.
    """
    import onnx

    small = onnx.ModelProto()
    small.CopyFrom(model)
    products = products_of(model)
    integers = [product for product in products if product.part in form.integers]
    if form.kind == "int8-static":
        small = _static(small, [product.node for product in integers], form, calibration)
    elif form.kind == "int8-dynamic":
        quantize_dynamic(small, integers, per_channel=form.per_channel)
    done = {product.node for product in integers}
    storages = {product.weight: _storage(product, form) for product in products if product.node not in done}
    weights = {product.weight for product in products}
    storages |= dict.fromkeys(large_constants(small, weights), "float16")
    store_weights(small, storages, {product.weight: product.axis for product in products})
    return small


def _storage(product: Product, form: Form) -> Storage:
    if product.part == "front end":
        return "int16"
    if form.kind == "float16":
        return "float16"
    if product.part in form.in_16_bits:
        return "int16"
    return "int8" if form.per_channel else "int8 per tensor"


def _static(model: Any, nodes: list[str], form: Form, calibration: Sequence[Inputs]) -> Any:
    """Quantize the products of some nodes with ONNX Runtime: activations in uint8, weights in int8, in the QDQ form."""
    import onnx
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(of_one_length(calibration) if form.ranges == "percentile" else calibration)

        def get_next(self) -> Inputs | None:
            return next(self.left, None)

    if not nodes:
        return model
    methods = quantization.CalibrationMethod
    with tempfile.TemporaryDirectory() as folder, _quiet():
        quantization.quantize_static(
            model,
            Path(folder) / "model.onnx",
            Reader(),
            per_channel=form.per_channel,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=methods.Percentile if form.ranges == "percentile" else methods.MinMax,
            nodes_to_quantize=nodes,
            op_types_to_quantize=["Conv", "Gemm", "MatMul"],
        )
        return onnx.load(Path(folder) / "model.onnx")


def of_one_length(calibration: Sequence[Inputs]) -> list[Inputs]:
    """Return clips in which each shorter one is repeated up to the longest: ONNX Runtime collects percentiles of one shape only."""
    longest = max((inputs["wave"].shape[1] for inputs in calibration), default=0)
    return [
        {**inputs, "wave": np.pad(wave, ((0, 0), (0, longest - wave.shape[1])), "wrap")}
        for inputs in calibration
        for wave in (inputs["wave"],)
    ]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hide what ONNX Runtime's quantizer prints and advises."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)
