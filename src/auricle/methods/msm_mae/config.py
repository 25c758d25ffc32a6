"""Settings of MSM-MAE. PyTorch is not imported here."""

from __future__ import annotations

from dataclasses import dataclass

from auricle.core.options import option
from auricle.methods.config import TrainConfig
from auricle.methods.m2d.config import MaskConfig, ViTPretrain
from auricle.models.m2d.config import PredictorConfig, ViTConfig


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
