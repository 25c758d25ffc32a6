"""Layer-wise decay of the rate gives every parameter the published rate and weight decay."""

from __future__ import annotations

import json

import pytest

from auricle.methods.supervised.config import LearningConfig
from auricle.methods.supervised.parameters import param_groups
from auricle.models.m2d.config import M2DHeadConfig, ViTConfig
from auricle.models.m2d.encoder import M2DEncoder
from helpers.paths import GOLDEN

CASES = json.loads((GOLDEN / "finetune" / "layer_decay.json").read_text())
PUBLISHED_NAMES = {"transformer.": "", "head.linear.": "head."}


def published_name(name):
    for ours, theirs in PUBLISHED_NAMES.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    return name


def network(depth):
    return M2DEncoder(ViTConfig("80x64", embed_dim=24, depth=depth, num_heads=2), head=M2DHeadConfig(5, "tokens"))


def rates(encoder, case):
    """(rate as a share of the peak, weight decay) of every parameter that is trained."""
    settings = case["arguments"]
    config = LearningConfig(layer_decay=settings["layer_decay"], no_decay=tuple(settings["no_weight_decay_list"]))
    names = {id(parameter): published_name(name) for name, parameter in encoder.named_parameters()}
    return {
        names[id(parameter)]: (group["lr_scale"], group["weight_decay"])
        for group in param_groups(encoder, config, 1.0, settings["weight_decay"])
        for parameter in group["params"]
    }


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("m2d")])
def test_every_parameter_has_the_published_rate_and_decay(name):
    case, encoder = CASES[name], network(depth=3)
    if "freeze_embed" in name:
        encoder.freeze_embed()
    wanted = {
        parameter: (group["lr_scale"], group["weight_decay"])
        for group in case["groups"]
        for parameter in group["params"]
    }
    got = rates(encoder, case)
    assert got.keys() == wanted.keys()
    for parameter, values in wanted.items():
        assert got[parameter] == pytest.approx(values, abs=1e-12)


def test_a_network_of_twelve_blocks_has_thirteen_rates():
    case = CASES["mae_vit_global_pool"]
    got = sorted({scale for scale, _ in rates(network(depth=12), case).values()})
    assert got == pytest.approx(sorted({group["lr_scale"] for group in case["groups"]}), abs=1e-12)
