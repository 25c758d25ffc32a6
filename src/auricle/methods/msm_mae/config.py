"""MSM-MAE as a method: settings, presets, how the objective is built. It reads the data of the M2D family. PyTorch is
imported when it is built.

The preset ``small`` learns from an hour of sound in minutes on two cores. ``benchmarks/small_scale`` measured it and
docs/small-scale.md explains the choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from auricle.core.options import option
from auricle.methods.config import Method, Preset, TrainConfig
from auricle.methods.m2d.config import MaskConfig, ViTPretrain, build_masked, open_data
from auricle.models.m2d.config import PredictorConfig, ViTConfig

if TYPE_CHECKING:
    from auricle.methods.data import TrainingData
    from auricle.methods.msm_mae.objective import MsmMae


@dataclass(frozen=True)
class MsmMaeConfig(MaskConfig):
    """MSM-MAE: reconstruction of the hidden patches; the published defaults ([m2d 4.6](docs/specification/m2d.md#s4-6))."""

    mask_ratio: float = option(0.75, "share of the patches that the encoder does not see")
    norm_targets: bool = option(False, "standardise every patch before comparing", flag="norm_pix_loss")


@dataclass(frozen=True)
class MsmMaePretrain(ViTPretrain):
    """Reconstruction of the hidden patches."""

    train: TrainConfig = option(factory=lambda: TrainConfig(epochs=200, save_freq=50), group="training", advanced=True)
    model: ViTConfig = option(factory=lambda: ViTConfig("80x208"), group="network", advanced=True)
    predictor: PredictorConfig = option(factory=lambda: PredictorConfig(384, 4, 6), group="predictor", advanced=True)
    objective: MsmMaeConfig = option(factory=MsmMaeConfig, group="objective", advanced=True)


# Crops of 0.96 s. Short clips are repeated, because padded silence makes every objective trivial.
SMALL_VIT = {"input_size": "80x96", "patch_size": "16x8", "embed_dim": 192, "depth": 6, "num_heads": 6}
SMALL_PREDICTOR = {"decoder_embed_dim": 128, "decoder_depth": 2, "decoder_num_heads": 4}
SMALL_TRAINING = {
    "batch_size": 24,  # four times the updates of 96 on the same sound: measured to be better
    "min_ds_size": 96,
    "lr": 5e-4,
    "short": "repeat",
    "workers": 0,
    "log_interval": 10,
    "health_interval": 50,
}
SMALL = {
    **SMALL_VIT,
    **SMALL_PREDICTOR,
    **SMALL_TRAINING,
    "norm_targets": True,  # without it the network learns loudness and spectral tilt of the recording
    "max_updates": 6000,
    "warmup_updates": 600,
}

PRESETS = {
    "small": Preset(
        SMALL,
        source="docs/small-scale.md",
        expected="logistic probe, mean of the frames: 80.0 % on ESC-10 (folds 4 and 5), 56.0 % on spoken digits of two "
        "unheard speakers; +3.8 and +13.5 points over the untrained network",
    )
}


def build_msm_mae(config: MsmMaePretrain, data: TrainingData) -> MsmMae:
    from auricle.methods.msm_mae.objective import MsmMae

    return build_masked(MsmMae, config, data)


MSM_MAE = Method(MsmMaePretrain, build_msm_mae, open_data, PRESETS)
