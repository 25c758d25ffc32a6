"""Distillation as a method: how its objective is built from its settings, and which data it reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from auricle.methods.config import Method, Preset
from auricle.methods.distillation.config import DistillConfig
from auricle.methods.supervised.recipes.efficientat import EFFICIENTAT, MIXED

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
    from auricle.methods.supervised.data import check_slices, class_weights, scored_groups
    from auricle.methods.supervised.head import encoder_with_head

    assert isinstance(data, DistillationData)
    assert data.teacher is not None
    check_slices(data, config)
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
        groups=scored_groups(data, config) if data.dataset.labels is not None else None,
        seed=config.train.seed,
    )


# [efficientat_training 2](docs/specification/efficientat_training.md#s2)
AUDIOSET = {
    **EFFICIENTAT,
    **MIXED,
    "epochs": 200,
    "lr": 8e-4,
    "batch_size": 120,
    "weight_decay": 0.0,
    "warmup_epochs": 8.0,
    "ramp_down_start": 80.0,
    "ramp_down_epochs": 95.0,
    "sampling": "balanced",
    "epoch_clips": 100_000,
    "crop": "start",
    "kd_lambda": 0.1,
    "published_missing": True,
}
RECIPES = {
    "efficientat-audioset": Preset(
        AUDIOSET,
        "EfficientAT's ex_audioset.py, defaults (docs/specification/efficientat_training.md#s2)",
        "47.1 mAP with mn10 from ImageNet weights and the published teacher",
        generation="2024",
        data="audioset",
    )
}
DISTILLATION = Method(DistillConfig, build_distillation, open_data, RECIPES, verb="distill")
