"""MAE-AST's Adam and schedule: the published rule, its state, what has no gradient, the golden rates."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from auricle.core.errors import AuricleError
from auricle.methods.base import TrainProgress
from auricle.methods.config import TrainConfig
from auricle.training.checkpoint import optimizer_tensors, restore_optimizer
from auricle.training.optimizers import Adam, TrainingLength, make_optimizer, rate_at, with_warmup
from auricle.training.schedules import polynomial_decay
from helpers import paths

GOLDEN = paths.GOLDEN / "mae_ast"


def by_hand(p, gradients, *, lr, betas=(0.9, 0.98), eps=1e-6, decay=0.01):
    """Update the parameters as [mae_ast 9](docs/specification/mae_ast.md#s9) defines it, in double precision."""
    p, m, v = p.double(), torch.zeros_like(p).double(), torch.zeros_like(p).double()
    for t, g in enumerate(gradients, start=1):
        m = betas[0] * m + (1 - betas[0]) * g.double()
        v = betas[1] * v + (1 - betas[1]) * g.double() ** 2
        p = p - lr * decay * p
        p = p - lr * (1 - betas[1] ** t) ** 0.5 / (1 - betas[0] ** t) * m / (v.sqrt() + eps)
    return p


def gradients(steps: int, shape: tuple[int, ...], scale: float = 1e-5) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return [scale * torch.randn(shape, generator=generator) for _ in range(steps)]


@pytest.mark.parametrize("scale", [1.0, 1e-5])  # with small gradients the place of eps shows
def test_adam_decays_before_the_update_and_adds_eps_to_the_uncorrected_root(scale):
    start, given = torch.linspace(-1, 1, 12).view(3, 4), gradients(5, (3, 4), scale)
    parameter = nn.Parameter(start.clone())
    optimizer = make_optimizer([{"params": [parameter], "weight_decay": 0.01}], "adam", 1e-2)
    for gradient in given:
        parameter.grad = gradient
        optimizer.step()
    torch.testing.assert_close(parameter.detach().double(), by_hand(start, given, lr=1e-2), atol=3e-7, rtol=0)


def test_parameters_without_a_gradient_and_their_step_count_do_not_change():
    given = gradients(3, (4,))
    still, moving = nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(4))
    optimizer = Adam([still, moving], lr=1e-2, weight_decay=0.01)
    for step, gradient in enumerate(given):
        moving.grad, still.grad = gradient, gradient if step == 2 else None
        optimizer.step()
    torch.testing.assert_close(still.detach().double(), by_hand(torch.ones(4), given[2:], lr=1e-2), atol=3e-7, rtol=0)
    torch.testing.assert_close(moving.detach().double(), by_hand(torch.ones(4), given, lr=1e-2), atol=3e-7, rtol=0)
    assert [int(optimizer.state[p]["step"]) for p in (still, moving)] == [1, 3]


def test_adam_continues_exactly_from_its_saved_state():
    given, one, other = gradients(6, (5, 5)), nn.Parameter(torch.ones(5, 5)), nn.Parameter(torch.ones(5, 5))
    whole, first = Adam([one], lr=1e-2, weight_decay=0.01), Adam([other], lr=1e-2, weight_decay=0.01)
    for step, gradient in enumerate(given):
        if step == 3:
            saved, first = optimizer_tensors(first), Adam([other], lr=1e-2, weight_decay=0.01)
            restore_optimizer(first, saved)
        one.grad = other.grad = gradient
        whole.step()
        first.step()
    assert torch.equal(one, other)


def test_the_norm_is_clipped_as_published():
    parameter = nn.Parameter(torch.zeros(4))
    parameter.grad = torch.full((4,), 2.0)  # norm 4
    assert float(nn.utils.clip_grad_norm_([parameter], 1.0, foreach=True)) == 4.0
    assert torch.equal(parameter.grad, torch.full((4,), 2.0) * (torch.tensor(1.0) / (4.0 + 1e-6)))


@pytest.mark.parametrize("case", ["readme", "yaml"])
def test_polynomial_decay_is_the_published_one(case):
    golden = json.loads((GOLDEN / "lr_schedule.json").read_text())[case]
    for update, rate in golden["points"].items():
        got = polynomial_decay(int(update), golden["lr"], 0.0, golden["warmup"], golden["max_update"])
        assert got == pytest.approx(rate, rel=1e-12, abs=1e-18)


def test_polynomial_decay_has_a_power_an_end_and_an_optional_warm_up():
    assert polynomial_decay(0, 1.0, 0.2, 0, 10) == 1.0
    assert polynomial_decay(5, 1.0, 0.2, 0, 10, power=2.0) == pytest.approx(0.2 + 0.8 * 0.25)
    assert polynomial_decay(10, 1.0, 0.2, 0, 10) == 0.2


def test_the_schedule_spans_the_run_or_schedule_updates():
    run = TrainConfig(schedule="polynomial", max_updates=10, warmup_updates=2, lr=1.0)
    at = TrainProgress(micro_step=6, micro_steps=10, step=6, steps=10, epoch=0.5, epochs=None)
    assert rate_at(at, run, 1.0) == pytest.approx(0.5)
    longer = TrainConfig(schedule="polynomial", max_updates=10, schedule_updates=18, warmup_updates=2)
    assert rate_at(at, longer, 1.0) == pytest.approx(0.75)


def test_a_warm_up_longer_than_the_run_never_reaches_the_peak():
    by_epoch = TrainConfig(epochs=2, warmup_epochs=20.0, long_warmup=True)
    at = TrainProgress(micro_step=15, micro_steps=20, step=15, steps=20, epoch=1.5, epochs=2)
    assert rate_at(at, by_epoch, 1.0) == pytest.approx(1.5 / 20)
    by_update = TrainConfig(schedule="polynomial", max_updates=10, warmup_updates=40, long_warmup=True)
    at = TrainProgress(micro_step=8, micro_steps=10, step=8, steps=10, epoch=0.8, epochs=None)
    assert rate_at(at, by_update, 1.0) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("settings", "updates", "epochs"),
    [
        (dict(epochs=2, warmup_epochs=None), 0, 0.2),
        (dict(epochs=30), 0, 20.0),
        (dict(max_updates=50, warmup_updates=None), 5, 20.0),
        (dict(max_updates=50, warmup_updates=None, schedule_updates=200), 20, 20.0),
        (dict(max_updates=3, warmup_updates=None), 0, 20.0),
        (dict(epochs=2, schedule="polynomial", warmup_updates=None), 4, 20.0),
    ],
)
def test_a_warm_up_of_auto_is_a_tenth_of_the_run(settings, updates, epochs):
    settings = TrainConfig(**settings)
    train = with_warmup(settings, TrainingLength.of(20, settings))
    assert (train.warmup_updates, train.warmup_epochs) == (updates, pytest.approx(epochs))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            dict(epochs=2, warmup_epochs=20.0),
            r"warm-up \(20.0 epochs\) must be shorter .* \(2 epochs\); .*auto: a tenth",
        ),
        (dict(max_updates=10, warmup_updates=32000), r"warm-up \(32000 weight updates\) must be shorter .* \(10"),
        (dict(betas=(0.9,)), "--betas takes two numbers"),
        (dict(betas=(0.9, 1.0)), "--betas takes two numbers"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(AuricleError, match=message):
        TrainConfig(**settings)
