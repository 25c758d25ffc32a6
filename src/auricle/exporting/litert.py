"""Convert a traced graph to LiteRT: one length, one number of clips, inputs and outputs by name."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from auricle.exporting.graph import Graph
from auricle.exporting.quantization.forms import Form
from auricle.exporting.quantization.litert_forms import to_form
from auricle.exporting.runtimes import Inputs
from auricle.exporting.slices import in_slices

QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_ENABLE_ONEDNN_OPTS": "0", "LITERT_TORCH_SHOW_PROGRESS": "n"}


class NamedGraph(nn.Module):
    """A traced graph whose outputs have names: the converter takes the names of the file from them."""

    def __init__(self, program: ExportedProgram, names: tuple[str, ...]):
        super().__init__()
        self.traced, self.names = program.module(check_guards=False), names

    def forward(self, wave: Tensor, samples: Tensor | None = None) -> dict[str, Tensor]:
        results = self.traced(wave) if samples is None else self.traced(wave, samples)
        return dict(zip(self.names, results))


def write_litert(graph: Graph, file: Path, form: Form | None = None, calibration: Sequence[Inputs] = ()) -> None:
    """Write a graph of one shape as a ``.tflite`` file; an input ``samples`` is int32 there.

    Args:
        form: of smaller numbers; None: float32.
        calibration: inputs by name, for the forms that fit ranges.

    Raises:
        Exception: of the converter, of many kinds, where it has no form for an operator.
    """
    with quiet_converter():
        content = litert_model(graph)
        if form is not None:
            content = to_form(content, form, calibration)
    file.write_bytes(content)


def litert_model(graph: Graph) -> bytes:
    """Return the ``.tflite`` file of a graph in float32."""
    import litert_torch

    if "litert" not in graph.converted:
        inputs = dict(zip(graph.description.inputs, graph.program.example_inputs[0]))
        with torch.no_grad():
            named = NamedGraph(in_slices(graph.program), graph.description.outputs)
            named.training = named.traced.training = False  # a traced graph has no eval()
            graph.converted["litert"] = litert_torch.convert(named, sample_kwargs=inputs).model_content()
    content: bytes = graph.converted["litert"]
    return content


@contextmanager
def quiet_converter() -> Iterator[None]:
    """Leave out the converter's progress, advice and deprecations: they are not about the user's model."""
    level, before = logging.root.manager.disable, {name: os.environ.get(name) for name in QUIET}
    logging.disable(logging.WARNING)
    os.environ.update(QUIET)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
