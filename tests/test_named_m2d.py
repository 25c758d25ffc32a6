"""The published model names: their sizes, and the parameter counts that were published for them."""

from __future__ import annotations

import pytest
import torch

from auricle.errors import AuricleError
from auricle.models.named_m2d import NAMES, named_model
from auricle.objectives import config as settings
from auricle.objectives.m2d import M2D
from auricle.objectives.m2d_as import M2DAS
from auricle.objectives.m2d_s import M2DS
from auricle.objectives.m2d_x import M2DX
from auricle.objectives.msm_mae import MsmMae

COUNTS = [  # specification m2d 2.6: all tensors, position tables and statistics included
    ("m2d_vit_base", "16x16", lambda *sizes: M2D(*sizes, settings.M2DConfig()), 196_562_946),
    ("m2d_x_vit_base", "16x16", lambda *sizes: M2DX(*sizes, settings.M2DXConfig(), features=3840), 211_312_386),
    ("m2d_as_vit_base", "16x16", lambda *sizes: M2DAS(*sizes, settings.M2DASConfig(), 527), 198_587_153),
    ("m2d_s_vit_base", "80x2", lambda *sizes: M2DS(*sizes, settings.M2DSConfig(), 768), 197_225_730),
    ("msm_mae_vit_base", "16x16", lambda *sizes: MsmMae(*sizes, settings.MsmMaeConfig()), 92_967_042),
]


def tensors(module: torch.nn.Module) -> int:
    return sum(value.numel() for value in module.state_dict().values())


@pytest.mark.parametrize(("name", "patch", "build", "count"), COUNTS)
def test_published_parameter_counts_are_reproduced(name, patch, build, count):
    named = named_model(name, patch_size=patch)
    with torch.device("meta"):
        objective = build(named.model, named.predictor)
    assert tensors(objective) == count
    if name == "m2d_vit_base":
        assert sum(p.numel() for p in objective.parameters() if p.requires_grad) == 111_262_464
        assert tensors(objective.encoder()) == 85_400_834


def test_sizes_are_those_of_the_table():
    large = named_model("m2d_as_vit_large", input_size="80x1001", sample_rate=32000)
    assert (large.model.width, large.model.depth, large.model.num_heads) == (1024, 24, 16)
    assert (large.model.input_size, large.model.sample_rate, large.method) == ("80x1001", 32000, "m2d-as")
    assert named_model("m2d_s_vit_base", decoder_depth=4).predictor.decoder_depth == 4
    assert named_model("msm_mae_vit_base", decoder_depth=8).predictor.decoder_depth == 4  # forced, as published
    assert named_model("mae_vit_base").predictor.decoder_width == 512
    assert named_model("m2d_x_vit_base_encoder_only").predictor is None


def test_every_name_has_a_method_that_can_be_trained():
    from auricle.jobs.methods import METHODS

    assert {named_model(name).method for name in NAMES} <= METHODS.keys()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("m2d_clap_vit_base", "load as plain encoders"),
        ("m2d_vit_bas", "did you mean m2d_vit_base"),
        ("mae_vit_base_encoder_only", "unknown model"),
        ("m2d_s_vit_large", "unknown model"),
    ],
)
def test_other_names_are_refused_in_words(name, said):
    with pytest.raises(AuricleError, match=said):
        named_model(name)
