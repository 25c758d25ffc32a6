"""Recipes hold what the published programs set."""

from __future__ import annotations

import json

import pytest

from auricle.core.options import with_values
from auricle.methods.distillation.config import DistillConfig
from auricle.methods.registry import METHODS, preset_values
from auricle.methods.supervised.config import FinetuneConfig
from auricle.methods.supervised.recipes import RECIPES
from auricle.training.schedules import exponential_linear
from helpers.paths import SHARED

SCHEDULES = SHARED / "golden" / "efficientat_training" / "lr_schedules.json"
PROGRAMS = {
    "efficientat-esc50": ("gen24", "ex_esc50.py"),
    "efficientat-fsd50k": ("gen24", "ex_fsd50k.py"),
    "efficientat-dcase20": ("gen24", "ex_dcase20.py"),
    "efficientat-openmic": ("gen24", "ex_openmic.py"),
    "efficientat-2023-esc50": ("gen23", "ex_esc50.py"),
    "efficientat-2023-fsd50k": ("gen23", "ex_fsd50k.py"),
    "efficientat-2023-dcase20": ("gen23", "ex_dcase20.py"),
    "efficientat-audioset": ("gen24", "ex_audioset.py"),
}


def settings(name):
    method = next(method for method, entry in METHODS.items() if name in entry.presets)
    made = DistillConfig(method, "d") if method == "distillation" else FinetuneConfig(method, "d")
    return with_values(made, preset_values(method, name))


@pytest.mark.parametrize("name", [*RECIPES, "efficientat-audioset"])
def test_a_recipe_is_a_valid_run_and_names_its_source(name):
    config = settings(name)
    assert config.train.lr
    preset = next(entry.presets[name] for entry in METHODS.values() if name in entry.presets)
    assert "docs/specification/" in preset.source


@pytest.mark.skipif(not SCHEDULES.is_file(), reason="the golden schedules stand beside the project only")
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_rate_of_every_epoch_is_that_of_the_program(name):
    generation, program = PROGRAMS[name]
    case, train = json.loads(SCHEDULES.read_text())[generation][program], settings(name).train
    shape = train.last_lr_ratio, train.warmup_epochs, train.ramp_down_start, train.ramp_down_epochs
    assert len(case["lr_used_in_epoch"]) == train.epochs
    for epoch, rates in enumerate(case["lr_used_in_epoch"]):
        assert exponential_linear(epoch, train.lr, *shape) == pytest.approx(rates[0], rel=1e-12)
