"""Run an exported graph in its own runtime: arrays in, arrays out. Only the form ``torch`` needs PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

from auricle.core.errors import MissingExtra
from auricle.exporting.description import Description

MODEL_FILES = {
    "litert": ("model.tflite",),
    "onnx": ("model.onnx",),
    "web": ("model.onnx",),
    "openvino": ("model.xml", "model.bin"),
    "torch": ("model.pt2",),
}
ONE_SHAPE = ("litert",)  # formats whose graphs have one length and one number of clips
PACKAGES = {
    "litert": ("ai-edge-litert", "litert-torch", "torch"),
    "web": ("onnx", "onnxscript", "onnxruntime", "torch"),
    "onnx": ("onnx", "onnxscript", "onnxruntime", "torch"),
    "openvino": ("openvino", "onnx", "onnxscript", "torch"),
    "torch": ("torch",),
}

Inputs = dict[str, np.ndarray]
Outputs = dict[str, np.ndarray]
Run = Callable[[Inputs], Outputs]


def open_graph(folder: Path, to: str, description: Description, *, threads: int) -> Run:
    """Return a function that runs the graph of a bundle: inputs by name to outputs by name.

    Raises:
        MissingExtra: the runtime is not installed.
    """
    file, names = str(folder / MODEL_FILES[to][0]), description.outputs
    if to == "torch":
        return _torch(file, description)
    try:
        if to == "openvino":
            import openvino

            settings = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}  # as the graph says
            settings["INFERENCE_NUM_THREADS"] = threads
            compiled = openvino.compile_model(file, "CPU", settings)
            return lambda inputs: dict(zip(names, (np.array(value) for value in compiled(inputs).values())))
        if to == "litert":
            return _litert(file, description, threads)
        import onnxruntime
    except ImportError as error:
        raise MissingExtra(f"running a graph for {to}", "onnx" if to == "web" else to) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda inputs: dict(zip(names, session.run(list(names), inputs)))


def _litert(file: str, description: Description, threads: int) -> Run:
    from ai_edge_litert.interpreter import Interpreter

    call = Interpreter(file, num_threads=threads).get_signature_runner()
    types = {name: detail["dtype"] for name, detail in call.get_input_details().items()}  # 32-bit integers here

    def run(inputs: Inputs) -> Outputs:
        results = call(**{name: inputs[name].astype(types[name]) for name in description.inputs})
        return {name: np.array(results[name]) for name in description.outputs}

    return run


def _torch(file: str, description: Description) -> Run:
    import torch

    module = torch.export.load(file).module(check_guards=False)  # guards that chose between a view and a copy

    def run(inputs: Inputs) -> Outputs:
        with torch.no_grad():
            results = module(*(torch.from_numpy(inputs[name]) for name in description.inputs))
        return {name: value.numpy() for name, value in zip(description.outputs, results)}

    return run


def versions(to: str) -> dict[str, str]:
    """Return the versions of the packages that wrote or run a format, of those installed."""
    found = {}
    for package in (*PACKAGES[to], "numpy"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


@dataclass(frozen=True)
class GraphCall:
    """One call of the graph.

    Attributes:
        wave: (S,) what is computed: the part of the recording, zero-padded where the graph cannot leave padding out.
        inputs: of the graph, by name.
    """

    wave: np.ndarray
    inputs: Inputs


def pieces(wave: np.ndarray, description: Description) -> Iterator[GraphCall]:
    """Cut a recording (S,) into the calls that compute it: windows of ``window_samples``, the last one moved back."""
    size, clips = description.window_samples, description.batch_size or 1
    for first in range(0, max(1, len(wave)), size):
        start = max(0, min(first, len(wave) - size))
        own = wave[start : start + size]
        padded = np.pad(own, (0, max(0, (description.samples or description.min_samples) - len(own))))
        inputs = {"wave": np.repeat(padded[None], clips, axis=0)}
        if description.takes_samples:
            inputs["samples"] = np.full(clips, max(len(own), description.min_samples), np.int64)
        yield GraphCall(padded if description.samples and not description.takes_samples else own, inputs)


def replay(run: Run, wave: np.ndarray, description: Description) -> Outputs:
    """Run a recording (S,) through a graph; return its outputs of all windows, (windows, ...) each."""
    parts = [run(piece.inputs) for piece in pieces(wave, description)]
    return {name: _stacked([part[name][0] for part in parts]) for name in description.outputs}


def _stacked(parts: list[np.ndarray]) -> np.ndarray:
    return np.stack(parts) if len({part.shape for part in parts}) == 1 else np.concatenate(parts)
