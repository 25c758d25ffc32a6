"""Distillation from live and stored teachers: what is learnt with and without labels, and what is refused."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from safetensors.torch import load_file

import auricle
from auricle.commands.finetune.finetune import continue_finetune, finetune_run
from auricle.core.errors import AuricleError
from auricle.core.options import with_values
from auricle.data.manifest.formats import read_manifest
from auricle.methods.distillation.config import DistillConfig, TeacherConfig
from auricle.methods.distillation.stored import StoredTeacher
from auricle.training.checkpoint import CheckpointStore
from auricle.training.log import read_log
from helpers.finetune_runs import labelled_sounds, tone_detector, weight_file
from helpers.stopping import Stop, same, stop_after


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    return labelled_sounds(tmp_path_factory.mktemp("sounds"))


@pytest.fixture(scope="module")
def teacher(sounds, tmp_path_factory):
    return tone_detector(sounds, tmp_path_factory.mktemp("teacher"))


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    return weight_file(tmp_path_factory.mktemp("student"), "mn")


def config(sounds, out, student, teacher, **changes) -> DistillConfig:
    small = dict(
        epochs=3, warmup_epochs=0.0, batch_size=4, workers=0, precision="float32", log_interval=1, lr=1e-2, device="cpu",
        valid_ratio=0.25, initial="weights",
    )  # fmt: skip
    made = DistillConfig("distillation", str(sounds), str(out), model=str(student), distillation=teacher)
    return with_values(made, {**small, **changes})


def losses(run):
    return read_log(run / "metrics.jsonl", "step")


def test_a_student_gets_the_classes_of_its_teacher_from_sound_without_labels(sounds, teacher, student, tmp_path):
    settings = config(sounds, tmp_path / "run", student, TeacherConfig((str(teacher),), kd_lambda=0.0))
    result = finetune_run(settings, quiet=True)
    assert auricle.load(result.run).info.label_space.ids == ("noise", "tone")
    assert {"distillation_loss"} == {name for name in losses(result.run)[0] if name.endswith("_loss")}


def test_labels_and_teacher_share_the_loss_by_kd_lambda(sounds, teacher, student, tmp_path):
    settings = config(sounds, tmp_path / "run", student, TeacherConfig((str(teacher),), kd_lambda=0.3))
    result = finetune_run(settings, quiet=True)
    for row in losses(result.run):
        assert row["loss"] == pytest.approx(row["label_loss"] + row["distillation_loss"], rel=1e-5)
    assert "accuracy" in result.validation


def test_a_teacher_whose_classes_exclude_each_other_teaches_probabilities(sounds, teacher, student, tmp_path):
    first = {}
    for loss in ("auto", "cross-entropy", "bce"):
        learnt = TeacherConfig((str(teacher),), kd_lambda=0.0, teacher_loss=loss)
        result = finetune_run(config(sounds, tmp_path / loss, student, learnt, epochs=1), quiet=True)
        first[loss] = losses(result.run)[0]["distillation_loss"]
    assert first["auto"] == first["cross-entropy"] != first["bce"]


@pytest.mark.parametrize("features", ["clip", "frames"])
def test_features_of_another_family_are_learnt_and_the_loss_falls(features, sounds, teacher, student, tmp_path):
    learnt = TeacherConfig((str(teacher),), logits=False, features=features, kd_lambda=0.0)
    result = finetune_run(config(sounds, tmp_path / "run", student, learnt, epochs=8), quiet=True)
    values = [row["feature_loss"] for row in losses(result.run)]
    assert sum(values[-3:]) < sum(values[:3])


def test_blocks_of_the_teacher_are_learnt_as_means_over_time_beside_the_clip(sounds, teacher, student, tmp_path):
    learnt = TeacherConfig((str(teacher),), logits=False, features="clip", feature_layers=(0, 1), standardise=True)
    result = finetune_run(config(sounds, tmp_path / "run", student, learnt, epochs=8), quiet=True)
    values = [row["feature_loss"] for row in losses(result.run)]
    assert sum(values[-3:]) < sum(values[:3])
    state = load_file(CheckpointStore(result.run / "checkpoints").checkpoints()[0] / "weights.safetensors")
    assert {name.split(".")[1] for name in state if name.startswith("projections.")} == {"0", "1", "2"}
    assert all(state[f"standardisers.{place}.count"] > 0 for place in range(3))


def test_a_distillation_cut_anywhere_continues_to_the_same_weights(sounds, teacher, student, tmp_path, monkeypatch):
    learnt = TeacherConfig((str(teacher),), features="clip", standardise=True)
    finetune_run(config(sounds, tmp_path / "whole", student, learnt, mixup=0.3), quiet=True)
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        with pytest.raises(Stop):
            finetune_run(config(sounds, tmp_path / "cut", student, learnt, mixup=0.3, state_steps=1), quiet=True)
    continue_finetune(tmp_path / "cut", quiet=True)
    same(tmp_path / "whole", tmp_path / "cut")


@pytest.mark.parametrize("form", ["json", "pickle"])
def test_stored_logits_teach_like_the_live_ones_on_clips_that_are_not_augmented(
    form, sounds, teacher, student, tmp_path
):
    ids = list(read_manifest(sounds).ids)
    encoder = auricle.load(teacher)
    files = [str(sounds / id) for id in ids]
    logits = np.stack([encoder(_wave(file, encoder)).logits[0].detach().numpy() for file in files])
    np.save(tmp_path / "logits.npy", logits.astype(np.float32))
    index = {id: row for row, id in enumerate(ids)}
    path = tmp_path / f"index.{'json' if form == 'json' else 'pkl'}"
    path.write_bytes(json.dumps(index).encode() if form == "json" else pickle.dumps(index))
    stored = TeacherConfig(teacher_predictions=str(tmp_path / "logits.npy"), teacher_index=str(path), kd_lambda=0.0)
    live = TeacherConfig((str(teacher),), kd_lambda=0.0)
    runs = [
        finetune_run(config(sounds, tmp_path / name, teacher, settings, epochs=1), quiet=True).run
        for name, settings in (("stored", stored), ("live", live))
    ]
    one, other = ([row["loss"] for row in losses(run)] for run in runs)
    assert one == pytest.approx(other, rel=1e-3)


def _wave(file, encoder):
    import torch

    from auricle.audio.decode import read

    return torch.from_numpy(read(file, rate=encoder.info.sample_rate, mono="mean").wave)[None]


def test_a_clip_is_found_by_id_by_file_name_and_by_what_follows_the_first_y(tmp_path):
    rows = {"a/b.wav": 0, "c": 1, "xY_z": 2}
    teacher = StoredTeacher(np.zeros((3, 4), np.float32), rows, tmp_path)
    assert [teacher.row_of(id) for id in ("a/b.wav", "d/c.mp3", "00/YxY_z.mp3", "nobody.wav")] == [0, 1, 2, None]


def test_an_index_that_would_run_code_is_refused(tmp_path):
    path = tmp_path / "index.pkl"
    path.write_bytes(b"cos\nsystem\n(S'echo harm'\ntR.")
    np.save(tmp_path / "l.npy", np.zeros((1, 2)))
    with pytest.raises(AuricleError, match=r"it names (os|posix)\.system"):
        StoredTeacher.read(tmp_path / "l.npy", path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "name a teacher"),
        ({"teacher": ("a",), "teacher_predictions": "b"}, "not both"),
        ({"teacher": ("a",), "logits": False}, "something else must be learnt"),
        ({"teacher": ("a",), "feature_layers": (0,)}, "--feature-layers is about the teacher's features"),
        ({"teacher": ("a",), "standardise": True}, "--standardise-features is about the teacher's features"),
        ({"teacher": ("a",), "kd_lambda": 2.0}, "a share from 0 to 1"),
    ],
)
def test_settings_that_contradict_are_refused(settings, message):
    with pytest.raises(AuricleError, match=message):
        TeacherConfig(**settings)
