"""Distillation as a method: its settings, how its objective is built from them, and which data it reads. PyTorch is
imported when it is built.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.core.errors import AuricleError
from auricle.core.options import check_choices, check_ranges, option
from auricle.methods.config import NONE, Method, Preset, TrainConfig
from auricle.methods.supervised.config import FinetuneConfig
from auricle.methods.supervised.detector_config import NoDetector
from auricle.methods.supervised.recipes.efficientat import EFFICIENTAT, MIXED

if TYPE_CHECKING:
    from auricle.methods.data import Processes, TrainingData
    from auricle.methods.distillation.objective import Distillation


FEATURES = ("none", "clip", "frames")
TEACHER_LOSSES = ("auto", "bce", "cross-entropy")


@dataclass(frozen=True)
class TeacherConfig:
    """What teaches, and how the losses are weighted."""

    teacher: tuple[str, ...] = option(
        (),
        "models that teach: published names, weight files or run folders (the logits of several are averaged); or a store of "
        "auricle prepare teacher",
        advanced=False,
    )
    teacher_head: tuple[str, ...] = option(
        (),
        "of teachers with several heads, the one that is learnt, a name for each teacher; none: the classes of all heads",
    )
    teacher_weights: tuple[str, ...] = option((), "local files of the published names of --teacher, in their order")
    teacher_predictions: str | None = option(
        None,
        "stored logits instead of a live teacher: .npy of shape (clips, classes), or a store of auricle prepare teacher",
        special=NONE,
    )
    teacher_index: str | None = option(
        None, "which row of --teacher-predictions a clip has: JSON or pickle of id -> row", special=NONE
    )
    published_missing: bool = option(
        False,
        "of a mixture with a clip that has no stored answer, learn the last row of the table in its place, as EfficientAT's "
        "program; else this part of the loss is left out",
    )
    kd_lambda: float = option(
        0.1,
        "weight of the label loss; the teacher's loss has 1 - kd_lambda. Without usable labels it is 0",
    )
    teacher_temperature: float = option(1.0, "the teacher's logits are divided by it")
    teacher_loss: str = option(
        "auto",
        "loss of the teacher's logits: bce against their sigmoids, as published; cross-entropy against their softmax; auto: by "
        "whether the teacher's classes exclude each other (multiclass: cross-entropy)",
        choices=TEACHER_LOSSES,
    )
    logits: bool = option(True, "learn the teacher's logits", flag="teacher_logits")
    features: str = option(
        "none",
        "learn the teacher's features too, through a linear layer: the clip embedding, or frames aligned in time",
        choices=FEATURES,
        advanced=False,
    )
    feature_layers: tuple[int, ...] = option(
        (),
        "0-based blocks of a live teacher that are learnt too: their frames, or with --features clip the mean over these",
    )
    standardise: bool = option(
        False,
        "standardise each value of the teacher's features by its mean and standard deviation over the clips so far: the student "
        "then learns what tells clips apart, not what they have in common",
        flag="standardise_features",
    )
    feature_weight: float = option(1.0, "weight of the loss of the features")
    use_labels: bool = option(True, "learn labels too, where they are classes of the teacher")

    def __post_init__(self) -> None:
        check_choices(self)
        check_ranges(self, ("feature_weight",), 0)
        if not 0 <= self.kd_lambda <= 1:
            raise AuricleError(f"--kd-lambda is a share from 0 to 1, not {self.kd_lambda}")
        if self.teacher_temperature <= 0:
            raise AuricleError(f"--teacher-temperature must be above 0, not {self.teacher_temperature}")
        if self.teacher and self.teacher_predictions:
            raise AuricleError("name a live --teacher or stored --teacher-predictions, not both")
        if not self.teacher and not self.teacher_predictions:
            raise AuricleError(
                "name a teacher: --teacher mn10_as (a published name, file or run), or --teacher-predictions FILE"
            )
        if self.teacher_weights and len(self.teacher_weights) != len(self.teacher):
            raise AuricleError("--teacher-weights names one file for each --teacher")
        if self.features == "none" and (self.feature_layers or self.standardise):
            option = "--feature-layers" if self.feature_layers else "--standardise-features"
            raise AuricleError(f"{option} is about the teacher's features; name them with --features clip or frames")
        if not self.logits and self.features == "none":
            raise AuricleError("without --teacher-logits something else must be learnt: --features clip or frames")
        if (self.teacher_predictions or "").endswith(".npy") and self.features != "none":
            raise AuricleError(
                "a table of predictions holds logits only; features need a live --teacher or a store of auricle prepare teacher"
            )


def _training() -> TrainConfig:
    return TrainConfig(
        epochs=50,
        batch_size=32,
        optim="adamw",
        betas=(0.9, 0.999),
        lr=1e-3,
        warmup_epochs=5.0,
        weight_decay=0.0001,
        eval_freq=None,
        log_interval=10,
    )


@dataclass(frozen=True)
class DistillConfig(FinetuneConfig):
    """Learning from a teacher."""

    model: str = option(
        "mn01_as", "network that learns: a published name, a weight file, or a run folder", advanced=False
    )
    initial: str = option(
        "random", "weights to start from; random: newly drawn", choices=("weights", "random"), advanced=True
    )
    weights: str | None = option(None, "a local file of that published name", special=NONE, advanced=True)
    detector: NoDetector = option(factory=NoDetector)  # type: ignore[assignment]
    train: TrainConfig = option(factory=_training, group="training", advanced=True)
    distillation: TeacherConfig = option(
        factory=lambda: TeacherConfig(teacher=("mn04_as",)), group="teacher", advanced=True
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.data.level == "frames":
            raise AuricleError(
                "--level frames is an option of auricle finetune; distill learns labels of whole clips, and with "
                "--features frames the teacher's frames"
            )


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
