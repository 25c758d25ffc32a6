"""A shape that is used often gets a graph; the results stay the same."""

import copy
import pickle

import pytest
import torch

from auricle.models.efficientat import onednn
from auricle.models.efficientat.config import DyMNConfig, MNConfig
from auricle.models.efficientat.dymn import DyMN
from auricle.models.efficientat.folding import folded
from auricle.models.efficientat.mn import MN

HEADS = {
    "mlp": {},
    "fully convolutional": {"head": "fully_convolutional", "se_dims": "cf"},
    "attention": {"head": "multihead_attention_pooling"},
}


CALLS_BEFORE_GRAPH = 3


def network(**settings) -> MN:
    return MN(MNConfig(width=0.1, num_classes=5, **settings)).eval()


def waves(samples: int, clips: int = 1) -> torch.Tensor:
    return 0.1 * torch.randn(clips, samples, generator=torch.Generator().manual_seed(samples))


@pytest.fixture(autouse=True)
def no_graphs_of_other_tests(monkeypatch):
    monkeypatch.setattr(onednn, "CALLS_BEFORE_GRAPH", CALLS_BEFORE_GRAPH)
    monkeypatch.setattr(onednn, "SHARED", onednn.SharedGraphs())


@pytest.fixture
def made(monkeypatch) -> list[tuple[int, ...]]:
    """The shapes of the graphs that are built; they are networks that are not compiled."""
    shapes = []
    monkeypatch.setattr(onednn, "build_graph", lambda net, values: shapes.append(tuple(values.shape)) or net)
    return shapes


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
def test_rare_shapes_get_no_graph_and_from_the_third_on_each_needs_twice_as_many_calls(made):
    twin = folded(network())
    for samples in range(9000, 9000 + 320 * 6, 320):
        twin.logits(waves(samples))
    assert not twin.graphs.built
    for number, (samples, times) in enumerate(((9000, 1), (12000, 1), (15000, 2), (18000, 4))):
        calls = CALLS_BEFORE_GRAPH * times
        for _ in range(calls):
            twin.logits(waves(samples))
        assert len(made) == number
        twin.logits(waves(samples))
        assert len(made) == len(set(made)) == len(twin.graphs.built) == number + 1
    twin.logits(waves(9000))
    assert len(made) == 4


@torch.inference_mode()
def test_lengths_that_change_all_the_time_make_two_graphs(made):
    """Files of a new length at every call: 25 MB each, if each got a graph."""
    twin = folded(network())
    for samples in range(9000, 9000 + 3200 * 5, 3200):
        for _ in range(CALLS_BEFORE_GRAPH + 2):
            twin.logits(waves(samples))
    assert len(made) == 2


@torch.inference_mode()
def test_networks_with_the_same_weights_share_a_graph(made):
    twin = folded(network())
    for _ in range(CALLS_BEFORE_GRAPH + 1):
        want = twin.logits(waves(9000))
    for other in (copy.deepcopy(twin), pickle.loads(pickle.dumps(twin))):
        assert other.graphs is not twin.graphs
        assert not other.graphs.built
        torch.testing.assert_close(other.logits(waves(9000)), want, atol=1e-5, rtol=1e-4)
    for other in (copy.deepcopy(twin), folded(network())):
        for _ in range(CALLS_BEFORE_GRAPH + 1):
            torch.testing.assert_close(other.logits(waves(9000)), want, atol=1e-5, rtol=1e-4)
        assert other.graphs.built == twin.graphs.built
    assert len(made) == 1
    changed = network()
    changed.classifier[5].bias.data.fill_(1.0)
    other = folded(changed)
    for _ in range(2 * CALLS_BEFORE_GRAPH + 1):
        torch.testing.assert_close(other.logits(waves(9000)), want + 1.0, atol=1e-5, rtol=1e-4)
    assert len(made) == 2, "other weights have a graph of their own"


@torch.inference_mode()
def test_a_process_has_a_limited_number_of_graphs(made, monkeypatch):
    monkeypatch.setattr(onednn, "GRAPHS_PER_PROCESS", 2)
    net, twin = network(), folded(network())
    for samples in (9000, 12000, 15000, 18000):
        for _ in range(8 * CALLS_BEFORE_GRAPH + 1):
            answer = twin.logits(waves(samples))
        torch.testing.assert_close(answer, net.logits(waves(samples)), atol=1e-5, rtol=1e-4)
    assert len(made) == 2


def test_with_gradients_there_is_no_graph():
    twin = folded(network())
    for _ in range(CALLS_BEFORE_GRAPH + 1):
        twin.logits(waves(9000))
    assert not twin.graphs.built


def test_kernels_that_change_with_the_clip_get_no_graph():
    assert folded(DyMN(DyMNConfig(width=0.1, num_classes=5))).graphs is None


def test_fusion_is_off_after_a_graph_is_built():
    assert not torch.jit.onednn_fusion_enabled()
