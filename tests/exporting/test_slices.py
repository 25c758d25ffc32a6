"""Padding and frames as slices: the values of PyTorch, and no tables of indices in graphs of one length."""

from __future__ import annotations

import pytest
import torch

from auricle.exporting.formats import write_graph
from auricle.exporting.graph import trace
from auricle.exporting.slices import framed, in_slices, mirrored
from auricle.frontends.base import front_end
from auricle.models.log_mel_stats import LogMelStats


def wave_of(samples: int) -> torch.Tensor:
    return 0.2 * torch.randn(1, samples, generator=torch.Generator().manual_seed(samples))


@pytest.mark.parametrize(("before", "after"), [(3, 3), (0, 5), (9, 1), (0, 0)])
def test_mirrored_padding_by_slices_is_that_of_torch(before, after):
    wave = wave_of(2 * 10).reshape(2, 10)
    expected = torch.nn.functional.pad(wave[:, None], (before, after), mode="reflect")[:, 0]
    assert torch.equal(mirrored(wave, [before, after], "reflect"), expected)
    assert torch.equal(mirrored(wave, [before, after]), torch.nn.functional.pad(wave, (before, after)))


@pytest.mark.parametrize("samples", [8, 9, 100, 101, 107])
@pytest.mark.parametrize(("size", "step"), [(8, 3), (8, 4), (8, 8), (7, 2), (8, 1)])
def test_frames_by_blocks_are_those_of_torch(samples, size, step):
    wave = wave_of(samples)
    assert torch.equal(framed(wave, 1, size, step), wave.unfold(1, size, step))


def test_what_slices_cannot_do_stays_as_it_is():
    wave = wave_of(40).reshape(2, 20)
    assert framed(wave, 1, 3, 5) is NotImplemented, "gaps between frames"
    assert framed(wave, 0, 1, 1) is NotImplemented, "another dimension"
    assert mirrored(wave, [1, 1], "replicate") is NotImplemented


@pytest.mark.parametrize(
    "front_end_id", ["efficientat-mel/sr32000-m128-w800-h320-n1024-fmin0-fmax15000", "mae-ast-fbank/16k"]
)
def test_front_ends_are_rewritten_to_the_same_values(front_end_id):
    module = front_end(front_end_id).as_module()
    program = torch.export.export(module, (wave_of(4000),), strict=False)
    rewritten = in_slices(program)
    assert not {str(node.target) for node in rewritten.graph.nodes} & {"aten.unfold.default", "aten.pad.default"}
    assert torch.equal(rewritten.module()(wave_of(4000)), program.module()(wave_of(4000)))


@pytest.mark.slow
def test_an_openvino_graph_of_one_length_is_as_small_as_one_of_any_length(tmp_path):
    for module in ("openvino", "onnxscript"):
        pytest.importorskip(module, reason="the [openvino] extra is not installed")
    sizes = []
    for name, length in (("any", None), ("fixed", 10.0)):
        (tmp_path / name).mkdir()
        graph = trace(LogMelStats().eval(), length=length, any_length=False, batch_size=1, frames=False)
        assert (graph.description.samples is None) == (length is None)
        write_graph(graph, "openvino", tmp_path / name)
        sizes.append((tmp_path / name / "model.bin").stat().st_size)
    assert sizes[1] < 1.05 * sizes[0]
