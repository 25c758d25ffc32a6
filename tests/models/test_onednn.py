"""A shape that is used often gets a graph; the results stay the same."""

import copy
import pickle

import pytest
import torch

from auricle.models.efficientat.config import DyMNConfig, MNConfig
from auricle.models.efficientat.dymn import DyMN
from auricle.models.efficientat.folding import folded
from auricle.models.efficientat.mn import MN
from auricle.models.efficientat.onednn import CALLS_BEFORE_GRAPH, GRAPHS_PER_NETWORK

HEADS = {
    "mlp": {},
    "fully convolutional": {"head": "fully_convolutional", "se_dims": "cf"},
    "attention": {"head": "multihead_attention_pooling"},
}


def network(**settings) -> MN:
    return MN(MNConfig(width=0.1, num_classes=5, **settings)).eval()


def waves(samples: int, clips: int = 1) -> torch.Tensor:
    return 0.1 * torch.randn(clips, samples, generator=torch.Generator().manual_seed(samples))


@torch.inference_mode()
@pytest.mark.parametrize("head", HEADS)
def test_the_graph_equals_the_network(head):
    net = network(**HEADS[head])
    twin, wave = folded(net), waves(20000, 2)
    answers = [twin.logits(wave) for _ in range(CALLS_BEFORE_GRAPH + 2)]
    assert len(twin.graphs.built) == 1
    for answer in answers:
        torch.testing.assert_close(answer, net.logits(wave), atol=1e-5, rtol=1e-4)
    other = waves(20000, 2) * 3
    torch.testing.assert_close(twin.logits(other), net.logits(other), atol=1e-5, rtol=1e-4)


@torch.inference_mode()
def test_rare_shapes_get_no_graph_and_a_network_keeps_two_graphs():
    twin = folded(network())
    for samples in range(9000, 9000 + 320 * 6, 320):
        twin.logits(waves(samples))
    assert not twin.graphs.built
    for samples in (9000, 12000, 15000):
        for _ in range(CALLS_BEFORE_GRAPH + 1):
            twin.logits(waves(samples))
    assert len(twin.graphs.built) == GRAPHS_PER_NETWORK


@torch.inference_mode()
def test_copies_of_a_network_build_graphs_of_their_own():
    twin = folded(network())
    for _ in range(CALLS_BEFORE_GRAPH + 1):
        want = twin.logits(waves(9000))
    for other in (copy.deepcopy(twin), pickle.loads(pickle.dumps(twin))):
        assert other.graphs.network is other
        assert not other.graphs.built
        torch.testing.assert_close(other.logits(waves(9000)), want, atol=1e-5, rtol=1e-4)


def test_with_gradients_there_is_no_graph():
    twin = folded(network())
    for _ in range(CALLS_BEFORE_GRAPH + 1):
        twin.logits(waves(9000))
    assert not twin.graphs.built


def test_kernels_that_change_with_the_clip_get_no_graph():
    assert folded(DyMN(DyMNConfig(width=0.1, num_classes=5))).graphs is None


def test_fusion_is_off_after_a_graph_is_built():
    assert not torch.jit.onednn_fusion_enabled()
