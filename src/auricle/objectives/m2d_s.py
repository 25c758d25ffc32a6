"""M2D-S (specification m2d 4.5): M2D on speech, and stored features of a speech model, of the clean recording.

With background noise in the input this is denoising distillation: what was said is predicted from the mixture.
"""

from __future__ import annotations

from typing import Any

from auricle.models.config import PredictorConfig, ViTConfig
from auricle.models.init import linear_rule
from auricle.objectives.config import M2DSConfig
from auricle.objectives.m2d_x import M2DX


class M2DS(M2DX):
    """M2D-X with stored targets, and a head that starts from the framework's own initialisation (specification m2d 2.5)."""

    def __init__(self, model: ViTConfig, predictor: PredictorConfig, config: M2DSConfig, features: int, **options: Any):
        super().__init__(model, predictor, config, features=features, rule=linear_rule, **options)
