"""``Encoder.core``: what is compiled and exported equals ``encode`` for every family."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.models.heads.make import make_head
from auricle.models.outputs import CoreOutput
from helpers.encoders import FAMILIES

CONVOLUTIONAL = ("mn", "mn-convolutional-head", "dymn")


class Core(nn.Module):
    """``core`` as the forward of a module, for torch.export."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, values: Tensor) -> CoreOutput:
        return self.encoder.core(values)


@pytest.fixture(params=FAMILIES, scope="module")
def encoder(request):
    return FAMILIES[request.param].make()


def spectrogram(encoder, seconds: float, clips: int = 2):
    samples = int(seconds * encoder.info.sample_rate)
    generator = torch.Generator().manual_seed(0)
    return encoder.frontend(0.1 * torch.randn(clips, samples, generator=generator))


def assert_same(core: CoreOutput, out) -> None:
    torch.testing.assert_close(core.frames, out.frames, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(core.clip, out.clip, atol=1e-5, rtol=1e-4)
    assert (core.logits is None) == (out.logits is None)
    if out.logits is not None:
        torch.testing.assert_close(core.logits, out.logits, atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("seconds", [0.25, 1.0, 2.4])
def test_core_equals_encode(encoder, seconds):
    spec = spectrogram(encoder, seconds)
    assert_same(encoder.core(spec.values), encoder.encode(spec))


@torch.no_grad()
def test_core_equals_encode_with_a_new_head(encoder):
    detector = encoder.with_head(make_head("mlp", encoder, 3))
    spec = spectrogram(encoder, 1.0)
    assert_same(detector.core(spec.values), detector.encode(spec))


@torch.no_grad()
def test_a_mask_selects_the_frames_of_a_clip(encoder, request):
    spec = spectrogram(encoder, 1.5, clips=3)
    total = spec.values.shape[2]
    lengths = torch.tensor([total, total // 2, 17])
    mask = torch.arange(total) < lengths[:, None]
    if any(f"[{name}]" in request.node.name for name in CONVOLUTIONAL):
        with pytest.raises(AuricleError, match="does not support a mask"):
            encoder.core(spec.values, mask)
        return
    core = encoder.core(spec.values, mask)
    for i, n in enumerate(lengths.tolist()):
        alone = replace(spec, values=spec.values[i : i + 1, :, :n], lengths=lengths[i : i + 1])
        out = encoder.encode(alone)
        valid = int(out.lengths)
        assert int(encoder.frame_lengths(lengths)[i]) == valid
        logits = None if core.logits is None else core.logits[i : i + 1]
        assert_same(CoreOutput(core.frames[i : i + 1, :valid], core.clip[i : i + 1], logits), out)


@torch.no_grad()
def test_core_is_exported(encoder):
    values = spectrogram(encoder, 0.5, clips=1).values
    program = torch.export.export(Core(encoder), (values,))
    other = torch.flip(values, (2,))
    for given in (values, other):
        out = program.module()(given)
        assert_same(CoreOutput(*out), encoder.core(given))


@torch.no_grad()
def test_times_and_lengths_of_frames_are_those_of_encode(encoder):
    out = encoder.encode(spectrogram(encoder, 1.3))
    assert torch.equal(encoder.frame_times(len(out.times)), out.times)
    frames = spectrogram(encoder, 1.3).lengths
    assert torch.equal(encoder.frame_lengths(frames), out.lengths)
