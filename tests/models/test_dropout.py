"""Our dropout drops what it should, scales the rest, passes the same gradient, and follows the generator."""

from __future__ import annotations

import pytest
import torch

from auricle.models.layers.transformer import fast_dropout

TYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_share_dropped_is_the_rate_and_the_mean_is_kept(kind, rate):
    torch.manual_seed(0)
    out = fast_dropout(torch.ones(400_001, dtype=kind), rate, True).double()
    kept = out != 0
    assert 1 - kept.double().mean() == pytest.approx(rate, abs=5 * (rate * (1 - rate) / 400_001) ** 0.5 + 2**-17)
    torch.testing.assert_close(out[kept], torch.full_like(out[kept], 1 / (1 - rate)), rtol=4e-3, atol=0)


@pytest.mark.parametrize("kind", TYPES)
def test_the_gradient_passes_where_the_value_did(kind):
    x = torch.randn(3, 5, 7, dtype=kind).transpose(0, 2).requires_grad_()
    out = fast_dropout(x, 0.3, True)
    out.backward(torch.ones_like(out))
    torch.testing.assert_close(x.grad * x.detach(), out.detach(), rtol=1e-2, atol=0)
    assert 0 < (x.grad == 0).sum() < x.numel()


def test_every_draw_is_fresh_and_follows_the_default_generator():
    x = torch.ones(1000)
    torch.manual_seed(3)
    first, second = fast_dropout(x, 0.5, True), fast_dropout(x, 0.5, True)
    assert not torch.equal(first, second)
    torch.manual_seed(3)
    assert torch.equal(fast_dropout(x, 0.5, True), first)


def test_neighbouring_values_fall_independently():
    torch.manual_seed(0)
    kept = (fast_dropout(torch.ones(400_000), 0.5, True) != 0).float()
    for distance in (1, 2, 3, 4, 8, 64):
        both = (kept[:-distance] * kept[distance:]).mean()
        assert both == pytest.approx(0.25, abs=0.004)


@pytest.mark.parametrize(("rate", "training"), [(0.0, True), (0.5, False)])
def test_nothing_happens_where_nothing_should(rate, training):
    x = torch.ones(10)
    assert fast_dropout(x, rate, training) is x


def test_a_rate_too_small_for_its_levels_drops_nothing():
    assert torch.equal(fast_dropout(torch.ones(1000), 1e-7, True), torch.ones(1000))
