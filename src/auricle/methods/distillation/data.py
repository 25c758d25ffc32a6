"""The data of distillation: recordings with or without labels, and the teacher."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from auricle.core.errors import AuricleError
from auricle.data.stores.embeddings import EmbeddingStore
from auricle.hub.load import load
from auricle.methods.data import Processes
from auricle.methods.distillation.config import DistillConfig, TeacherConfig
from auricle.methods.distillation.stored import StoredTeacher, TeacherStore
from auricle.methods.distillation.teachers import LiveTeachers, Teacher
from auricle.methods.supervised.data import LabelledData, load_student, open_parts
from auricle.methods.supervised.labelled_clips.parts import Parts
from auricle.methods.supervised.labelled_clips.read import read_parts
from auricle.models.base import Encoder
from auricle.models.heads.joined import chosen_heads
from auricle.models.label_space import LabelSpace


@dataclass
class DistillationData(LabelledData):
    """Recordings with the encoder that learns and its teacher."""

    teacher: Teacher | None = None


def open_distillation(config: DistillConfig, processes: Processes) -> DistillationData:
    """Open the teacher, the student and the recordings.

    Raises:
        AuricleError: the teacher has no classes and its logits are to be learnt, or other settings do not fit.
    """
    if config.data.negatives:
        raise AuricleError(
            "--negatives is for auricle finetune; distillation takes recordings without labels among its data"
        )
    student = load_student(config)
    parts = read_parts(config, processes)
    teacher = open_teacher(config.distillation, parts)
    check_answers(teacher, config)
    space = label_space(teacher, student, config)
    labels = uses_labels(parts, space, config)
    data = open_parts(parts, student, space, config, processes, labels=labels)
    values: dict[str, Any] = {field.name: getattr(data, field.name) for field in fields(data)}
    values["notes"] = (*data.notes, *missing_notes(teacher, parts, config))
    return DistillationData(**values, teacher=teacher)


def open_teacher(config: TeacherConfig, parts: Parts) -> Teacher:
    """Open the teacher of the settings: live encoders, a table of logits, or a store of outputs.

    Args:
        parts: the clips; of those that are parts of a recording, stored frames need the start.
    """
    stored = config.teacher_predictions
    if stored is None and len(config.teacher) == 1 and EmbeddingStore.is_store(config.teacher[0]):
        stored = config.teacher[0]
    if stored is not None and Path(stored).is_dir():
        manifests = [part for part in (parts.train, parts.valid, parts.test) if part is not None]
        starts = {clip.id: clip.start for manifest in manifests for clip in manifest if clip.start}
        return TeacherStore(EmbeddingStore.open(stored), starts)
    if stored is not None:
        index = None if config.teacher_index is None else Path(config.teacher_index)
        return StoredTeacher.read(Path(stored), index)
    weights = config.teacher_weights or (None,) * len(config.teacher)
    if config.teacher_head and len(config.teacher_head) != len(config.teacher):
        raise AuricleError(f"--teacher-head: {len(config.teacher_head)} names for {len(config.teacher)} teachers")
    heads = config.teacher_head or (None,) * len(config.teacher)
    return LiveTeachers(
        [
            chosen_heads(load(name, weights=file), head) if config.logits else load(name, weights=file)
            for name, file, head in zip(config.teacher, weights, heads)
        ],
        config.feature_layers,
    )


def check_answers(teacher: Teacher, config: DistillConfig) -> None:
    """Raise AuricleError unless the teacher gives what is to be learnt."""
    wanted = config.distillation.features
    given = {"clip": bool(teacher.clip_dim), "frames": bool(teacher.frame_dims)}
    if wanted != "none" and not given[wanted]:
        more = " --frames" if wanted == "frames" else ""
        raise AuricleError(
            f"the stored teacher has no features '{wanted}'; store them with auricle prepare teacher{more}, or name a live "
            "--teacher"
        )
    if config.distillation.feature_layers and not teacher.layer_dims:
        raise AuricleError("--feature-layers needs a live --teacher: a store holds the teacher's last frames alone")
    augment = config.augment
    if wanted == "frames" and isinstance(teacher, TeacherStore) and (augment.roll or augment.wave_mixup):
        raise AuricleError(
            "stored frames belong to the clip as it is: leave --roll and --wave-mixup out, or name a live --teacher"
        )


def missing_notes(teacher: Teacher, parts: Parts, config: DistillConfig) -> list[str]:
    """Return a note about training clips without a stored answer.

    Raises:
        AuricleError: none of the clips has one.
    """
    missing = teacher.missing(parts.train.ids)
    if not missing:
        return []
    if len(missing) == len(parts.train):
        raise AuricleError(
            f"none of the {len(missing)} training clips has a stored answer of the teacher ('{missing[0]}' …); clips are "
            "found by id, by file name without suffix, and by what follows its first Y"
        )
    rest = "they learn their labels alone" if config.distillation.use_labels else "they teach nothing"
    return [f"{len(missing)} of {len(parts.train)} training clips have no stored answer ('{missing[0]}' …): {rest}"]


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
    return wanted and bool(labels) and labels <= set(space.spelt_as(labels))
