"""Running statistics of batch norms begin as plain averages, so that short runs from random weights score what they learnt."""

from dataclasses import replace

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from auricle.methods.supervised.norms import NormWarmup
from auricle.methods.supervised.recipes import RECIPES
from auricle.training.distributed import RankBatchNorm
from helpers.sharded_steps import CASES


def network(momentum: float = 0.01) -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, momentum=momentum))


def batches(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [5 + 3 * torch.randn(8, 3, generator=generator) for _ in range(count)]


def run(net: nn.Sequential, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """Train-mode passes with the warm-up; the mean of what reached the norm, of each batch."""
    warmup, means = NormWarmup(net), []
    with torch.no_grad():
        for x in inputs:
            warmup()
            net.train()(x)
            means.append(net[0](x).mean(0))
    return means


def test_running_mean_of_a_fresh_network_is_the_mean_of_its_batches():
    net = network()
    means = run(net, batches(20))
    torch.testing.assert_close(net[1].running_mean, torch.stack(means).mean(0), rtol=1e-5, atol=1e-6)


def test_after_a_hundred_batches_a_share_of_a_hundredth_is_the_families_own():
    net = network()
    run(net, batches(101))
    assert net[1].momentum == 0.01


def test_statistics_that_have_seen_many_batches_move_as_they_always_did():
    warmed, plain = network(), network()
    plain.load_state_dict(warmed.state_dict())
    for net in (warmed, plain):
        net[1].num_batches_tracked.fill_(5000)
    run(warmed, batches(5))
    with torch.no_grad():
        for x in batches(5):
            plain.train()(x)
    assert torch.equal(warmed[1].running_var, plain[1].running_var)


def test_a_continued_run_goes_on_with_the_averages():
    whole, first = network(), network()
    first.load_state_dict(whole.state_dict())
    run(whole, batches(20))
    run(first, batches(20)[:7])
    rest = network()
    rest.load_state_dict(first.state_dict())
    run(rest, batches(20)[7:])
    assert torch.equal(whole[1].running_mean, rest[1].running_mean)


def test_published_recipes_keep_the_original_statistics():
    learning = {name: preset.values for name, preset in RECIPES.items()}
    assert learning
    assert all(values.get("norm_warmup") is False for values in learning.values())


def test_fixed_norms_are_fixed_too_where_they_are_over_all_processes():
    objective = CASES["mn"][0]()
    objective.learning = replace(objective.learning, fixed_norms=True)
    first = objective.online.features[0]
    place = next(i for i, module in enumerate(first) if isinstance(module, torch.nn.BatchNorm2d))
    first[place] = RankBatchNorm(first[place].num_features)
    objective.train()
    assert not any(module.training for module in objective.modules() if isinstance(module, _BatchNorm))
