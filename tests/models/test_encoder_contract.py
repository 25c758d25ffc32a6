"""The contract of every encoder (docs/architecture.md): whatever the family, these facts hold."""

from __future__ import annotations

import math

import pytest
import torch

from auricle.core.errors import AuricleError
from auricle.hub.weight_file import read_encoder, save_encoder
from auricle.models.outputs import Spectrogram
from auricle.models.registry import build, untrained
from helpers.encoders import FAMILIES


@pytest.fixture(params=FAMILIES, scope="module")
def family(request):
    return FAMILIES[request.param]


@pytest.fixture(scope="module")
def encoder(family):
    return family.make()


def sound(samples: int, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(samples, generator=torch.Generator().manual_seed(seed))
    return 0.1 * noise * (1 + torch.sin(torch.arange(samples) / 3000))


def assert_well_formed(encoder, out, clips):
    info, (b, t, d) = encoder.info, out.frames.shape
    assert (b, d) == (clips, info.frame_dim)
    assert out.clip.shape == (clips, info.clip_dim)
    assert out.times.shape == (t,)
    assert out.lengths.min() >= 1
    assert out.lengths.max() == t
    assert torch.isfinite(out.frames).all()
    assert torch.isfinite(out.clip).all()
    for tensor in (out.frames, out.clip, out.times):
        assert tensor.dtype == torch.float32


@pytest.mark.parametrize("seconds", [0.003, 0.1, 0.5, 1.0, 3.3, 10.0])
def test_any_length_is_encoded(encoder, seconds):
    samples = max(1, int(seconds * encoder.info.sample_rate))
    assert_well_formed(encoder, encoder(sound(samples)[None]), 1)


@pytest.mark.parametrize("samples", [1, 2, 200, 201, 402])
def test_a_handful_of_samples_is_encoded(encoder, samples):
    assert_well_formed(encoder, encoder(sound(samples)[None]), 1)


def test_a_minute_is_encoded(encoder):
    out = encoder(sound(60 * encoder.info.sample_rate)[None])
    assert_well_formed(encoder, out, 1)
    assert out.times[-1] == pytest.approx(60, abs=2 * encoder.info.hop_seconds + 0.05)


def test_frames_are_a_hop_apart_on_the_whole(encoder):
    out = encoder(sound(4 * encoder.info.sample_rate)[None])
    assert out.times.diff().median() == pytest.approx(encoder.info.hop_seconds, rel=1e-4)
    assert (out.times.diff() > 0).all()


def test_a_mixed_batch_equals_one_by_one(encoder):
    rate = encoder.info.sample_rate
    lengths = [1, int(0.21 * rate), rate, int(2.347 * rate), 3 * rate]
    waves = torch.zeros(len(lengths), max(lengths))
    for i, n in enumerate(lengths):
        waves[i, :n] = sound(n, seed=i)
    batch = encoder(waves, torch.tensor(lengths), layers="all" if encoder.info.depth else None)
    for i, n in enumerate(lengths):
        alone = encoder(waves[i : i + 1, :n], layers="all" if encoder.info.depth else None)
        valid = int(batch.lengths[i])
        assert valid == int(alone.lengths[0])
        torch.testing.assert_close(batch.frames[i, :valid], alone.frames[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(batch.clip[i], alone.clip[0], atol=1e-4, rtol=1e-4)
        if alone.logits is not None:
            torch.testing.assert_close(batch.logits[i], alone.logits[0], atol=1e-4, rtol=1e-4)
        for mixed, single in zip(batch.layers, alone.layers, strict=True):
            torch.testing.assert_close(mixed.frames[i, : int(mixed.lengths[i])], single.frames[0], atol=1e-4, rtol=1e-4)


def test_a_single_clip_is_the_same_under_both_paddings(encoder):
    wave = sound(encoder.info.sample_rate + 77)[None]
    torch.testing.assert_close(encoder(wave).clip, encoder(wave, padding="published").clip)


def test_a_misspelt_padding_is_refused(encoder):
    wave = sound(encoder.info.sample_rate)[None]
    with pytest.raises(AuricleError, match="padding is one of exact, published, not 'Exact'"):
        encoder(wave, padding="Exact")
    with pytest.raises(AuricleError, match="padding is one of"):
        encoder.frontend(wave, padding="zeros")


def test_impossible_layers_are_refused_with_a_message(encoder):
    wave = sound(encoder.info.sample_rate)[None]
    for layers in ("10", 1, [0.5], [99]):
        with pytest.raises(AuricleError, match="layers must be"):
            encoder(wave, layers=layers)
    if encoder.info.depth:
        assert len(encoder(wave, layers=torch.tensor([0, -1])).layers) == 2


def test_layers_are_named_from_either_end(encoder):
    depth = encoder.info.depth
    if depth == 0:
        pytest.skip("no blocks in this family")
    out = encoder(sound(encoder.info.sample_rate)[None], layers=[0, -1])
    all_layers = encoder(sound(encoder.info.sample_rate)[None], layers="all").layers
    assert len(all_layers) == depth
    assert torch.equal(out.layers[0].frames, all_layers[0].frames)
    assert torch.equal(out.layers[1].frames, all_layers[-1].frames)
    with pytest.raises(AuricleError, match="block indices"):
        encoder(sound(2000)[None], layers=[depth])


def test_times_are_the_centres_of_the_frames(family, request):
    if "dymn" in request.node.name:
        pytest.skip(
            "dynamic kernels mix all of time by design; its frames stand where MN's do (same strides and paddings)"
        )
    encoder = (family.plain or family.make)()
    family.unmix(encoder)
    front, frames = encoder.front, encoder.front.num_frames(int(family.seconds * encoder.info.sample_rate))
    values = torch.randn(1, front.n_mels, frames, generator=torch.Generator().manual_seed(3)).requires_grad_()
    out = encoder.encode(Spectrogram(values, torch.tensor([frames]), front.hop_seconds, front.id))
    for t in {1, out.frames.shape[1] // 2} if family.plain is None else {out.frames.shape[1] // 2}:
        grad = torch.autograd.grad(out.frames[0, t].square().sum(), values, retain_graph=True)[0][0].abs().sum(0)
        centre = (grad * torch.arange(frames)).sum() / grad.sum() * front.hop_seconds + front.frame_time(0)
        assert float(centre) == pytest.approx(float(out.times[t]), abs=encoder.info.hop_seconds / 2)


def test_other_statistics_share_the_weights(encoder):
    wave = sound(encoder.info.sample_rate)[None]
    before = encoder(wave).clip
    twin = encoder.with_stats(3.0, 2.0)
    assert not torch.allclose(twin(wave).clip, before)
    assert torch.equal(encoder(wave).clip, before)
    for one, other in zip(encoder.parameters(), twin.parameters(), strict=True):
        assert one is other
    assert twin.fingerprint() != encoder.fingerprint()


def test_the_fingerprint_follows_weights_and_configuration(family):
    one, other = family.make(), family.make()
    assert one.fingerprint() == other.fingerprint()
    parameters = list(other.parameters())
    if parameters:
        with torch.no_grad():
            parameters[0].view(-1)[0] += 1e-3
        assert one.fingerprint() != other.fingerprint()


def test_preparing_for_training_changes_the_layout_in_memory_and_no_value(family, tmp_path):
    encoder, prepared = family.make(), family.make()
    prepared.prepare_training()
    assert prepared.fingerprint() == encoder.fingerprint()
    wave = sound(4000)[None]
    assert torch.allclose(prepared(wave).clip, encoder(wave).clip, rtol=1e-4, atol=1e-5)
    save_encoder(prepared, tmp_path / "prepared.safetensors")
    assert torch.equal(read_encoder(tmp_path / "prepared.safetensors")(wave).clip, encoder(wave).clip)


def test_encoding_is_deterministic(encoder):
    wave = sound(encoder.info.sample_rate)[None]
    assert torch.equal(encoder(wave).frames, encoder(wave).frames)


def test_gradients_reach_every_trainable_parameter(family):
    encoder = family.make().train()
    out = encoder(sound(2 * encoder.info.sample_rate)[None])
    loss = out.frames.square().mean() + out.clip.square().mean()
    if out.logits is not None:
        loss = loss + out.logits.square().mean()
    if not list(encoder.parameters()):
        return
    loss.backward()
    silent = {n for n, p in encoder.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())}
    assert silent <= encoder.params_without_grad


def test_bfloat16_results_are_close_and_float32(encoder):
    wave = sound(encoder.info.sample_rate)[None]
    with torch.no_grad():
        full = encoder(wave)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = encoder(wave)
    assert half.frames.dtype == half.clip.dtype == torch.float32
    assert float(torch.cosine_similarity(half.clip, full.clip)) > 0.98


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_network_cast_to_half_precision_gives_close_float32_results(family, dtype):
    wave = sound(family.make().info.sample_rate)[None]
    with torch.no_grad():
        exact, half = family.make()(wave), family.make().to(dtype)(wave)
    assert half.frames.dtype == half.clip.dtype == torch.float32
    far = (half.clip - exact.clip).abs().mean() / exact.clip.abs().mean()
    assert far < {torch.bfloat16: 0.2, torch.float16: 0.03}[dtype]


def test_no_tensor_is_float64(encoder):
    assert all(value.dtype != torch.float64 for value in encoder.state_dict().values())
    out = encoder(sound(5000)[None])
    assert all(v.dtype != torch.float64 for v in vars(out).values() if isinstance(v, torch.Tensor))


def test_a_weight_file_gives_the_encoder_back(encoder, tmp_path):
    path = tmp_path / "encoder.safetensors"
    encoder.update_info(licence="CC0-1.0")
    save_encoder(encoder, path)
    again = read_encoder(path)
    assert again.info == encoder.info
    assert again.fingerprint() == encoder.fingerprint()
    wave = sound(4000)[None]
    assert torch.equal(again(wave).clip, encoder(wave).clip)


def test_an_architecture_builds_a_network_of_the_same_shapes(encoder):
    shapes = {name: tuple(value.shape) for name, value in build(encoder.architecture()).state_dict().items()}
    assert shapes == {name: tuple(value.shape) for name, value in encoder.state_dict().items()}
    assert untrained(encoder).info.frame_dim == encoder.info.frame_dim


@pytest.mark.parametrize(
    ("wave", "message"),
    [
        (torch.zeros(1000), "wave\\[None\\]"),
        (torch.zeros(1, 1, 1000), "expected a waveform \\(B, S\\)"),
        (torch.zeros(1, 0), "empty"),
        (torch.zeros(1, 1000, dtype=torch.int16), "float32"),
        (torch.zeros(1, 1000, dtype=torch.float64), "float32"),
        (torch.full((1, 1000), math.nan), "NaN"),
        ([0.0, 1.0], "tensor"),
    ],
)
def test_bad_waveforms_are_refused_with_a_message(encoder, wave, message):
    with pytest.raises(AuricleError, match=message):
        encoder(wave)


def test_another_rate_and_impossible_lengths_are_refused(encoder):
    with pytest.raises(AuricleError, match="8000 Hz but"):
        encoder(torch.zeros(1, 800), sample_rate=8000)
    with pytest.raises(AuricleError, match="lengths must be"):
        encoder(torch.zeros(1, 800), torch.tensor([801]))


def test_statistics_must_have_a_deviation(encoder):
    with pytest.raises(AuricleError, match="positive"):
        encoder.with_stats(0.0, 0.0)
