"""Every method of the M2D family through the command line, at toy size: a run, its folder, and continuing to the same weights."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict

import numpy as np
import pytest
import torch
import yaml

import auricle
from auricle.cli.main import main
from auricle.commands.demo import DemoConfig, small_run
from auricle.hub.weight_file import save_encoder
from auricle.methods.registry import METHODS
from auricle.models.m2d.encoder import M2DEncoder
from auricle.training.log import read_log
from helpers.encoders import mn
from helpers.sounds import write_sounds
from helpers.stopping import Stop, same, stop_after
from helpers.training_runs import prepared

SMALL = [
    *("--embed-dim", "16", "--depth", "2", "--num-heads", "2"),
    *("--decoder-embed-dim", "16", "--decoder-depth", "1", "--decoder-num-heads", "2"),
    *("--epochs", "3", "--warmup-epochs", "1", "--batch-size", "4", "--lr", "1e-3", "--state-steps", "1"),
    *("--workers", "0", "--precision", "float32", "--device", "cpu", "--log-interval", "1", "--quiet"),
]
PATCHES = ["--input-size", "80x40", "--patch-size", "16x8"]
SPEECH = ["--input-size", "80x40", "--patch-size", "80x4", "--noise-ratio", "0"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """A prepared folder with features of a speech model beside its spectrograms, as ``auricle prepare speech`` writes it."""
    folder = prepared(tmp_path_factory.mktemp("speech"))
    source = np.random.default_rng(3)
    (folder / "features").mkdir()
    for path in (folder / "lms").glob("*.npy"):
        np.save(folder / "features" / path.name, source.normal(size=(30, 12)).astype(np.float32))
    (folder / "features" / "prepare.json").write_text(json.dumps({"settings": {"min_seconds": 0.1}}))
    return folder


@pytest.fixture(scope="module")
def teacher(data, tmp_path_factory):
    """A small M2D run that can teach."""
    out = tmp_path_factory.mktemp("teacher") / "run"
    assert main(["pretrain", str(data), "--method", "m2d", "--out", str(out), *PATCHES, *SMALL]) == 0
    return out


@pytest.fixture
def words(data, speech, teacher):
    """The command line of each method, without --out."""
    return {
        "m2d": [str(data), *PATCHES],
        "m2d-x": [str(data), *PATCHES, "--teacher", "self", "--resume", str(teacher)],
        "m2d-as": [str(data), *PATCHES],
        "m2d-s": [str(speech), *SPEECH],
        "m2d-d2v": [str(data), *PATCHES],
        "msm-mae": [str(data), *PATCHES],
    }


def command(method, words, out):
    return ["pretrain", method, *words[method], "--out", str(out), *SMALL]


FAMILY = [name for name in METHODS if name.startswith("m2d") or name == "msm-mae"]


@pytest.mark.parametrize("method", FAMILY)
def test_each_method_trains_and_leaves_an_encoder(words, tmp_path, capsys, method):
    out = tmp_path / "run"
    assert main([*command(method, words, out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 18
    assert yaml.safe_load((out / "config.yaml").read_text())["method"] == method
    assert all(np.isfinite(row["loss"]) for row in read_log(out / "metrics.jsonl", "step"))
    assert (out / "preview.safetensors").is_file()
    assert torch.isfinite(auricle.load(out)(torch.zeros(1, 16000)).clip).all()


@pytest.mark.parametrize("method", FAMILY)
def test_each_method_is_rehearsed(words, tmp_path, capsys, method):
    assert main([*command(method, words, tmp_path / "run"), "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["steps"] == 18
    assert 0 < told["visible"] < told["tokens"]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", ["m2d-x", "m2d-as", "m2d-s", "msm-mae"])
def test_a_run_cut_short_continues_to_the_same_weights(words, tmp_path, monkeypatch, method):
    assert main(command(method, words, tmp_path / "whole")) == 0
    with monkeypatch.context() as patch:
        stop_after(patch, 7)
        with pytest.raises(Stop):
            main(command(method, words, tmp_path / "cut"))
    assert main(["pretrain", "--continue", str(tmp_path / "cut"), "--quiet"]) == 0
    same(tmp_path / "whole", tmp_path / "cut")


def test_both_losses_of_m2d_x_are_logged(words, tmp_path):
    assert main([*command("m2d-x", words, tmp_path / "run"), "--loss-off", "0.5"]) == 0
    row = read_log(tmp_path / "run/metrics.jsonl", "step")[-1]
    assert row["loss"] == pytest.approx(row["loss_m2d"] + 0.5 * row["loss_off"], rel=1e-5)


def test_further_pre_training_reports_that_the_offline_predictor_is_new(words, tmp_path, capsys):
    line = [word for word in command("m2d-x", words, tmp_path / "run") if word != "--quiet"]
    assert main(line) == 0
    assert "2 not in the file, initialised: offline_predictor.bias, offline_predictor.weight" in capsys.readouterr().err


def test_weights_with_a_head_for_labels_go_on_with_a_teacher(words, tmp_path, capsys):
    assert main(command("m2d-as", words, tmp_path / "labels")) == 0
    line = [*words["m2d"], "--teacher", "self", "--resume", str(tmp_path / "labels"), "--out", str(tmp_path / "run")]
    assert main(["pretrain", "m2d-x", *line, *(word for word in SMALL if word != "--quiet")]) == 0
    assert "2 of another size in the file, initialised: offline_predictor.bias" in capsys.readouterr().err


def test_a_run_continues_only_with_the_teacher_that_it_began_with(words, teacher, tmp_path, capsys):
    own = tmp_path / "teacher.safetensors"
    shutil.copy(teacher / "encoder.safetensors", own)
    line = ["pretrain", "m2d-x", *words["m2d"], "--teacher", str(own), "--out", str(tmp_path / "run"), *SMALL]
    assert main([*line, "--stop-at", "1"]) == 0
    save_encoder(M2DEncoder(auricle.load(own).config, seed=9), own)
    assert main(["pretrain", "--continue", str(tmp_path / "run"), "--stop-at", "0", "--allow", "stop_at"]) == 2
    assert "the teacher changed since the checkpoint was saved" in capsys.readouterr().err


def test_a_teacher_may_be_stored_beside_the_spectrograms(speech, tmp_path):
    sizes = ["--input-size", "80x40", "--patch-size", "16x4"]
    line = [
        "pretrain",
        str(speech),
        "--method",
        "m2d-x",
        *sizes,
        "--teacher",
        "stored",
        "--out",
        str(tmp_path / "run"),
        *SMALL,
    ]
    assert main(line) == 0


def test_a_teacher_of_another_front_end_and_rate_gets_the_audio(data, tmp_path, capsys):
    save_encoder(mn(), tmp_path / "mn.safetensors")
    write_sounds(tmp_path / "audio", 8, seconds=0.7)
    line = [*PATCHES, "--teacher", str(tmp_path / "mn.safetensors"), "--out", str(tmp_path / "run"), *SMALL]
    assert main(["pretrain", str(data), "--method", "m2d-x", *line]) == 2
    assert "train on a folder of audio" in capsys.readouterr().err
    assert (
        main(["pretrain", str(tmp_path / "audio"), "--method", "m2d-x", *line, "--out", str(tmp_path / "other")]) == 0
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["m2d-x", "DATA"], "M2D-X needs a teacher"),
        (["m2d-x", "DATA", "--teacher", "self"], "--resume"),
        (["m2d-x", "DATA", "--teacher", "stored"], "auricle prepare speech"),
        (["m2d-x", "DATA", "--teacher", "nobody"], "nobody"),
        (["m2d-x", "SPEECH", "--teacher", "stored", "--patch-size", "16x4", "--noise-on", "teacher"], "mixture"),
        (["m2d-as", "DATA", "--noise-on", "teacher"], "labels"),
        (["m2d-s", "DATA", "--noise-ratio", "0", "--patch-size", "80x4"], "auricle prepare speech"),
        (["m2d-s", "SPEECH", "--patch-size", "80x4"], "--csv-bg-noise"),
        (["msm-mae", "DATA", "--cont-mask", "3", "--mask-ratio", "0.1"], "cannot hide 0.1 of 5 patch columns"),
    ],
)
def test_impossible_runs_are_refused_with_a_message(data, speech, tmp_path, capsys, line, said):
    places = {"DATA": str(data), "SPEECH": str(speech)}
    line = [places.get(word, word) for word in line]
    sizes = PATCHES[:2] if "--patch-size" in line else PATCHES
    assert main(["pretrain", *line, *sizes, *SMALL, "--out", str(tmp_path / "run")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_small_preset_has_the_settings_of_the_demo(data, tmp_path):
    out = tmp_path / "run"
    few = ["--max-updates", "2", "--warmup-updates", "1", "--quiet"]
    assert main(["pretrain", str(data), "--method", "msm-mae", "--preset", "small", "--out", str(out), *few]) == 0
    saved = yaml.safe_load((out / "config.yaml").read_text())
    assert saved["objective"]["norm_targets"] is True
    demo = small_run(DemoConfig(), data, tmp_path / "demo", clips=1000)
    assert saved["model"] == asdict(demo.model)
    assert saved["objective"] == asdict(demo.objective)
    assert auricle.load(out).info.frame_dim == 960
