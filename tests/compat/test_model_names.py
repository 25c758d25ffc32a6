"""The published model names: their sizes, and the parameter counts that were published for them."""

from __future__ import annotations

import pytest
import torch

from auricle.compat.m2d.names import FAMILIES, NAMES, factory_of
from auricle.core.options import with_values
from auricle.methods.m2d import config as settings
from auricle.methods.m2d.objective import M2D
from auricle.methods.m2d.variants import M2DAS, M2DS, M2DX
from auricle.methods.msm_mae.config import MsmMaeConfig
from auricle.methods.msm_mae.objective import MsmMae
from auricle.methods.registry import METHODS

COUNTS = [  # [m2d 2.6](docs/specification/m2d.md#s2-6): all tensors, position tables and statistics included
    ("m2d_vit_base", "16x16", lambda *sizes: M2D(*sizes, settings.M2DConfig()), 196_562_946),
    ("m2d_x_vit_base", "16x16", lambda *sizes: M2DX(*sizes, settings.M2DXConfig(), features=3840), 211_312_386),
    ("m2d_as_vit_base", "16x16", lambda *sizes: M2DAS(*sizes, settings.M2DASConfig(), 527), 198_587_153),
    ("m2d_s_vit_base", "80x2", lambda *sizes: M2DS(*sizes, settings.M2DSConfig(), 768), 197_225_730),
    ("msm_mae_vit_base", "16x16", lambda *sizes: MsmMae(*sizes, MsmMaeConfig()), 92_967_042),
]


def settings_of(name, **sizes):
    """What ``auricle pretrain`` makes of a published name."""
    factory = factory_of(name, FAMILIES[name.rsplit("_vit_", 1)[0]].program)
    return with_values(METHODS[factory.method].settings(factory.method, "DATA"), {**factory.settings, **sizes})


def tensors(module: torch.nn.Module) -> int:
    return sum(value.numel() for value in module.state_dict().values())


@pytest.mark.parametrize(("name", "patch", "build", "count"), COUNTS)
def test_published_parameter_counts_are_reproduced(name, patch, build, count):
    made = settings_of(name, input_size="80x608", patch_size=patch)
    with torch.device("meta"):
        objective = build(made.model, made.predictor)
    assert tensors(objective) == count
    if name == "m2d_vit_base":
        assert sum(p.numel() for p in objective.parameters() if p.requires_grad) == 111_262_464
        assert tensors(objective.encoder()) == 85_400_834


def test_sizes_are_those_of_the_table():
    large = settings_of("m2d_as_vit_large").model
    assert (large.embed_dim, large.depth, large.attention_heads) == (1024, 24, 16)
    sizes = [(p.decoder_embed_dim, p.decoder_depth, p.decoder_num_heads) for p in map(predictor, NAMES)]
    assert dict(zip(NAMES, sizes)) == {
        name: (384, 4, 6) if name.startswith("msm_mae") else (512, 8, 16) for name in NAMES
    }


def predictor(name):
    return settings_of(name).predictor
