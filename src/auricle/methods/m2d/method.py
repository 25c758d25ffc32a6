"""M2D and its variants as methods: how each objective is built from its settings, and which data it reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from auricle.methods.config import Method
from auricle.methods.m2d.config import M2DASPretrain, M2DPretrain, M2DSPretrain, M2DXPretrain, ViTPretrain

if TYPE_CHECKING:
    from auricle.methods.data import Processes, TrainingData
    from auricle.methods.m2d.masked import MaskedObjective
    from auricle.models.base import Encoder

    Kind = TypeVar("Kind", bound=MaskedObjective)


def open_data(config: ViTPretrain, processes: Processes) -> TrainingData:
    """Open stored spectrograms, or audio whose spectrograms are made during training."""
    from auricle.methods.m2d.data import open_clips

    return open_clips(config, processes)


def build_masked(kind: type[Kind], config: Any, data: TrainingData, *more: Any, **options: Any) -> Kind:
    """Build an objective of the M2D family; ``more`` and ``options`` are what one of them takes in addition."""
    objective = kind(
        config.model,
        config.predictor,
        config.objective,
        *more,
        stats=data.statistics,
        seed=config.train.seed,
        name=Path(config.out or config.method).name,
        **options,
    )
    objective.feature_eval_freq = config.feature_eval_freq
    for stack in (objective.online.transformer, objective.predictor.transformer):
        stack.recompute = config.train.checkpoint_activations
    return objective


def build_m2d(config: M2DPretrain, data: TrainingData) -> MaskedObjective:
    from auricle.methods.m2d import objective

    return build_masked(objective.M2D, config, data)


def build_m2d_d2v(config: M2DPretrain, data: TrainingData) -> MaskedObjective:
    from auricle.methods.m2d import objective

    return build_masked(objective.M2DD2V, config, data)


def build_m2d_x(config: M2DXPretrain, data: TrainingData) -> MaskedObjective:
    from auricle.methods.m2d import variants

    return build_masked(variants.M2DX, config, data, load_teacher(config), features=stored_feature_dim(data))


def build_m2d_as(config: M2DASPretrain, data: TrainingData) -> MaskedObjective:
    from auricle.methods.m2d import variants

    labels = data.dataset.labels
    assert labels is not None
    return build_masked(variants.M2DAS, config, data, len(labels.index))


def build_m2d_s(config: M2DSPretrain, data: TrainingData) -> MaskedObjective:
    from auricle.methods.m2d import variants

    return build_masked(variants.M2DS, config, data, stored_feature_dim(data))


def load_teacher(config: M2DXPretrain) -> Encoder | None:
    """Load the encoder that ``--teacher`` names; None where its features are stored, or none is named."""
    from auricle.hub.load import load

    name = config.resume if config.teacher == "self" else config.teacher
    return None if name is None or name == "stored" else load(name)


def stored_feature_dim(data: TrainingData) -> int:
    """Return the dimension of the stored features; 0 where there are none."""
    from auricle.data.datasets.speech import SpeechPairs

    return data.dataset.target_width if isinstance(data.dataset, SpeechPairs) else 0


M2D = Method(M2DPretrain, build_m2d, open_data)
M2D_D2V = Method(M2DPretrain, build_m2d_d2v, open_data)
M2D_X = Method(M2DXPretrain, build_m2d_x, open_data)
M2D_AS = Method(M2DASPretrain, build_m2d_as, open_data)
M2D_S = Method(M2DSPretrain, build_m2d_s, open_data)
