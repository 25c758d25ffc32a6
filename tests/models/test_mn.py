"""MN: the published networks, tensor by tensor, and MN as an encoder."""

import pytest
import torch

from auricle.core.errors import AuricleError
from auricle.frontends.efficientat_mel import EfficientATMel
from auricle.hub.convert.efficientat import read_published, to_published
from auricle.models.efficientat.config import MNConfig, block_shapes, round8
from auricle.models.efficientat.mn import MN
from auricle.models.outputs import Spectrogram
from helpers.efficientat_golden import close, golden, network, training_step

TINY = [
    *("fc_c", "fc_f", "mhap2_none", "mhap4_c", "mlp_c", "mlp_c_dilated", "mlp_c_r2", "mlp_c_reducedtail"),
    *("mlp_c_s2211", "mlp_c_s2221", "mlp_cf_max", "mlp_cft_avg", "mlp_ct_add", "mlp_f", "mlp_f_mels40"),
    *("mlp_ft_min", "mlp_none", "mlp_t"),
]
HEADS = ("mlp", "fully_convolutional", "multihead_attention_pooling")


def noise(*shape: int) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def tiny(**options) -> MN:
    return MN(MNConfig(width=0.1, num_classes=5, **options)).eval()


@torch.no_grad()
@pytest.mark.parametrize("name", TINY)
def test_every_variant_agrees_with_the_original(name):
    tensors, metadata = golden(f"mn_tiny_{name}")
    net = network(tensors, metadata)
    _, features, logits = net.core(tensors["input"][:, 0])
    close(logits, tensors["logits"])
    close(features, tensors["features"])
    if "input_short" in tensors:
        close(net.core(tensors["input_short"][:, 0]).logits, tensors["logits_short"])
        close(net.core(tensors["input"][:1, 0]).logits, tensors["logits_b1"])
    x = tensors["input"]
    for index, stage in enumerate(net.stages()):
        x = stage(x)
        if f"fmap.{index}" in tensors:
            close(x, tensors[f"fmap.{index}"])


@pytest.mark.parametrize("prepared", [False, True])
def test_a_training_step_agrees_with_the_original(prepared):
    training_step("mn_train_step", prepared=prepared)


def test_channels_round_as_published():
    assert [round8(c) for c in (1.6, 12, 100.1, 183.9)] == [8, 16, 104, 184]
    assert [shape.outputs for shape in block_shapes(0.5)] == [8, 16, 16, 24, 24, 24, 40, 40, 40, 40, 56, 56, 80, 80, 80]


def test_the_published_weights_agree_on_the_real_recording(shared):
    enc = read_published(shared / "weights" / "mn04_as_mAP_432.pt")
    want, _ = golden("mn04_as_metro_station-paris")
    with torch.inference_mode():
        spec = enc.frontend(want["waveform_32k"])
        out = enc.encode(spec, taps=[f"b{i}" for i in range(17)])
        twice = Spectrogram(
            torch.cat([want["mel"], want["mel"].flip(-1)]), torch.tensor([1000, 1000]), 0.01, spec.front_end
        )
        batch = enc.encode(twice)
        first3s = enc(want["waveform_32k"][:, :96000])
    close(spec.values, want["mel"], atol=2e-5)
    close(out.logits, want["logits"], atol=1e-4)
    close(out.logits.sigmoid(), want["probabilities"], atol=1e-4)
    close(out.clip, want["features"], atol=1e-4)
    close(batch.logits, want["batch2_logits"], atol=1e-4)
    close(first3s.logits, want["first3s_logits"], atol=1e-4)
    for i in range(17):
        close(out.taps[f"b{i}"].mean((2, 3)).flatten(), want[f"fmap_mean.{i}"].flatten(), atol=1e-4)
        close(out.taps[f"b{i}"].std((2, 3)).flatten(), want[f"fmap_std.{i}"].flatten(), atol=1e-4)


