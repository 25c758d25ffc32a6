"""The contenders of the small-scale comparison, and the settings that were searched. Names are what the tables call them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from auricle.methods.msm_mae.config import SMALL_PREDICTOR, SMALL_TRAINING, SMALL_VIT

BATCH = 96  # clips of an update, in which the budget is counted
CROP = 0.96  # seconds: 96 frames of 10 ms
VIT, PREDICTOR, TRAIN = SMALL_VIT, SMALL_PREDICTOR, {**SMALL_TRAINING, "batch_size": BATCH}
EMA = {"ema_decay_init": 0.99, "ema_decay": 0.999}
CENTRED = {"centring": "position-clip"}
MAE_AST = dict(
    embed_dim=192, depth=6, num_heads=6, ffn_dim=768, decoder_embed_dim=192, decoder_depth=2, encoder_layerdrop=0.0, dropout=0.0,
    attention_dropout=0.0, dropout_input=0.0, batch_size=96, max_tokens=96 * 15760, max_sample_size=15760,
    max_seconds=0.985, min_sample_size=0, lr=5e-4, workers=0, log_interval=10, health_interval=50, validate_interval=0,
    validate_interval_updates=0, save_interval_updates=0,
)  # fmt: skip


@dataclass(frozen=True)
class Contender:
    """method and flags of ``auricle pretrain``; ``start``: the contender that the first half of the budget goes to, whose run is
    then gone on from and is the teacher (M2D-X)."""

    method: str
    flags: dict[str, Any] = field(default_factory=dict)
    start: str = ""


OFTEN = {"batch_size": 24}  # four times the updates
EVEN = {"by_length": True}  # or two thirds of the sound and nine tenths of the crops are digits
MSM_MAE = {**VIT, **PREDICTOR, **TRAIN}
MSM_MAE_NORM = {**MSM_MAE, "norm_targets": True}
M2D = {**VIT, **PREDICTOR, **TRAIN, **EMA}
CONTENDERS = {
    "m2d": Contender("m2d", M2D),
    "m2d-centred": Contender("m2d", {**M2D, **CENTRED}),
    "m2d-position": Contender("m2d", {**M2D, "centring": "position"}),
    "m2d-clip": Contender("m2d", {**M2D, "centring": "clip"}),
    "m2d-centred-slow": Contender("m2d", {**M2D, **CENTRED, "ema_decay_init": 0.999}),
    "m2d-centred-fast": Contender("m2d", {**M2D, **CENTRED, "ema_decay": 0.99}),
    "m2d-centred-half": Contender("m2d", {**M2D, **CENTRED, "mask_ratio": 0.5}),
    "m2d-centred-layers": Contender("m2d", {**M2D, **CENTRED, "target_layers": (2, 3, 4, 5)}),
    "m2d-centred-deep": Contender("m2d", {**M2D, **CENTRED, "decoder_depth": 4}),
    "m2d-centred-columns": Contender("m2d", {**M2D, **CENTRED, "patch_size": "80x4"}),
    "m2d-centred-lr": Contender("m2d", {**M2D, **CENTRED, "lr": 1e-3}),
    "m2d-hybrid": Contender("m2d", {**M2D, **CENTRED, "reconstruct": 1.0}),
    "m2d-rebuild": Contender("m2d", {**M2D, "reconstruct": 1.0}),
    "m2d-x": Contender("m2d-x", {**M2D, "noise_ratio": 0.0}, start="m2d"),
    "m2d-d2v": Contender("m2d-d2v", M2D),
    "m2d-d2v-centred": Contender("m2d-d2v", {**M2D, **CENTRED}),
    "msm-mae": Contender("msm-mae", MSM_MAE),
    "msm-mae-norm": Contender("msm-mae", MSM_MAE_NORM),
    "msm-mae-lr": Contender("msm-mae", {**MSM_MAE, "lr": 1e-3}),
    "msm-mae-half": Contender("msm-mae", {**MSM_MAE, "mask_ratio": 0.5}),
    "msm-mae-most": Contender("msm-mae", {**MSM_MAE, "mask_ratio": 0.85}),
    "msm-mae-fine": Contender("msm-mae", {**MSM_MAE, "patch_size": "16x4"}),
    "msm-mae-columns": Contender("msm-mae", {**MSM_MAE, "patch_size": "80x4"}),
    "msm-mae-loud": Contender("msm-mae", {**MSM_MAE, "crop": "loud"}),
    "m2d-centred-loud": Contender("m2d", {**M2D, **CENTRED, "crop": "loud"}),
    "msm-mae-jitter": Contender("msm-mae", {**MSM_MAE, "jitter": 5.0}),
    "m2d-centred-jitter": Contender("m2d", {**M2D, **CENTRED, "jitter": 5.0}),
    "m2d-hybrid-jitter": Contender("m2d", {**M2D, **CENTRED, "reconstruct": 1.0, "jitter": 5.0}),
    "msm-mae-norm-columns": Contender("msm-mae", {**MSM_MAE_NORM, "patch_size": "80x4"}),
    "msm-mae-norm-fine": Contender("msm-mae", {**MSM_MAE_NORM, "patch_size": "16x4"}),
    "msm-mae-norm-half": Contender("msm-mae", {**MSM_MAE_NORM, "mask_ratio": 0.5}),
    "msm-mae-norm-loud": Contender("msm-mae", {**MSM_MAE_NORM, "crop": "loud"}),
    "msm-mae-norm-even": Contender("msm-mae", {**MSM_MAE_NORM, **EVEN}),
    "msm-mae-norm-columns-even": Contender("msm-mae", {**MSM_MAE_NORM, **EVEN, "patch_size": "80x4"}),
    "msm-mae-norm-fine-even": Contender("msm-mae", {**MSM_MAE_NORM, **EVEN, "patch_size": "16x4"}),
    "msm-mae-norm-tall-even": Contender("msm-mae", {**MSM_MAE_NORM, **EVEN, "patch_size": "40x4"}),
    "msm-mae-norm-often-even": Contender("msm-mae", {**MSM_MAE_NORM, **OFTEN, **EVEN}),
    "msm-mae-norm-tall-often": Contender("msm-mae", {**MSM_MAE_NORM, **OFTEN, "patch_size": "40x4"}),
    "msm-mae-norm-columns-often": Contender("msm-mae", {**MSM_MAE_NORM, **OFTEN, "patch_size": "80x4"}),
    "msm-mae-norm-columns-often-even": Contender("msm-mae", {**MSM_MAE_NORM, **OFTEN, **EVEN, "patch_size": "80x4"}),
    "msm-mae-norm-lr": Contender("msm-mae", {**MSM_MAE_NORM, "lr": 1e-3}),
    "msm-mae-norm-often": Contender("msm-mae", {**MSM_MAE_NORM, **OFTEN}),
    "msm-mae-often": Contender("msm-mae", {**MSM_MAE, **OFTEN}),
    "m2d-often": Contender("m2d", {**M2D, **OFTEN}),
    "m2d-centred-often": Contender("m2d", {**M2D, **CENTRED, **OFTEN}),
    "m2d-x-often": Contender("m2d-x", {**M2D, **OFTEN, "noise_ratio": 0.0}, start="m2d-often"),
    "m2d-d2v-often": Contender("m2d-d2v", {**M2D, **OFTEN}),
    "mae-ast-patch-often": Contender("mae-ast", {**MAE_AST, "patch_size": "16x16", **OFTEN, "max_tokens": 24 * 15760}),
    "mae-ast-frame-often": Contender("mae-ast", {**MAE_AST, "patch_size": "128x2", **OFTEN, "max_tokens": 24 * 15760}),
    "msm-mae-norm-jitter": Contender("msm-mae", {**MSM_MAE_NORM, "jitter": 5.0}),
    "mae-ast-patch": Contender("mae-ast", {**MAE_AST, "patch_size": "16x16"}),
    "mae-ast-frame": Contender("mae-ast", {**MAE_AST, "patch_size": "128x2"}),
}
