"""Networks folded for inference equal the originals."""

import copy

import pytest
import torch

from auricle.models.efficientat.config import DyMNConfig, MNConfig
from auricle.models.efficientat.dymn import DyMN
from auricle.models.efficientat.folding import folded
from auricle.models.efficientat.mn import MN
from auricle.models.ensemble import Ensemble
from helpers.efficientat_golden import golden, network

SMALL = {"width": 0.1, "num_classes": 5}
NETWORKS = {
    "mn": lambda: MN(MNConfig(**SMALL)),
    "mn fully convolutional": lambda: MN(MNConfig(head="fully_convolutional", se_dims="cf", **SMALL)),
    "mn attention": lambda: MN(MNConfig(head="multihead_attention_pooling", dilated=True, **SMALL)),
    "dymn": lambda: DyMN(DyMNConfig(temperature=3.0, **SMALL)),
    "dymn replace_se": lambda: DyMN(DyMNConfig(dynamic_blocks="replace_se", **SMALL)),
    "dymn static": lambda: DyMN(DyMNConfig(dynamic_conv=False, dynamic_relu=False, **SMALL)),
}


def noise(*shape: int) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def used(net):
    """The network with batch statistics that are not the initial ones."""
    generator = torch.Generator().manual_seed(1)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            module.weight.data.uniform_(0.8, 1.2, generator=generator)
            module.bias.data.normal_(0, 0.1, generator=generator)
    return net.eval()


@torch.no_grad()
@pytest.mark.parametrize("name", NETWORKS)
def test_a_folded_network_equals_the_original(name):
    net = used(NETWORKS[name]())
    twin, wave = folded(net), noise(3, 40000)
    lengths = torch.tensor([40000, 9000, 9000])
    want, got = net(wave, lengths, layers="all"), twin(wave, lengths, layers="all")
    for field in ("logits", "clip", "frames", "frame_logits"):
        torch.testing.assert_close(getattr(got, field), getattr(want, field), atol=1e-5, rtol=1e-4)
    assert len(got.layers) == 16
    assert twin.fingerprint() == net.fingerprint()
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in twin.modules())


@torch.no_grad()
def test_a_folded_network_agrees_with_the_golden_vectors():
    for name, key in (("mn_tiny_mlp_f_mels40", "logits"), ("dymn_tiny_replace_se", "logits.T1")):
        tensors, metadata = golden(name)
        twin = folded(network(tensors, metadata))
        torch.testing.assert_close(twin.core(tensors["input"][:, 0]).logits, tensors[key], atol=2e-5, rtol=1e-4)


def test_folding_leaves_the_original_as_it_was():
    net = used(NETWORKS["dymn"]())
    before = net.fingerprint()
    twin = folded(net)
    twin.set_temperature(1.0)
    assert net.temperature == 3.0
    assert net.fingerprint() == before
    assert all(not p.requires_grad for p in twin.parameters())


@torch.no_grad()
def test_an_ensemble_is_made_ready_with_its_members():
    both = Ensemble([used(NETWORKS["mn"]()), used(NETWORKS["dymn"]())])
    wave = noise(2, 20000)
    torch.testing.assert_close(both.for_inference()(wave).logits, both(wave).logits, atol=1e-5, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", NETWORKS)
def test_logits_alone_are_those_of_the_whole_call(name):
    twin, wave = folded(used(NETWORKS[name]())), noise(2, 40000)
    for lengths in (None, torch.tensor([40000, 9000])):
        torch.testing.assert_close(twin.logits(wave, lengths), twin(wave, lengths).logits, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_a_folded_network_can_be_copied_folded_again_and_run_in_half_precision():
    twin, wave = folded(used(NETWORKS["mn"]())), noise(1, 20000)
    logits = twin(wave).logits
    for other in (copy.deepcopy(twin), folded(twin)):
        torch.testing.assert_close(other(wave).logits, logits, atol=1e-6, rtol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = twin(wave).logits
    assert 0 < (coarse - logits).abs().max() < 0.1