def test_the_published_weights_agree_inside_the_blocks(shared):
    enc = read_published(shared / "weights" / "mn04_as_mAP_432.pt")
    want, _ = golden("mn04_as_blocks_1s")
    x = want["input"]
    with torch.inference_mode():
        for index, stage in enumerate(enc.stages()):
            if index == 4:
                wide = stage.block[1](stage.block[0](x))
                close(wide, want["block4.depthwise_out"])
                close(stage.block[2](wide), want["block4.se_out"])
            x = stage(x)
            close(x, want[f"fmap.{index}"])
        close(enc.classifier[2](x.mean((2, 3))), want["classifier.linear1"], atol=1e-4)
        close(enc.classifier(x), want["logits"], atol=1e-4)


# ---- as an encoder
@torch.no_grad()
@pytest.mark.parametrize("head", HEADS)
def test_a_mixed_batch_equals_its_clips_one_by_one(head):
    enc, wave, lengths = tiny(head=head), noise(3, 40000), [40000, 100, 15000]
    mixed = enc(wave, torch.tensor(lengths), layers="all", taps=enc.info.taps)
    for row, length in enumerate(lengths):
        alone = enc(wave[row : row + 1, :length], layers="all", taps=enc.info.taps)
        n = int(mixed.lengths[row])
        assert n == alone.frames.shape[1]
        close(mixed.frames[row, :n], alone.frames[0])
        close(mixed.frame_logits[row, :n], alone.frame_logits[0])
        close(mixed.logits[row], alone.logits[0])
        close(mixed.clip[row], alone.clip[0])
        for got, want in zip(mixed.layers, alone.layers):
            close(got.frames[row, : want.frames.shape[1]], want.frames[0])
            assert got.lengths[row] == want.lengths[0]


@torch.no_grad()
@pytest.mark.parametrize("strides", [(2, 2, 2, 2), (2, 2, 2, 1), (2, 2, 1, 1)])
def test_frames_stand_where_the_strides_put_them(strides):
    enc = tiny(strides=strides, se_dims="none", head="fully_convolutional")
    step = enc.spacing(16)
    out = enc(noise(1, 64000))
    assert enc.info.hop_seconds == pytest.approx(step * 0.01)
    torch.testing.assert_close(out.times, torch.arange(out.frames.shape[1]) * step * 0.01 + 0.5 / 32000)


def test_the_gradient_of_a_frame_is_centred_on_its_time():
    enc = tiny(se_dims="none")
    for parameter in enc.features.parameters():
        if parameter.ndim == 4:  # flat kernels: what is left is where the strides and paddings look
            parameter.data.fill_(1.0 / parameter[0].numel())
    wave = noise(1, 512000).requires_grad_()
    out = enc(wave)
    middle = out.frames.shape[1] // 2
    out.frames[0, middle].sum().backward()
    weight = wave.grad[0].abs()
    centre = (weight * torch.arange(len(weight))).sum() / weight.sum() / 32000
    assert abs(centre - out.times[middle]) < 0.01


@torch.no_grad()
def test_frame_logits_of_the_convolutional_head_average_to_the_clip():
    out = tiny(head="fully_convolutional")(noise(2, 64000))
    close(out.frame_logits.mean(1), out.logits)


@torch.no_grad()
def test_attention_weighs_the_frame_values_to_the_clip():
    enc = tiny(head="multihead_attention_pooling", num_heads=1)
    out = enc(noise(2, 64000), taps=["attention"])
    close((out.frame_logits * out.taps["attention"]).sum(1), out.logits)


@torch.no_grad()
def test_layers_are_the_blocks_and_the_last_is_the_frames():
    enc = tiny()
    out = enc(noise(1, 32000), layers=[0, -1], taps=["b1", "mel", "se5", "clf1", "clf2", "logits"])
    close(out.layers[0].frames, out.taps["b1"].mean(2).transpose(1, 2))
    assert torch.equal(out.layers[1].frames, out.frames)
    assert torch.equal(out.taps["clf1"], out.clip)
    assert torch.equal(out.taps["logits"], out.logits)
    assert out.taps["clf2"].shape == (1, 128)
    assert out.taps["mel"].shape == (1, 128, 100)


