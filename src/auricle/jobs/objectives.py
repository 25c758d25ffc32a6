"""From settings to an objective with fresh, keyed weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

from auricle.jobs.methods import M2DPretrain, PretrainConfig

if TYPE_CHECKING:
    from auricle.jobs.training_data import TrainingData
    from auricle.objectives.base import Objective
    from auricle.objectives.m2d import M2D


def build_objective(config: PretrainConfig, data: TrainingData) -> Objective:
    """The objective of ``config.method``; ``data`` says the statistics, and the classes or widths of targets."""
    return BUILDERS[config.method](config, data)


def _m2d(config: PretrainConfig, data: TrainingData) -> M2D:
    from auricle.objectives.m2d import M2D

    config = cast(M2DPretrain, config)
    objective = M2D(
        config.model,
        config.predictor,
        config.objective,
        stats=data.statistics,
        seed=config.train.seed,
        name=Path(config.out).name,
    )
    for stack in (objective.online.transformer, objective.predictor.transformer):
        stack.recompute = config.train.checkpoint_activations
    return objective


BUILDERS = {"m2d": _m2d}
