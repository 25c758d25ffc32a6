"""``auricle pretrain`` as a person uses it: a run, its folder, a rehearsal, wrong words."""

from __future__ import annotations

import json

import pytest
import torch
import yaml

import auricle
from auricle.cli.main import main
from auricle.commands.pretrain import pretrain
from auricle.training.log import read_log
from auricle.training.run import dry_run
from helpers.sounds import write_sounds
from helpers.training_runs import config, flags, prepared


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return prepared(tmp_path_factory.mktemp("data"))


def test_a_run_folder_holds_settings_weights_log_and_card(data, tmp_path, capsys):
    out = tmp_path / "run"
    assert main([*flags(data, out), "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 18
    names = {path.name for path in out.iterdir()}
    assert {
        "config.yaml",
        "command.txt",
        "environment.json",
        "metrics.jsonl",
        "checkpoints",
        "encoder.safetensors",
        "card.md",
    } <= names
    assert yaml.safe_load((out / "config.yaml").read_text())["train"]["batch_size"] == 4
    steps = read_log(out / "metrics.jsonl", "step")
    assert len(steps) == 18
    assert {"loss", "lr", "grad_norm", "ema_decay", "data_wait"} <= steps[0].keys()
    encoder = auricle.load(out)
    assert encoder(torch.zeros(1, 16000)).clip.shape == (1, 5 * 16)


def test_the_loss_falls_when_ten_clips_are_overfitted(tmp_path):
    data = prepared(tmp_path / "data", clips=10)
    settings = config(data, tmp_path / "run", epochs=60, batch_size=10, warmup_epochs=5.0, lr=3e-3, embed_dim=32)
    from auricle.commands.pretrain import pretrain

    pretrain(settings, quiet=True)
    losses = [row["loss"] for row in read_log(tmp_path / "run/metrics.jsonl", "step")]
    assert sum(losses[-5:]) < 0.6 * sum(losses[:5])


def test_underscores_are_accepted_for_dashes(data, tmp_path):
    words = [
        word.replace("-", "_") if word.startswith("--") else word for word in flags(data, tmp_path / "run", epochs=2)
    ]
    words = ["--" + word.removeprefix("__") if word.startswith("__") else word for word in words]
    assert main([*words, "--quiet"]) == 0


def test_bf16_and_recomputed_activations_train_too(data, tmp_path):
    assert main([*flags(data, tmp_path / "half", epochs=2, precision="bf16"), "--quiet"]) == 0
    assert main([*flags(data, tmp_path / "again", epochs=2), "--checkpoint-activations", "--quiet"]) == 0
    assert main([*flags(data, tmp_path / "plain", epochs=2), "--quiet"]) == 0
    losses = [read_log(tmp_path / name / "metrics.jsonl", "step")[-1]["loss"] for name in ("half", "again", "plain")]
    assert losses[1] == losses[2]
    assert losses[0] == pytest.approx(losses[2], abs=0.05)


def test_a_dry_run_prints_the_cost_and_writes_nothing(data, tmp_path, capsys):
    assert main([*flags(data, tmp_path / "run"), "--dry-run"]) == 0
    words = capsys.readouterr().out
    for part in ("parameters", "tokens        25", "18 weight updates", "step memory", "operations", "run time"):
        assert part in words
    assert not (tmp_path / "run").exists()


def test_the_batch_finder_keeps_the_effective_batch(data, tmp_path, monkeypatch):
    settings = config(data, tmp_path / "run", batch_size=0, effective_batch=12)
    assert (dry_run(settings).batch_size, dry_run(settings).accum_iter) == (12, 1)
    free = 19136 * 4 + 3 * 12544 * 4 + 300_000  # room for the weights and a few clips
    monkeypatch.setattr("auricle.training.dry_run.free_bytes", lambda device: free / 0.7)
    found = dry_run(settings)
    assert found.batch_size < 12
    assert found.effective_batch == 12


def test_audio_is_converted_to_log_mel_during_training(tmp_path):
    write_sounds(tmp_path / "audio", 8, seconds=0.7)
    assert main([*flags(tmp_path / "audio", tmp_path / "run", epochs=2), "--quiet"]) == 0


def test_networks_that_do_not_fit_the_data_are_found_before_a_folder_is_made(data, tmp_path, capsys):
    """A teacher with a front end of its own, and spectrograms that it cannot hear."""
    words = flags(data, tmp_path / "run")
    assert main([*words, "--method", "m2d-x", "--teacher", "logmel-stats", "--quiet"]) == 2
    assert "logmel-stats" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["pretrain"], "name the recordings"),
        (["pretrain", "m3d", "DATA"], "unknown method 'm3d'"),
        (["pretrain", "m2d", "nowhere"], "nowhere"),
        (["pretrain", "DATA", "--method", "m2d", "--patch-size", "99x16"], "80 mel bins cannot be cut"),
        (["pretrain", "DATA", "--method", "m2d", "--input-size", "80"], "80x608"),
        (["pretrain", "DATA", "--method", "m2d", "--batch-size", "9999"], "takes 9999 clips"),
        (["pretrain", "DATA", "--method", "m2d", "--sample-rate", "32000"], "m2d-logmel/16k"),
        (["pretrain", "DATA", "--method", "m2d", "--device", "tpu"], "device"),
        (["pretrain", "DATA", "--method", "m2d", "--noise-ratio", "0.2", "--batch-size", "4"], "--csv-bg-noise"),
        (["pretrain", "DATA", "--method", "m2d", "--csv-bg-noise", "DATA"], "needs a --noise-ratio above 0"),
        (
            ["pretrain", "DATA", "--method", "m2d", "--depth", "2", "--target-layers", "5"],
            "the target has blocks 0 to 1",
        ),
        (["pretrain", "DATA", "--method", "m2d", "--save-freq", "0"], "--save-freq must be a number of at least 1"),
        (["pretrain", "DATA", "--method", "m2d", "--clip-grad", "-1"], "--clip-grad must be a number of at least 0"),
        (["pretrain", "DATA", "--method", "m2d", "--workers", "-1"], "--workers must be"),
        (["pretrain", "DATA", "--method", "m2d", "--lr", "nan"], "--lr must be"),
        (["pretrain", "DATA", "--method", "m2d", "--embed-dim", "0"], "--embed-dim must be"),
        (["pretrain", "DATA", "--method", "m2d", "--decoder-num-heads", "0"], "--decoder-num-heads must be"),
        (["pretrain", "DATA", "--method", "m2d", "--noise-ratio", "-0.5"], "must lie between 0 and 1"),
        (["pretrain", "--continue", "RUN", "--dry-run"], "say one of them"),
        (["pretrain", "--continue", "RUN", "--allow", "epoch"], "there is no such setting; did you mean epochs"),
        (["pretrain", "--continue", "BROKEN"], "is damaged"),
        (["pretrain", "--continue", "nowhere"], "not a run folder"),
        (["pretrain", "DATA", "--method", "m2d", "--resume", "nowhere.pth", "--batch-size", "4"], "nowhere.pth"),
    ],
)
def test_impossible_runs_are_refused_with_a_message_and_exit_code_2(data, tmp_path, capsys, monkeypatch, line, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.yaml").write_text("method: [m2d")
    if "RUN" in line:
        pretrain(config(data, tmp_path / "run", epochs=1, warmup_epochs=0.5), quiet=True)
    places = {"DATA": str(data), "RUN": str(tmp_path / "run"), "BROKEN": str(tmp_path / "broken")}
    assert main([places.get(word, word) for word in line]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert "Traceback" not in captured.err