def test_training_takes_a_batch_in_one_piece_and_moves_the_statistics():
    enc = tiny().train()
    before = enc.features[0][1].running_mean.clone()
    out = enc(noise(2, 32000), torch.tensor([32000, 16000]))
    out.logits.sum().backward()
    assert not torch.equal(before, enc.features[0][1].running_mean)
    assert all(p.grad is not None for p in enc.parameters())
    assert out.lengths.tolist() == [4, 2]


def test_initial_weights_depend_on_seed_and_name_alone():
    one, two = MN(MNConfig(width=0.1), seed=1), MN(MNConfig(width=0.1, num_classes=3), seed=1)
    assert torch.equal(one.features[3].block[0][0].weight, two.features[3].block[0][0].weight)
    assert one.fingerprint() != MN(MNConfig(width=0.1), seed=2).fingerprint()


def test_other_classes_keep_all_but_the_last_layer():
    for head, kept in zip(HEADS, ("classifier.2.weight", "features.16.0.weight", "features.16.0.weight")):
        enc = tiny(head=head)
        twin = enc.with_classes(9)
        assert torch.equal(twin.state_dict()[kept], enc.state_dict()[kept])
        assert twin(noise(1, 8000)).logits.shape == (1, 9)


def test_squeezing_along_time_refuses_other_lengths():
    enc = tiny(se_dims="ct", frames=100)
    assert enc(noise(1, 32000)).logits.shape == (1, 5)
    with pytest.raises(AuricleError, match="100 mel frames"):
        enc(noise(1, 64000))


@pytest.mark.parametrize(
    "wrong",
    [
        {"head": "mpl"},
        {"se_dims": "cc"},
        {"se_dims": "x"},
        {"strides": (2, 2, 3, 1)},
        {"width": 0},
        {"se_agg": "sum"},
        {"dilated": True, "se_dims": "f"},
    ],
)
def test_an_impossible_configuration_is_refused_with_a_message(wrong):
    with pytest.raises(AuricleError):
        MNConfig(**wrong)


def test_an_unknown_tap_names_the_nearest():
    with pytest.raises(AuricleError, match="clf1"):
        tiny()(noise(1, 8000), taps=["clf"])


# ---- the published layout
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"head": "fully_convolutional"},
        {"head": "multihead_attention_pooling", "num_heads": 2},
        {"se_dims": "none"},
        {"reduced_tail": True, "se_ratio": 2},
    ],
)
def test_the_published_layout_round_trips(tmp_path, options):
    enc = MN(MNConfig(width=0.4, num_classes=6, **options))
    torch.save(to_published(enc.state_dict()), tmp_path / "x.pt")
    again = read_published(tmp_path / "x.pt")
    assert again.config == enc.config
    assert again.fingerprint() == enc.fingerprint()


def test_settings_that_a_file_lacks_are_listed(tmp_path):
    front = EfficientATMel(hop_length=160).id
    torch.save(to_published(tiny().state_dict()), tmp_path / "x.pt")
    enc = read_published(tmp_path / "x.pt", strides=(2, 2, 2, 1), front_end=front)
    assert enc.config.strides == (2, 2, 2, 1)
    assert enc.info.front_end == front


def test_a_file_of_another_kind_is_refused(tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "x.pt")
    with pytest.raises(AuricleError, match="not an EfficientAT file"):
        read_published(tmp_path / "x.pt")
    state = to_published(tiny().state_dict())
    del state["features.7.block.1.1.bias"]
    torch.save(state, tmp_path / "y.pt")
    with pytest.raises(AuricleError, match=r"features\.7\.block\.1\.1\.bias"):
        read_published(tmp_path / "y.pt")
