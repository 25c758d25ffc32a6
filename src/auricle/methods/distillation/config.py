"""Settings of distillation. PyTorch is not imported here."""

from __future__ import annotations

from dataclasses import dataclass

from auricle.core.errors import AuricleError
from auricle.core.options import check_choices, check_ranges, option
from auricle.methods.config import NONE, TrainConfig
from auricle.methods.supervised.config import FinetuneConfig

FEATURES = ("none", "clip", "frames")


@dataclass(frozen=True)
class TeacherConfig:
    """What teaches, and how the losses are weighted."""

    teacher: tuple[str, ...] = option(
        (),
        "models that teach: published names, weight files or run folders (the logits of several are averaged); or a store of "
        "auricle prepare teacher",
        advanced=False,
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
    logits: bool = option(True, "learn the teacher's logits", flag="teacher_logits")
    features: str = option(
        "none",
        "learn the teacher's features too, through a linear layer: the clip embedding, or frames aligned in time",
        choices=FEATURES,
        advanced=False,
    )
    feature_layers: tuple[int, ...] = option((), "0-based blocks of the teacher whose frames are learnt too")
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
