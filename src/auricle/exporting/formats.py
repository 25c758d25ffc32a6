"""Write a traced graph in a format of another runtime. The packages of a format are imported where they are used."""

from __future__ import annotations

import importlib
import io
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from auricle.core.errors import AuricleError, MissingExtra, first_line
from auricle.core.io import replacing
from auricle.exporting.graph import Graph, quiet_tracing
from auricle.exporting.litert import quiet_converter, write_litert
from auricle.exporting.quantization.forms import Form
from auricle.exporting.quantization.onnx_forms import to_form
from auricle.exporting.quantization.openvino_forms import with_float16_weights
from auricle.exporting.runtimes import MODEL_FILES, Inputs
from auricle.exporting.slices import in_slices

NAMES = {"litert": "LiteRT", "onnx": "ONNX", "web": "ONNX", "openvino": "OpenVINO", "torch": "torch.export"}
NEEDED: dict[str, tuple[str, ...]] = {
    "litert": ("ai_edge_litert.interpreter", "litert_torch"),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "web": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("onnx", "onnxscript", "openvino"),
    "torch": (),
}


def check_installed(to: str) -> None:
    """Raise MissingExtra if a package that the format needs is not installed."""
    try:
        with quiet_converter():
            for module in NEEDED[to]:
                importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(f"an export to {NAMES[to]}", "onnx" if to == "web" else to) from error


def write_graph(
    graph: Graph, to: str, folder: Path, form: Form | None = None, calibration: Sequence[Inputs] = ()
) -> None:
    """Write the graph as the model file of its format.

    Args:
        form: of smaller numbers (``quantization.forms.forms_of``); None: float32.
        calibration: inputs by name, for the forms that fit ranges.

    Raises:
        AuricleError: the format has no operator for a part of the network.
    """
    file = folder / MODEL_FILES[to][0]
    try:
        if to == "torch":
            content = io.BytesIO()  # PyTorch's own writer ends the process where the disk is full
            torch.export.save(graph.program, content)
            with replacing(file) as temporary:
                temporary.write_bytes(content.getbuffer())
            return
        if to == "litert":
            write_litert(graph, file, form, calibration)
            return
        model = onnx_model(graph)
        if form is not None:
            model = to_form(model, form, calibration)
        if to != "openvino":
            import onnx

            onnx.save_model(model, str(file))
        else:
            import openvino

            converted = openvino.convert_model(_bytes_of(model))
            if form is not None:
                with_float16_weights(converted, form)
            openvino.save_model(converted, str(file), compress_to_fp16=False)
    except (OSError, AuricleError):
        raise
    except Exception as error:  # each exporter raises kinds of its own
        raise AuricleError(
            f"{graph.description.model} cannot be written as {NAMES[to]}: {_reason(error)}; --to torch keeps every operator"
        ) from error


def onnx_model(graph: Graph) -> Any:
    """Return the graph as an ONNX model (``onnx.ModelProto``) with named inputs and outputs, without traces of the source."""
    if "onnx" in graph.converted:
        return graph.converted["onnx"]
    names = graph.description
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with quiet_tracing():
            source = graph.program if graph.description.samples is None else in_slices(graph.program)
            program = torch.onnx.export(source, dynamo=True, verbose=False)
    finally:
        exporter.setLevel(level)
    assert program is not None
    model = program.model_proto
    renamed = dict(zip([value.name for value in model.graph.input], names.inputs))
    renamed |= dict(zip([value.name for value in model.graph.output], names.outputs))
    _rename(model.graph, renamed)
    sizes = {}
    for value, axes in ((model.graph.input[0], ("batch", "samples")),):
        for size, axis in zip(value.type.tensor_type.shape.dim, axes):
            if size.dim_param:
                sizes[size.dim_param] = axis
    for value in (*model.graph.input, *model.graph.output):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = sizes.get(size.dim_param, size.dim_param)
    del model.graph.value_info[:], model.functions[:], model.metadata_props[:]
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for part in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        del part.metadata_props[:]
    for key, value in (("model", names.model), ("licence", names.licence), ("front_end", names.front_end)):
        model.metadata_props.add(key=key, value=value)
    graph.converted["onnx"] = model
    return model


def _rename(graph: Any, names: dict[str, str]) -> None:
    for node in graph.node:
        for values in (node.input, node.output):
            for i, name in enumerate(values):
                values[i] = names.get(name, name)
    for value in (*graph.input, *graph.output):
        value.name = names.get(value.name, value.name)


def _bytes_of(model: Any) -> Any:
    import io

    return io.BytesIO(model.SerializeToString())


def _reason(error: BaseException) -> str:
    """The innermost cause: exporters wrap what went wrong in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)
