"""M2D agrees with vectors computed by the published program: masks, targets, losses, gradients, whole steps, a trajectory."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from auricle.hub.convert.m2d import to_ours, to_published
from auricle.methods.base import TrainProgress
from auricle.methods.m2d.targets import decay_at, ema_update
from auricle.models.masking.patches import unstructured
from auricle.training.optimizers import make_optimizer
from auricle.training.schedules import cosine_with_warmup
from helpers.golden_files import close, read_golden, under
from helpers.m2d_golden import normalised_batch, objective
from helpers.paths import GOLDEN

STEPS = ["pretrain_m2d_80x208p16x16", "pretrain_m2d_80x64p16x4", "pretrain_m2d_80x48p80x2"]


@pytest.fixture(params=STEPS, scope="module")
def golden(request):
    return read_golden(GOLDEN / "m2d" / f"{request.param}.safetensors")


def forward(tensors, meta, **changes):
    built = objective(tensors, meta, **changes)
    mask = unstructured(tensors["noise"], meta["mask_ratio"])
    patches = built.patches(normalised_batch(built, tensors["x"]))
    return built, mask, patches


def test_the_mask_is_the_ascending_order_of_the_noise(golden):
    tensors, meta = golden
    mask = unstructured(tensors["noise"], meta["mask_ratio"])
    assert torch.equal(mask.ids_shuffle, tensors["ids_shuffle"])
    assert torch.equal(mask.ids_restore, tensors["ids_restore"])
    assert torch.equal(mask.binary, tensors["mask"])
    assert mask.len_keep == meta["len_keep"]


def test_latent_prediction_and_target_agree(golden):
    tensors, meta = golden
    built, mask, patches = forward(tensors, meta)
    prediction, target = built.predict(patches, mask)
    close(built.latent(patches, mask), tensors["latent"], 1e-5)
    close(prediction, tensors["pred"], 1e-5)
    close(target, tensors["target"], 1e-5)


def test_every_layer_without_masking_agrees(golden):
    tensors, meta = golden
    built, _, patches = forward(tensors, meta)
    layers = built.online.transformer.layers(built.online.embed(patches), range(meta["depth"]))
    close(torch.stack(layers), tensors["layers_unmasked"], 1e-5)


@pytest.mark.parametrize("loss_fn", ["norm_mse", "mse"])
@pytest.mark.parametrize("standardise", [True, False])
def test_all_forms_of_the_loss_agree(golden, loss_fn, standardise):
    tensors, meta = golden
    built, mask, patches = forward(tensors, meta, loss_fn=loss_fn, norm_targets=standardise)
    prediction, target = built.predict(patches, mask)
    close(built.error(target, prediction).mean(), tensors[f"loss_m2d.{loss_fn}.norm_pix={standardise}"], 1e-5)


def test_every_gradient_agrees_and_the_target_gets_none(golden):
    tensors, meta = golden
    built, mask, patches = forward(tensors, meta)
    prediction, target = built.predict(patches, mask)
    built.error(target, prediction).mean().backward()
    grads = to_published({name: p.grad for name, p in built.named_parameters() if p.grad is not None})
    wanted = under(tensors, "grad.")
    assert grads.keys() == wanted.keys()
    for name, grad in grads.items():
        close(grad, wanted[name], 1e-5)


def test_one_optimiser_and_teacher_step_agrees(golden):
    tensors, meta = golden
    built, step = objective(tensors, meta), meta["step"]
    wanted = to_ours(under(tensors, "grad."))
    for name, parameter in built.named_parameters():
        parameter.grad = wanted[name].clone() if name in wanted else None
    optimizer = make_optimizer(built.param_groups(step["weight_decay"]), "adamw", step["lr"])
    norm = torch.nn.utils.clip_grad_norm_([p for p in built.parameters() if p.grad is not None], step["clip_grad"])
    optimizer.step()
    ema_update(built.target.parameters(), built.online.transformer.parameters(), step["ema_decay"])
    close(norm, tensors["grad_norm"], 1e-5)
    state = to_published(built.state_dict())
    for name, value in under(tensors, "after.").items():
        close(state[name], value, 1e-6)


def test_the_groups_of_weight_decay_are_the_published_ones(golden):
    tensors, meta = golden
    built = objective(tensors, meta)
    names = {id(p): n for n, p in to_published(dict(built.named_parameters())).items()}
    plain, decay = ([names[id(p)] for p in group["params"]] for group in built.param_groups(0.05))
    assert sorted(plain) == sorted(meta["no_decay"])
    assert sorted(decay) == sorted(meta["decay"])


def test_a_trajectory_of_two_epochs_with_accumulation_agrees():
    tensors, meta = read_golden(GOLDEN / "m2d" / "pretrain_trajectory.safetensors")
    built = objective(tensors, meta, ema_decay_init=meta["ema_decay_init"], ema_decay=meta["ema_decay"])
    peak, per_epoch, accum = (
        meta["blr"] * meta["eff_batch_size"] / 256,
        meta["iterations_per_epoch"],
        meta["accum_iter"],
    )
    optimizer = make_optimizer(built.param_groups(meta["weight_decay"]), "adamw", peak)
    total, losses, norms, rates, decays = per_epoch * meta["epochs"], [], [], [], []
    for i in range(total):
        progress = TrainProgress(i, total, 0, 0, i / per_epoch, meta["epochs"])
        if i % per_epoch == 0:
            optimizer.zero_grad()
        if i % per_epoch % accum == 0:
            rate = cosine_with_warmup(progress.epoch, peak, 0.0, meta["warmup_epochs"], meta["epochs"])
            for group in optimizer.param_groups:
                group["lr"] = rate
        patches = built.patches(normalised_batch(built, tensors[f"x.{i}"]))
        prediction, target = built.predict(patches, unstructured(tensors[f"noise.{i}"], meta["mask_ratio"]))
        loss = built.error(target, prediction).mean()
        (loss / accum).backward()
        losses.append(loss.item())
        rates.append(optimizer.param_groups[0]["lr"])
        decays.append(built.decay(progress))
        if (i % per_epoch + 1) % accum == 0:
            norms.append(
                torch.nn.utils.clip_grad_norm_(
                    [p for p in built.parameters() if p.requires_grad], meta["clip_grad"]
                ).item()
            )
            optimizer.step()
            optimizer.zero_grad()
            built.after_step(progress)
    np.testing.assert_allclose(losses, tensors["losses"], atol=1e-4)
    np.testing.assert_allclose(norms, tensors["grad_norms"], atol=1e-4)
    np.testing.assert_allclose(rates, tensors["lrs"], atol=1e-9)
    np.testing.assert_allclose(decays, tensors["ema_decays"], atol=1e-9)
    state = to_published(built.state_dict())
    for name, value in under(tensors, "final.").items():
        close(state[name], value, 1e-5)


def test_published_schedules_agree():
    schedules = json.loads((GOLDEN / "m2d" / "schedules.json").read_text())
    for case in schedules["lr"]:
        config = case["config"]
        peak = config["blr"] * config["eff"] / 256
        for epoch, iteration, rate in case["values"]:
            start = iteration - iteration % config["accum"]
            got = cosine_with_warmup(
                epoch + start / config["iters"], peak, config["min_lr"], config["warmup_epochs"], config["epochs"]
            )
            assert got == pytest.approx(rate, abs=1e-9)


def test_the_teacher_moves_by_the_published_rule():
    tensors, meta = read_golden(GOLDEN / "m2d" / "ema_update.safetensors")
    target, online, after = (under(tensors, p) for p in ("target_before.", "online.", "target_after."))
    parameters = {name: torch.nn.Parameter(value.clone()) for name, value in target.items()}
    ema_update(parameters.values(), [torch.nn.Parameter(online[name]) for name in parameters], meta["decay"])
    for name, value in parameters.items():
        close(value, after[name], 1e-7)


def test_the_decay_runs_linearly_from_first_to_last_micro_step():
    assert decay_at(TrainProgress(0, 11, 0, 0, 0.0, 1), 0.9, 1.0) == 0.9
    assert decay_at(TrainProgress(10, 11, 0, 0, 0.9, 1), 0.9, 1.0) == pytest.approx(1.0)
