"""Optimisers, schedules and layer-wise decay of fine-tuning agree with the original programs."""

from __future__ import annotations

import json

import pytest
import torch

from auricle.training.optimizers import LAMB, LARS, make_optimizer
from auricle.training.schedules import cosine_annealing, cosine_with_warmup, evar_cosine, exponential_linear, stepped
from helpers.golden_files import close, read_golden
from helpers.paths import GOLDEN

FOLDER = GOLDEN / "finetune"
SCHEDULES = json.loads((FOLDER / "schedules.json").read_text())


def group(params, decay):
    return [{"params": params, "weight_decay": decay}]


OPTIMIZERS = {
    "lars_mae.wd0": lambda p: LARS(group(p, 0.0), 0.0),
    "lars_mae.wd0.1": lambda p: LARS(group(p, 0.1), 0.0),
    "lars_evar.wd0": lambda p: LARS(group(p, 0.0), 0.0, form="library"),
    "lars_timm.wd0.01": lambda p: LARS(group(p, 0.01), 0.0, form="library"),
    "lars_timm.always_adapt": lambda p: LARS(group(p, 0.0), 0.0, form="library", always_adapt=True),
    "lars_timm.trust_clip": lambda p: LARS(group(p, 0.01), 0.0, form="library", trust_clip=True),
    "sgd_evar": lambda p: make_optimizer(group(p, 0.0), "sgd", 0.0),
    "adamw_evar": lambda p: make_optimizer(group(p, 1e-4), "adamw", 0.0, (0.9, 0.95), amsgrad=True),
    "lamb_evar": lambda p: LAMB(group(p, 0.01), 0.0),
    "adam_icbhi": lambda p: make_optimizer(group(p, 1e-4), "adam-l2", 0.0),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_takes_the_published_steps(name):
    tensors, meta = read_golden(FOLDER / "optimizers.safetensors")
    start = {key.removeprefix("p0."): value for key, value in tensors.items() if key.startswith("p0.")}
    parameters = {key: torch.nn.Parameter(value.clone()) for key, value in start.items()}
    optimizer = OPTIMIZERS[name](list(parameters.values()))
    scale = meta["lr_scale_of_optimizer"].get(name, 1.0)
    compared = 0
    for step, rate in enumerate(meta["lr_per_step"]):
        for key, parameter in parameters.items():
            gradient = tensors.get(f"grad.{step}.{key}")
            parameter.grad = None if gradient is None else gradient.clone()
        for part in optimizer.param_groups:
            part["lr"] = rate * scale
        optimizer.step()
        for key, parameter in parameters.items():
            wanted = tensors.get(f"{name}.{step}.{key}")
            if wanted is not None:
                close(parameter, wanted, 1e-6)
                compared += 1
    assert compared >= 20


def test_lars_of_the_library_without_decay_is_sgd():
    tensors, _ = read_golden(FOLDER / "optimizers.safetensors")
    steps = [name for name in tensors if name.startswith("lars_evar.wd0.")]
    assert steps
    for name in steps:
        close(tensors[name], tensors[name.replace("lars_evar.wd0", "sgd_evar")], 0.0)


@pytest.mark.parametrize("case", SCHEDULES["finetune"], ids=lambda case: f"{case['epochs']}-{case['warmup_epochs']}")
def test_evars_rate_lags_a_step_behind_its_cosine(case):
    settings = case["iterations_per_epoch"], case["lr"], case["warmup_epochs"], case["epochs"]
    for step, rate in enumerate(case["lr_used_at_step"]):
        assert evar_cosine(step, *settings) == pytest.approx(rate, abs=1e-9)


@pytest.mark.parametrize("case", SCHEDULES["cosine_annealing"], ids=lambda case: str(case["lr"]))
def test_cosine_annealing_returns_after_two_periods(case):
    for epoch, rate in enumerate(case["lr_of_epoch"]):
        assert cosine_annealing(epoch, case["lr"], case["eta_min"], case["T_max"]) == pytest.approx(rate, abs=1e-9)


def test_ssasts_rate_rises_in_stairs_and_falls_in_steps():
    warmup = [stepped(0, step, 1.0, 5, 1, 0.85, 1000) for step in (0, 49, 50, 999, 1000)]
    assert warmup == pytest.approx([0.0, 0.0, 0.05, 0.95, 1.0])
    epochs = [stepped(epoch, 10**6, 1.0, 10, 5, 0.5, 0) for epoch in (0, 9, 10, 14, 15, 20)]
    assert epochs == pytest.approx([1.0, 1.0, 0.5, 0.5, 0.25, 0.125])


@pytest.mark.parametrize("case", SCHEDULES["mae"], ids=lambda case: f"{case['epochs']}-{case['accum_iter']}")
def test_maes_rate_is_set_at_the_start_of_an_accumulation_group(case):
    per_epoch, accum = case["iterations_per_epoch"], case["accum_iter"]
    for micro_step, rates in enumerate(case["lr_in_effect_per_micro_batch"]):
        epoch, inside = divmod(micro_step, per_epoch)
        now = epoch + inside // accum * accum / per_epoch
        rate = cosine_with_warmup(now, case["lr"], case["min_lr"], case["warmup_epochs"], case["epochs"])
        for scale, wanted in zip(case["lr_scales"], rates):
            assert rate * (1.0 if scale is None else scale) == pytest.approx(wanted, abs=1e-9)


def efficientat_cases():
    path = GOLDEN / "efficientat" / "schedules.json"
    factors = json.loads(path.read_text())["lr_factor"] if path.is_file() else {}
    return list(factors.items())


@pytest.mark.parametrize(("name", "case"), efficientat_cases())
def test_efficientats_rate_warms_up_exponentially_and_falls_linearly(name, case):
    settings = case["last_lr_value"], case["warm_up_len"], case["ramp_down_start"], case["ramp_down_len"]
    for epoch, factor in enumerate(case["factor_by_epoch"]):
        assert exponential_linear(epoch, 1.0, *settings) == pytest.approx(factor, rel=1e-12)
