"""Distillation as a method: how its objective is built from its settings, and which data it reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from auricle.methods.config import Method
from auricle.methods.distillation.config import DistillConfig

if TYPE_CHECKING:
    from auricle.methods.data import Processes, TrainingData
    from auricle.methods.distillation.objective import Distillation


def open_data(config: DistillConfig, processes: Processes) -> TrainingData:
    """Open recordings, with labels where they are classes of the teacher, and the encoder that learns."""
    from auricle.methods.distillation.data import open_distillation

    return open_distillation(config, processes)


def build_distillation(config: DistillConfig, data: TrainingData) -> Distillation:
    from auricle.methods.distillation.data import DistillationData
    from auricle.methods.distillation.objective import Distillation
    from auricle.methods.supervised.data import class_weights
    from auricle.methods.supervised.head import encoder_with_head

    assert isinstance(data, DistillationData)
    assert data.teacher is not None
    encoder = encoder_with_head(data, config)
    encoder.update_info(name=Path(config.out or config.method).name)
    return Distillation(
        encoder,
        data.teacher,
        config.distillation,
        config.learning,
        config.augment,
        lr=config.train.peak_lr(data.processes.world),
        with_labels=data.dataset.labels is not None,
        class_weights=class_weights(data, config),
        seed=config.train.seed,
    )


DISTILLATION = Method(DistillConfig, build_distillation, open_data, verb="distill")
