"""MSM-MAE as a method. It reads the data of the M2D family."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auricle.methods.config import Method
from auricle.methods.m2d.method import build_masked, open_data
from auricle.methods.msm_mae.config import MsmMaePretrain
from auricle.methods.msm_mae.presets import PRESETS

if TYPE_CHECKING:
    from auricle.methods.data import TrainingData
    from auricle.methods.msm_mae.objective import MsmMae


def build_msm_mae(config: MsmMaePretrain, data: TrainingData) -> MsmMae:
    from auricle.methods.msm_mae.objective import MsmMae

    return build_masked(MsmMae, config, data)


MSM_MAE = Method(MsmMaePretrain, build_msm_mae, open_data, PRESETS)
