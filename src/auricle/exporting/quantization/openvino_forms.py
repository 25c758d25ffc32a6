"""Keep the small constants of an ONNX graph small in OpenVINO, whose conversion makes float32 of float16."""

from __future__ import annotations

from typing import Any

import numpy as np

from auricle.exporting.quantization.forms import Form
from auricle.exporting.quantization.weights import SMALLEST


def with_float16_weights(model: Any, form: Form) -> None:
    """Store again in float16 what the form had in float16: the float32 constants (``openvino.Model``) that are exact in it.

    ``compress_to_fp16`` of OpenVINO takes every constant, also the small ones of the front end, which lose too much.
    """
    from openvino import opset13

    if form.kind != "float16":
        return
    for node in model.get_ops():
        if node.get_type_name() != "Constant" or node.get_element_type().get_type_name() != "f32":
            continue
        values = node.get_data()
        if values.size < SMALLEST or not np.array_equal(values.astype(np.float16).astype(np.float32), values):
            continue
        small = opset13.convert(opset13.constant(values.astype(np.float16)), "f32")
        small.set_friendly_name(f"{node.get_friendly_name()}_float32")
        for use in node.output(0).get_target_inputs():
            use.replace_source_output(small.output(0))
