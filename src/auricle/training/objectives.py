"""From settings to an objective with fresh, keyed weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from auricle.data.datasets.speech import SpeechPairs
from auricle.methods.settings import M2DXPretrain, MAEASTPretrain, PretrainConfig

if TYPE_CHECKING:
    from auricle.methods.base import Objective
    from auricle.methods.m2d.masked import MaskedObjective
    from auricle.methods.m2d.objective import M2D, M2DD2V
    from auricle.methods.m2d.variants import M2DAS, M2DS, M2DX
    from auricle.methods.mae_ast.objective import MAEAST
    from auricle.methods.msm_mae.objective import MsmMae
    from auricle.models.base import Encoder
    from auricle.training.data import TrainingData

    Kind = TypeVar("Kind", bound=MaskedObjective)


def build_objective(config: PretrainConfig, data: TrainingData) -> Objective:
    """The objective of ``config.method``; ``data`` says the statistics, and the classes or widths of targets."""
    return BUILDERS[config.method](config, data)


def _masked(kind: type[Kind], config: Any, data: TrainingData, *others: Any, **options: Any) -> Kind:
    """What the M2D family shares; ``others`` and ``options`` are what one of it needs besides."""
    objective = kind(
        config.model,
        config.predictor,
        config.objective,
        *others,
        stats=data.statistics,
        seed=config.train.seed,
        name=Path(config.out).name,
        **options,
    )
    for stack in (objective.online.transformer, objective.predictor.transformer):
        stack.recompute = config.train.checkpoint_activations
    return objective


def _m2d(config: PretrainConfig, data: TrainingData) -> M2D:
    from auricle.methods.m2d.objective import M2D

    return _masked(M2D, config, data)


def _m2d_d2v(config: PretrainConfig, data: TrainingData) -> M2DD2V:
    from auricle.methods.m2d.objective import M2DD2V

    return _masked(M2DD2V, config, data)


def _m2d_x(config: PretrainConfig, data: TrainingData) -> M2DX:
    from auricle.methods.m2d.variants import M2DX

    return _masked(M2DX, config, data, _teacher(cast(M2DXPretrain, config)), features=_target_width(data))


def _m2d_as(config: PretrainConfig, data: TrainingData) -> M2DAS:
    from auricle.methods.m2d.variants import M2DAS

    labels = data.dataset.labels
    assert labels is not None
    return _masked(M2DAS, config, data, len(labels.index))


def _m2d_s(config: PretrainConfig, data: TrainingData) -> M2DS:
    from auricle.methods.m2d.variants import M2DS

    return _masked(M2DS, config, data, _target_width(data))


def _msm_mae(config: PretrainConfig, data: TrainingData) -> MsmMae:
    from auricle.methods.msm_mae.objective import MsmMae

    return _masked(MsmMae, config, data)


def _mae_ast(config: PretrainConfig, data: TrainingData) -> MAEAST:
    from auricle.methods.mae_ast.objective import MAEAST

    config = cast(MAEASTPretrain, config)
    objective = MAEAST(config.model, config.objective, seed=config.train.seed, name=Path(config.out).name)
    for stack in (objective.online.encoder, objective.online.decoder):
        stack.recompute = config.train.checkpoint_activations
    return objective


def _teacher(config: M2DXPretrain) -> Encoder | None:
    """The encoder that ``--teacher`` names; None where features are stored, or nothing is named."""
    from auricle.hub.load import load

    name = config.resume if config.teacher == "self" else config.teacher
    return None if name in ("", "stored") else load(name)


def _target_width(data: TrainingData) -> int:
    """Width of the stored features; 0 where there are none."""
    return data.dataset.target_width if isinstance(data.dataset, SpeechPairs) else 0


BUILDERS: dict[str, Callable[[PretrainConfig, TrainingData], Objective]] = {
    "m2d": _m2d,
    "m2d-x": _m2d_x,
    "m2d-as": _m2d_as,
    "m2d-s": _m2d_s,
    "m2d-d2v": _m2d_d2v,
    "msm-mae": _msm_mae,
    "mae-ast": _mae_ast,
}
