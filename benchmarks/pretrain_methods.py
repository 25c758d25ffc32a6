"""The methods of ``benchmarks.pretrain_step --method``: each as the plain program and as ours, from the same weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from auricle.hub.convert.m2d import encoder_part, to_ours
from auricle.methods.m2d.config import M2DConfig, M2DSConfig, M2DXConfig
from auricle.methods.m2d.objective import M2D, MaskedObjective
from auricle.methods.m2d.variants import M2DS, M2DX
from auricle.methods.msm_mae.config import MsmMaeConfig
from auricle.methods.msm_mae.objective import MsmMae
from auricle.models.m2d.config import PredictorConfig, ViTConfig, parse_size
from auricle.models.m2d.encoder import M2DEncoder
from benchmarks.plain import m2d_family_plain, m2d_plain

FEATURES = 768  # of HuBERT-base, one every 20 ms ([m2d 5.8](docs/specification/m2d.md#s5-8))
FEATURE_FRAMES = 2
STATS = (0.0, 1.0)  # the inputs are normalised already


@dataclass(frozen=True)
class Method:
    """input_size and patch_size are the published defaults; plain(model) and ours(model, plain) build the networks."""

    input_size: str
    patch_size: str
    plain: Callable[[ViTConfig], nn.Module]
    ours: Callable[[ViTConfig, nn.Module], MaskedObjective]
    features: bool = False


def sizes(model: ViTConfig) -> tuple[tuple[int, int], tuple[int, int]]:
    return parse_size(model.input_size), parse_size(model.patch_size)


def plain_teacher(model: ViTConfig) -> nn.Module:
    """A frozen plain encoder, without what only training needs."""
    teacher = m2d_plain.M2D(*sizes(model), decoder_embed_dim=4, decoder_depth=0, decoder_num_heads=1)
    del teacher.target_blocks, teacher.target_norm
    return teacher.requires_grad_(False)


def our_teacher(model: ViTConfig, teacher: nn.Module) -> M2DEncoder:
    encoder = M2DEncoder(model, stats=STATS)
    own = encoder_part(to_ours(teacher.state_dict()))
    encoder.load_state_dict({**own, "norm_stats": encoder.norm_stats})
    return encoder


def plain_m2d_x(model: ViTConfig) -> nn.Module:
    teacher = plain_teacher(model)
    return m2d_family_plain.M2DX(*sizes(model), off_emb_dim=model.grid[0] * model.width, teacher=teacher)


def our_m2d_x(model: ViTConfig, plain: nn.Module) -> MaskedObjective:
    teacher = our_teacher(model, plain.teacher[0])  # type: ignore[index]
    return M2DX(model, PredictorConfig(), M2DXConfig(), teacher, stats=STATS)


def plain_m2d_s(model: ViTConfig) -> nn.Module:
    config = M2DSConfig()
    weights = {"loss_off": config.loss_off, "mask_ratio": config.mask_ratio}
    return m2d_family_plain.M2DS(*sizes(model), off_emb_dim=FEATURES, **weights)


METHODS = {
    "m2d": Method(
        "80x608",
        "16x16",
        lambda model: m2d_plain.M2D(*sizes(model)),
        lambda model, plain: M2D(model, PredictorConfig(), M2DConfig(), stats=STATS),
    ),
    "m2d-x": Method("80x608", "16x16", plain_m2d_x, our_m2d_x),
    "m2d-s": Method(
        "80x208",
        "80x4",
        plain_m2d_s,
        lambda model, plain: M2DS(model, PredictorConfig(), M2DSConfig(), FEATURES, stats=STATS),
        features=True,
    ),
    "msm-mae": Method(
        "80x208",
        "16x16",
        lambda model: m2d_family_plain.MSMMAE(*sizes(model)),
        lambda model, plain: MsmMae(model, PredictorConfig(384, 4, 6), MsmMaeConfig(), stats=STATS),
    ),
}


def features_of(model: ViTConfig, clips: int, step: int) -> torch.Tensor:
    """(B, T', D) stored features of a step, random."""
    generator = torch.Generator().manual_seed(10_000 + step)
    frames = model.grid[1] * parse_size(model.patch_size)[1]
    return torch.randn(clips, frames // FEATURE_FRAMES, FEATURES, generator=generator)
