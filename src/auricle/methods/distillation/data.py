"""The data of distillation: recordings with or without labels, and the teacher."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from auricle.core.errors import AuricleError
from auricle.methods.data import Processes
from auricle.methods.distillation.config import DistillConfig
from auricle.methods.distillation.teachers import Teacher, open_teacher
from auricle.methods.supervised.data import LabelledData, Parts, load_student, open_parts, read_parts
from auricle.models.base import Encoder
from auricle.models.heads import LabelSpace


@dataclass
class DistillationData(LabelledData):
    """Recordings with the encoder that learns and its teacher."""

    teacher: Teacher | None = None


def open_distillation(config: DistillConfig, processes: Processes) -> DistillationData:
    """Open the teacher, the student and the recordings.

    Raises:
        AuricleError: the teacher has no classes and its logits are to be learnt, or other settings do not fit.
    """
    teacher, student = open_teacher(config.distillation), load_student(config)
    parts = read_parts(config, processes)
    space = label_space(teacher, student, config)
    labels = uses_labels(parts, space, config)
    data = open_parts(parts, student, space, config, processes, labels=labels)
    values: dict[str, Any] = {field.name: getattr(data, field.name) for field in fields(data)}
    return DistillationData(**values, teacher=teacher)


def label_space(teacher: Teacher, student: Encoder, config: DistillConfig) -> LabelSpace:
    """Return the classes of the student's logits: the teacher's, or of stored logits the student's own."""
    if teacher.space is not None:
        return teacher.space.uncalibrated()
    if config.distillation.teacher_predictions and student.info.label_space is not None:
        return student.info.label_space.uncalibrated()
    if not config.distillation.logits:
        return student.info.label_space or LabelSpace.unnamed(1, "multilabel")
    raise AuricleError(
        "the teacher has no classes, so that there are no logits to learn; use --no-teacher-logits --features clip"
    )


def uses_labels(parts: Parts, space: LabelSpace, config: DistillConfig) -> bool:
    """Return True if the clips have labels, and all of them are classes of the teacher."""
    labels = set(parts.train.table.distinct("labels"))
    wanted = config.distillation.use_labels and config.distillation.kd_lambda > 0
    return wanted and bool(labels) and (labels <= set(space.ids) or labels <= set(space.names))
