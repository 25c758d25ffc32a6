"""DyMN: the published networks, tensor by tensor, its temperature, and DyMN as an encoder."""

import json

import pytest
import torch

from auricle.core.errors import AuricleError
from auricle.hub.convert.efficientat import read_published, to_published
from auricle.models.efficientat.config import DyMNConfig, kernel_temperature
from auricle.models.efficientat.dymn import DyMN
from auricle.models.efficientat.encoder import capturing
from helpers.efficientat_golden import close, golden, golden_path, network, training_step

VARIANTS = ["default", "k2_m3", "no_ca", "no_dyconv", "no_dyrelu", "replace_se", "s2211_ctx8"]


def noise(*shape: int) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def tiny(**options) -> DyMN:
    return DyMN(DyMNConfig(width=0.1, num_classes=5, **options)).eval()


@torch.no_grad()
@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_agrees_with_the_original(name):
    tensors, metadata = golden(f"dymn_tiny_{name}")
    net = network(tensors, metadata)
    sizes = [net.config.context(s) if net.config.is_dynamic(s) else None for s in net.config.shapes]
    assert sizes == metadata["context_dims"]
    for temperature in (30, 5, 1):
        if f"logits.T{temperature}" in tensors:
            net.set_temperature(temperature)
            _, features, logits = net.core(tensors["input"][:, 0])
            close(logits, tensors[f"logits.T{temperature}"])
            close(features, tensors[f"features.T{temperature}"])
    close(net.core(tensors["input"][:1, 0]).logits, tensors["logits_b1.T1"])


@torch.no_grad()
def test_the_inside_of_dynamic_blocks_agrees_with_the_original():
    tensors, metadata = golden("dymn_tiny_default")
    net = network(tensors, metadata)
    x = tensors["input"]
    for index, stage in enumerate(net.stages()):
        x = stage(x)
        close(x, tensors[f"T1.fmap.{index}"])
    for index in (0, 3, 9, 12):
        want = {k.removeprefix(f"T1.layer{index}."): v for k, v in tensors.items() if k.startswith(f"T1.layer{index}.")}
        block = net.layers[index]
        parts = {name: getattr(block, name) for name in ("context_gen", "depth_conv", "depth_act")}
        with capturing(parts) as got:
            close(block(want["in"]), want["out"])
        context, along_f, along_t = got["context_gen"]
        close(context[..., None, None], want["h_c"])
        close(along_f, want["g_cf"])
        close(along_t, want["g_ct"])
        close(block.depth_conv.attention(context), want["depth_conv.attention"])
        close(block.depth_conv(want["depth_conv.in"], context), want["depth_conv.out"])
        close(block.depth_act(want["depth_act.in"], context), want["depth_act.out"])
        close(want["depth_act.out"] * along_f.sigmoid() * along_t.sigmoid(), want["ca.out"])


def test_a_training_step_agrees_with_the_original():
    training_step("dymn_train_step", temperature=27.0, kind=torch.float64)


def test_the_temperature_falls_as_published():
    rows = json.loads(golden_path("schedules.json").read_text())["dyconv_temperature"]
    for name, want in rows.items():
        highest, lowest, fall, tail = (float(part.removeprefix(prefix)) for part, prefix in named(name))
        got = [kernel_temperature(epoch, highest, lowest, fall, tail) for epoch in range(len(want))]
        assert got == pytest.approx(want, abs=1e-12)


def named(name: str) -> list[tuple[str, str]]:
    """ "Tmax30.0_Tmin1.0_slope0_1.0_slope1_0.02" -> each value with what stands before it."""
    high, low, _, fall, _, tail = name.split("_")
    return [(high, "Tmax"), (low, "Tmin"), (fall, ""), (tail, "")]


@torch.no_grad()
@pytest.mark.parametrize("blocks", ["all", "replace_se"])
def test_a_mixed_batch_equals_its_clips_one_by_one(blocks):
    enc, wave, lengths = tiny(dynamic_blocks=blocks), noise(3, 40000), [40000, 1, 40000]
    mixed = enc(wave, torch.tensor(lengths), layers="all")
    for row, length in enumerate(lengths):
        alone = enc(wave[row : row + 1, :length], layers="all")
        close(mixed.frames[row, : alone.frames.shape[1]], alone.frames[0])
        close(mixed.logits[row], alone.logits[0])
        assert len(alone.layers) == enc.info.depth == 16


def test_gradients_reach_all_but_the_inert_parameters():
    for options in ({}, {"coordinate_attention": False}, {"dynamic_relu": False}, {"dynamic_conv": False}):
        enc = tiny(**options).train()
        enc(noise(2, 32000)).logits.square().sum().backward()
        still = {name for name, p in enc.named_parameters() if p.grad is None}
        assert still == enc.params_without_grad


@torch.no_grad()
def test_temperature_acts_in_evaluation_and_travels_with_the_architecture():
    enc, wave = tiny(), noise(1, 16000)
    before, print_before = enc(wave).logits, enc.fingerprint()
    enc.set_temperature(30)
    assert not torch.equal(enc(wave).logits, before)
    assert enc.architecture()["config"]["temperature"] == 30
    assert enc.fingerprint() != print_before


@pytest.mark.parametrize("options", [{}, {"dynamic_blocks": "replace_se"}, {"conv_kernels": 2, "relu_lines": 3}])
def test_the_published_layout_round_trips(tmp_path, options):
    enc = DyMN(DyMNConfig(width=0.4, num_classes=6, **options))
    torch.save(to_published(enc.state_dict()), tmp_path / "x.pt")
    again = read_published(tmp_path / "x.pt")
    assert again.config == enc.config
    assert again.fingerprint() == enc.fingerprint()


def test_other_classes_keep_all_but_the_last_layer():
    enc = tiny()
    enc.set_temperature(3.0)
    twin = enc.with_classes(9)
    assert twin.temperature == 3.0
    assert torch.equal(twin.classifier[2].weight, enc.classifier[2].weight)
    assert twin.classifier[5].weight.shape == (9, 128)


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"dynamic_blocks": "some"}, {"conv_kernels": 0}])
def test_an_impossible_configuration_is_refused_with_a_message(wrong):
    with pytest.raises(AuricleError):
        DyMNConfig(**wrong)
