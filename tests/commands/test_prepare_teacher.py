"""``auricle prepare teacher`` stores what a teacher gives by clip id; ``auricle distill`` learns from the store."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

import auricle
from auricle.cli.main import main
from auricle.commands.finetune.finetune import continue_finetune, finetune_run
from auricle.commands.prepare.teacher import TeacherOutputsConfig, prepare_teacher
from auricle.core.errors import AuricleError
from auricle.core.options import with_values
from auricle.data.batch import Batch
from auricle.data.stores.embeddings import EmbeddingStore
from auricle.methods.distillation.config import DistillConfig, TeacherConfig
from auricle.methods.distillation.stored import TeacherStore, interpolated
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


@pytest.fixture(scope="module")
def store(sounds, teacher, tmp_path_factory):
    out = tmp_path_factory.mktemp("store") / "outputs"
    prepare_teacher(settings(sounds, teacher, out, frames=True))
    return out


def settings(sounds, teacher, out, **changes):
    made = TeacherOutputsConfig(str(sounds), str(out), model=str(teacher), device="cpu", quiet=True)
    return with_values(made, changes)


def distillation(sounds, out, student, learnt, **changes):
    small = dict(
        epochs=2, warmup_epochs=0.0, batch_size=4, workers=0, precision="float32", log_interval=1, lr=1e-2, device="cpu",
        valid_ratio=0.25, initial="weights",
    )  # fmt: skip
    made = DistillConfig("distillation", str(sounds), str(out), model=str(student), distillation=learnt)
    return with_values(made, {**small, **changes})


def losses(run, name="loss"):
    return [row[name] for row in read_log(run / "metrics.jsonl", "step")]


def test_the_store_holds_logits_clip_and_frames_of_every_clip(sounds, teacher, store):
    encoder = auricle.load(teacher)
    opened = EmbeddingStore.open(store)
    assert len(opened) == 16
    assert opened.widths().keys() == {"logits", "clip", "frames"}
    assert opened.description["label_space"]["ids"] == ["noise", "tone"]
    from auricle.audio.decode import read

    wave = read(sounds / "tone" / "3.wav", rate=encoder.info.sample_rate, mono="mean").wave
    with torch.no_grad():
        out = encoder(torch.from_numpy(wave)[None])
    found = opened["tone/3.wav"]
    np.testing.assert_allclose(found.vectors["logits"], out.logits[0], atol=1e-4)
    np.testing.assert_allclose(found.frames, out.frames[0], atol=1e-4)
    np.testing.assert_allclose(found.times, out.times, atol=1e-6)


def test_a_second_run_adds_what_is_new_and_computes_again_what_changed(sounds, teacher, tmp_path):
    copy = shutil.copytree(sounds, tmp_path / "sounds")
    (copy / "tone" / "7.wav").rename(tmp_path / "later.wav")
    first = prepare_teacher(settings(copy, teacher, tmp_path / "store"))
    assert (first.done, first.skipped) == (15, 0)
    (tmp_path / "later.wav").rename(copy / "tone" / "7.wav")
    shutil.copyfile(copy / "noise" / "0.wav", copy / "noise" / "1.wav")
    second = prepare_teacher(settings(copy, teacher, tmp_path / "store"))
    assert (second.done, second.skipped) == (2, 14)
    opened = EmbeddingStore.open(tmp_path / "store")
    np.testing.assert_allclose(opened["noise/1.wav"].vectors["clip"], opened["noise/0.wav"].vectors["clip"], atol=1e-5)


def test_the_command_names_broken_files_and_prints_json(sounds, teacher, tmp_path, capsys):
    copy = shutil.copytree(sounds, tmp_path / "sounds")
    line = [
        "prepare",
        "teacher",
        str(copy),
        "--model",
        str(teacher),
        "--out",
        str(tmp_path / "store"),
        "--device",
        "cpu",
    ]
    assert main([*line, "--json", "--quiet"]) == 0
    assert json.loads(capsys.readouterr().out)["done"] == 16
    (copy / "broken.wav").write_bytes(b"no sound")
    assert main([*line, "--quiet"]) == 1
    shown = capsys.readouterr()
    assert "0 clips with the outputs of the teacher" in shown.out
    assert "16 already there, 1 failed" in shown.out
    assert "failed: " in shown.err
    assert main([*line, "--frames", "--quiet"]) == 2
    assert "was made from something else (frames)" in capsys.readouterr().err


def test_stored_outputs_teach_like_the_live_teacher_where_the_clip_is_seen_whole(
    sounds, teacher, store, student, tmp_path
):
    learnt = {"kd_lambda": 0.0, "features": "clip"}
    runs = [
        finetune_run(
            distillation(sounds, tmp_path / name, student, TeacherConfig((str(source),), **learnt)), quiet=True
        ).run
        for name, source in (("live", teacher), ("stored", store))
    ]
    for name in (
        "distillation_loss",
        "feature_loss",
    ):  # the live teacher hears the clip at the student's rate, resampled
        assert losses(runs[0], name)[0] == pytest.approx(losses(runs[1], name)[0], rel=1e-2)
    assert auricle.load(runs[1]).info.label_space.ids == ("noise", "tone")


def test_stored_frames_teach_like_live_ones(sounds, teacher, store, student, tmp_path):
    learnt = {"kd_lambda": 0.0, "features": "frames", "logits": False}
    runs = [
        finetune_run(
            distillation(sounds, tmp_path / name, student, TeacherConfig((str(source),), **learnt)), quiet=True
        ).run
        for name, source in (("live", teacher), ("stored", store))
    ]
    assert losses(runs[0], "feature_loss")[0] == pytest.approx(losses(runs[1], "feature_loss")[0], rel=1e-2)


def test_blocks_of_a_stored_teacher_are_refused_for_it_holds_the_last_frames_alone(sounds, store, student, tmp_path):
    learnt = TeacherConfig((str(store),), logits=False, features="clip", feature_layers=(0,))
    with pytest.raises(AuricleError, match="--feature-layers needs a live --teacher"):
        finetune_run(distillation(sounds, tmp_path / "run", student, learnt), quiet=True)


def test_a_run_with_a_stored_teacher_continues_to_the_same_weights(sounds, store, student, tmp_path, monkeypatch):
    learnt = TeacherConfig(teacher_predictions=str(store), features="clip")
    finetune_run(distillation(sounds, tmp_path / "whole", student, learnt, mixup=0.3), quiet=True)
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(Stop):
            finetune_run(
                distillation(sounds, tmp_path / "cut", student, learnt, mixup=0.3, checkpoint_steps=1), quiet=True
            )
    continue_finetune(tmp_path / "cut", quiet=True)
    same(tmp_path / "whole", tmp_path / "cut")


def batch_of(ids, seconds=0.3, start=0.0):
    audio = torch.zeros(len(ids), round(seconds * 16000))
    lengths = torch.full((len(ids),), audio.shape[1])
    return Batch(lengths, tuple(ids), 16000, audio=audio, crop_start=torch.full((len(ids),), start))


def test_clips_without_an_answer_are_known_as_such(store):
    source = TeacherStore(EmbeddingStore.open(store))
    output = source(batch_of(["tone/0.wav", "nobody.wav"]))
    assert output.known.tolist() == [1.0, 0.0]
    assert output.logits.shape == (2, 2)
    assert source.missing(["tone/0.wav", "nobody.wav"]) == ["nobody.wav"]


def test_frames_of_a_crop_are_those_of_its_place_in_the_clip(store):
    opened = EmbeddingStore.open(store)
    frames, times = TeacherStore(opened)(batch_of(["tone/0.wav"], start=0.2)).frames[0]
    stored = opened["tone/0.wav"]
    wanted = interpolated(stored.frames, stored.times, times.numpy() + 0.2)
    np.testing.assert_allclose(frames[0], wanted, atol=1e-5)
    part, _ = TeacherStore(opened, {"tone/0.wav": 0.2})(batch_of(["tone/0.wav"], start=0.2)).frames[0]
    np.testing.assert_allclose(part[0], interpolated(stored.frames, stored.times, times.numpy()), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"features": "frames", "roll": 100}, "leave --roll and --wave-mixup out")],
)
def test_what_stored_frames_cannot_follow_is_refused(changes, message, sounds, store, student, tmp_path):
    features = changes.pop("features")
    learnt = TeacherConfig((str(store),), features=features)
    with pytest.raises(AuricleError, match=message):
        finetune_run(distillation(sounds, tmp_path / "run", student, learnt, **changes), quiet=True)


def test_a_store_without_frames_and_a_store_of_other_clips_are_refused(sounds, teacher, student, tmp_path):
    write = settings(sounds, teacher, tmp_path / "store")
    prepare_teacher(write)
    learnt = TeacherConfig((str(tmp_path / "store"),), features="frames")
    with pytest.raises(AuricleError, match="has no features 'frames'"):
        finetune_run(distillation(sounds, tmp_path / "run", student, learnt), quiet=True)
    other = labelled_sounds(tmp_path / "other")
    for kind in ("tone", "noise"):
        (other / kind).rename(other / f"{kind} of others")
    with pytest.raises(AuricleError, match="none of the 12 training clips has a stored answer"):
        finetune_run(
            distillation(other, tmp_path / "run", student, TeacherConfig((str(tmp_path / "store"),))), quiet=True
        )


def test_an_embedding_store_of_another_command_is_no_teacher(sounds, teacher, student, tmp_path, capsys):
    line = ["embed", str(sounds), "--model", str(teacher), "--out", str(tmp_path / "embeddings"), "--quiet"]
    assert main(line) == 0
    capsys.readouterr()
    learnt = TeacherConfig((str(tmp_path / "embeddings"),))
    with pytest.raises(AuricleError, match="holds no outputs of a teacher"):
        finetune_run(distillation(sounds, tmp_path / "run", student, learnt), quiet=True)
