"""The contract of every objective (docs/architecture.md): whatever is learnt, these facts hold."""

from __future__ import annotations

import pytest
import torch

from auricle.core.options import names_of, with_values
from auricle.core.randomness import BatchKey
from auricle.methods.base import TrainProgress
from auricle.methods.registry import METHODS
from auricle.models.base import Encoder
from auricle.models.layers.transformer import recompute_activations
from auricle.training.optimizers import make_optimizer
from helpers.objectives import OBJECTIVES

CLIPS = 4
START = TrainProgress(0, 10, 0, 10, 0.0, 1)


@pytest.fixture(params=OBJECTIVES)
def case(request):
    return OBJECTIVES[request.param]


def draws_of(batch, epoch=0, seed=0):
    return BatchKey(seed, epoch, batch.positions)


def loss_of(objective, batch, **keys):
    return objective(batch, START, draws_of(batch, **keys))[0]


def picked(batch, order):
    """The clips of a batch in another order."""
    return batch.take(order)


def test_every_method_has_a_case():
    assert {name.split()[0] for name in OBJECTIVES} >= METHODS.keys()


def test_every_preset_names_its_source_and_settings_of_its_method():
    for name, method in METHODS.items():
        default = method.settings(name, "data")
        for preset in method.presets.values():
            assert preset.source
            assert preset.values.keys() <= names_of(default)
            with_values(default, dict(preset.values))


def test_the_loss_is_a_finite_number_and_the_log_holds_it_without_a_gradient(case):
    batch = case.batch(CLIPS)
    loss, log = case.make()(batch, START, draws_of(batch))
    assert loss.shape == ()
    assert loss.dtype == torch.float32
    assert torch.isfinite(loss)
    assert float(log["loss"]) * case.unit == pytest.approx(float(loss.detach()))
    assert all(value.ndim == 0 and not value.requires_grad for value in log.values())


def test_a_gradient_reaches_everything_that_is_trained_and_nothing_else(case):
    objective = case.make()
    loss_of(objective, case.batch(CLIPS)).backward()
    for name, parameter in objective.named_parameters():
        assert parameter.requires_grad == (parameter.grad is not None), name
        assert parameter.grad is None or (parameter.grad.abs().max() > 0) == (name not in case.zero), name


def test_recomputed_activations_give_the_same_gradients(case):
    """Dropout is drawn again as it was."""
    found = []
    for recomputed in (False, True):
        objective, batch = case.make().train(), case.batch(CLIPS)
        assert not recomputed or recompute_activations(objective)
        torch.manual_seed(3)
        loss_of(objective, batch).backward()
        found.append({name: p.grad for name, p in objective.named_parameters() if p.grad is not None})
    plain, again = found
    assert plain.keys() == again.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(again[name], gradient, rtol=0, atol=1e-6 * (1 + float(gradient.abs().max())))


def test_the_optimiser_gets_every_trained_parameter_once(case):
    objective = case.make()
    given = [id(p) for group in objective.param_groups(0.05) for p in group["params"]]
    trained = [id(p) for p in objective.parameters() if p.requires_grad]
    assert sorted(given) == sorted(trained)


def test_equal_draws_give_equal_losses_and_other_draws_others(case):
    objective, batch = case.make(), case.batch(CLIPS)
    with torch.no_grad():
        assert torch.equal(loss_of(objective, batch), loss_of(objective, batch))
        assert not torch.equal(loss_of(objective, batch), loss_of(objective, batch, epoch=1))
        assert torch.equal(loss_of(case.make(), batch), loss_of(case.make(), batch))


def test_the_order_of_a_batch_does_not_change_the_loss(case):
    if not case.per_clip:
        pytest.skip("a whole batch shares a draw here, as its docstring says")
    objective, batch = case.make(), case.batch(CLIPS)
    with torch.no_grad():
        one, other = loss_of(objective, batch), loss_of(objective, picked(batch, [2, 0, 3, 1]))
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_a_preview_shows_what_was_hidden_and_how_well_it_was_predicted(case):
    objective, batch = case.make().eval(), case.batch(CLIPS)
    shown = objective.preview(batch, draws_of(batch))
    if shown is None:
        pytest.skip("nothing is hidden here")
    assert shown.spec.shape == batch.input.shape
    assert shown.mask.shape == shown.error.shape
    assert shown.mask.unique().tolist() == [0, 1]
    assert torch.equal(shown.error.isnan(), shown.mask == 0)
    if shown.reconstruction is not None:
        assert shown.reconstruction.shape == shown.spec.shape


def test_the_encoder_is_one_and_its_weights_are_those_that_learn(case):
    objective = case.make()
    encoder = objective.encoder()
    assert isinstance(encoder, Encoder)
    own = {id(p) for p in objective.parameters()}
    assert all(id(p) in own for p in encoder.parameters())


def test_the_state_gives_the_same_objective_again(case):
    objective, batch, twin = case.make(), case.batch(CLIPS), case.make()
    with torch.no_grad():
        for parameter in objective.parameters():
            parameter.add_(0.01)
        assert not torch.equal(loss_of(objective, batch), loss_of(twin, batch))
        twin.load_state_dict(objective.state_dict())
        assert torch.equal(loss_of(objective, batch), loss_of(twin, batch))


def test_ten_clips_are_overfitted(case):
    objective, batch = case.make(), case.batch(10)
    optimizer = make_optimizer(objective.param_groups(0.0), "adamw", case.rate)
    losses = []
    for step in range(60):
        progress = TrainProgress(step, 60, step, 60, step / 60, 1)
        loss = objective(batch, progress, draws_of(batch))[0]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        objective.after_step(progress)
        losses.append(loss.item())
    assert sum(losses[-3:]) / 3 < case.falls * losses[0]
