"""Frames at a finer hop: the same weights with other strides, their times, their cost, and what is refused."""

from __future__ import annotations

import pytest
import torch

import auricle
from auricle.core.errors import AuricleError
from auricle.hub.weight_file import save_encoder
from auricle.models.efficientat.complexity import relative_macs
from auricle.models.efficientat.config import DyMNConfig, MNConfig
from auricle.models.efficientat.dymn import DyMN
from auricle.models.efficientat.mn import MN
from auricle.models.heads.make import make_head
from auricle.models.label_space import LabelSpace
from helpers.efficientat_golden import close, golden, network
from helpers.encoders import m2d

TINY = {
    "mn": lambda **options: MN(MNConfig(width=0.1, num_classes=5, **options)).eval(),
    "dymn": lambda **options: DyMN(DyMNConfig(width=0.1, num_classes=5, temperature=3.0, **options)).eval(),
}
HOPS = {0.32: (2, 2, 2, 2), 0.16: (2, 2, 2, 1), 0.08: (2, 2, 1, 1), 0.04: (2, 1, 1, 1), 0.02: (1, 1, 1, 1)}


def noise(seconds: float) -> torch.Tensor:
    return 0.1 * torch.randn(1, round(32000 * seconds), generator=torch.Generator().manual_seed(0))


@torch.no_grad()
@pytest.mark.parametrize("name", ["mn_tiny_mlp_c_s2211", "mn_tiny_mlp_c_s2221", "dymn_tiny_s2211_ctx8"])
def test_weights_at_a_finer_hop_are_the_original_network_with_these_strides(name):
    tensors, metadata = golden(name)
    coarse = network(tensors, {"config": {**metadata["config"], "strides": [2, 2, 2, 2]}})
    fine = coarse.with_frame_hop(0.16 if "2221" in name else 0.08)
    assert list(fine.config.strides) == list(metadata["config"]["strides"])
    want = tensors["logits.T1"] if "logits.T1" in tensors else tensors["logits"]
    close(fine.core(tensors["input"][:, 0]).logits, want)


@torch.no_grad()
@pytest.mark.parametrize("family", TINY)
@pytest.mark.parametrize("hop", HOPS)
def test_frames_are_as_far_apart_as_asked_for(family, hop):
    encoder = TINY[family]().with_frame_hop(hop)
    assert encoder.config.strides == HOPS[hop]
    assert encoder.info.hop_seconds == pytest.approx(hop)
    out = encoder(noise(0.7))
    torch.testing.assert_close(out.times, torch.arange(out.frames.shape[1]) * hop + 0.5 / 32000)
    assert out.frames.shape[1] == int(out.lengths[0]) == -(-70 // round(hop / 0.01))
    assert out.frame_logits.shape[1] == out.frames.shape[1]


@torch.no_grad()
def test_a_click_is_in_the_frame_of_its_time():
    encoder = TINY["mn"](se_dims="none").with_frame_hop(0.08)
    for parameter in encoder.features.parameters():
        if parameter.ndim == 4:  # flat kernels: what is left is where the strides and paddings look
            parameter.data.fill_(1.0 / parameter[0].numel())
    silence, click = torch.zeros(1, 32000 * 20), torch.zeros(1, 32000 * 20)
    click[0, round(32000 * 9.6) : round(32000 * 9.68)] = 0.5
    change = (encoder(click).frames - encoder(silence).frames).abs().mean(2)[0]
    centre = float((change * encoder(silence).times).sum() / change.sum())
    assert abs(centre - 9.64) < 0.08


@torch.no_grad()
@pytest.mark.parametrize("family", TINY)
def test_a_copy_keeps_weights_heads_classes_and_statistics(family, tmp_path):
    encoder = TINY[family]().with_stats(0.5, 2.0)
    space = LabelSpace.of([("a", "a"), ("b", "b")], "multilabel")
    encoder = encoder.with_head(make_head("linear", encoder, 2, reads="frames"), space)
    fine = encoder.with_frame_hop(0.16)
    assert encoder.config.strides == (2, 2, 2, 2)  # of the original nothing changes
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, fine.state_dict()[name]), name
    assert (fine.info.label_space, fine.statistics()) == (space, (0.5, 2.0))
    assert fine.settings().strides == (2, 2, 2, 1)
    assert getattr(fine.settings(), "temperature", None) == getattr(encoder.settings(), "temperature", None)
    assert fine.fingerprint() != encoder.fingerprint()
    save_encoder(fine, tmp_path / "fine.safetensors")
    again = auricle.load(tmp_path / "fine.safetensors")
    assert again.info.hop_seconds == pytest.approx(0.16)
    wave = noise(1.0)
    assert torch.equal(again(wave).frames, fine(wave).frames)
    close(fine.for_inference()(wave).frames, fine(wave).frames)


def test_a_coarser_hop_comes_back_to_the_same_network():
    encoder = TINY["mn"]()
    assert encoder.with_frame_hop(0.32) is encoder
    assert encoder.with_frame_hop(0.08).with_frame_hop(0.32).fingerprint() == encoder.fingerprint()


def test_finer_frames_cost_more():
    times = [relative_macs(TINY["mn"]().with_frame_hop(hop), seconds=1.0)[1] for hop in (0.32, 0.08)]
    assert times[0] == 1
    assert times == sorted(times)


def test_a_hop_that_no_strides_give_is_refused_with_those_that_exist():
    with pytest.raises(AuricleError, match=r"can be 0\.32, 0\.16, 0\.08, 0\.04, 0\.02 s apart"):
        TINY["mn"]().with_frame_hop(0.1)


def test_weights_that_belong_to_their_strides_are_refused():
    with pytest.raises(AuricleError, match="squeezes along frequency or time"):
        TINY["mn"](se_dims="f").with_frame_hop(0.16)


def test_other_families_have_one_hop():
    encoder = m2d()
    assert encoder.with_frame_hop(encoder.info.hop_seconds) is encoder
    with pytest.raises(AuricleError, match="MN and DyMN alone"):
        encoder.with_frame_hop(0.05)
