"""A run in the clothes of the original M2D program: its folder's name, its checkpoints, its log."""

from __future__ import annotations

import json
import time

import pytest
import torch

import auricle
from auricle.cli.main import main
from auricle.commands.pretrain import pretrain
from auricle.compat.m2d.options import GENERAL, defaults_of
from auricle.compat.m2d.published_files import (
    PublishedFiles,
    published_files,
    published_out,
    published_settings,
)
from auricle.core.errors import AuricleError
from auricle.core.options import with_values
from auricle.hub.pickles import read_pickle
from auricle.methods.m2d.config import M2DPretrain
from auricle.methods.registry import METHODS
from auricle.training.log import read_log
from helpers.training_runs import config, prepared

SMALL = dict(
    embed_dim=64, num_heads=None, decoder_embed_dim=32, decoder_num_heads=2, epochs=3, save_freq=2, published_files=True
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Three epochs of two weight updates."""
    folder = tmp_path_factory.mktemp("published")
    data = prepared(folder / "data", clips=8)
    out = folder / "m2d_vit_base-80x40p16x8p16k-240514-test"
    pretrain(config(data, out, **SMALL), callbacks=(published_files,), quiet=True)
    return out


def test_checkpoints_are_written_every_save_freq_epochs_and_at_the_end(run):
    assert sorted(path.name for path in run.glob("*.pth")) == ["checkpoint-2.pth", "checkpoint-3.pth"]


def test_a_checkpoint_has_the_published_layout_and_holds_its_settings(run):
    content = read_pickle(run / "checkpoint-3.pth")
    assert content.keys() == {"model", "optimizer", "epoch", "scaler", "args"}
    assert content["epoch"] == 3
    assert vars(content["args"]).keys() == defaults_of(GENERAL).keys()
    assert (content["args"].input_size, content["args"].patch_size, content["args"].sr) == ("80x40", "16x8", "16k")
    parts = {"norm_stats", "cls_token", "mask_token", "target_blocks.0.attn.qkv.weight", "decoder_pred.weight"}
    assert parts <= content["model"].keys()


def test_the_checkpoint_loads_as_the_runs_own_encoder(run):
    wave = torch.zeros(1, 8000)
    published, own = auricle.load(run / "checkpoint-3.pth"), auricle.load(run)
    torch.testing.assert_close(published(wave).frames, own(wave).frames)


def test_the_log_has_one_line_an_epoch_with_the_means_of_its_steps(run):
    lines = [json.loads(line) for line in (run / "log.txt").read_text().splitlines()]
    steps = read_log(run / "metrics.jsonl", "step")
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    assert lines[1]["train_loss"] == pytest.approx((steps[2]["loss"] + steps[3]["loss"]) / 2)
    assert lines[1]["train_lr"] == pytest.approx((steps[2]["lr"] + steps[3]["lr"]) / 2)
    assert {"train_ema_decay", "train_rank", "train_auc"} <= lines[0].keys()


def test_validation_and_the_look_at_the_features_stand_in_the_log(tmp_path):
    data = prepared(tmp_path / "data", clips=8)
    settings = config(data, tmp_path / "run", **SMALL, valid=str(data), feature_eval_freq=2)
    pretrain(settings, callbacks=(published_files,), quiet=True)
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.txt").read_text().splitlines()]
    assert all(line["train_val_loss"] > 0 for line in lines)
    assert [line["train_rank"] > 1 for line in lines] == [False, True, False]
    assert [0.5 <= line["train_auc"] <= 1 for line in lines] == [False, True, False]


def test_epochs_that_are_run_again_replace_their_lines(tmp_path):
    settings = config(tmp_path, tmp_path, epochs=9)
    for _ in range(2):
        files = PublishedFiles(torch.nn.Identity(), settings, tmp_path)
        for epoch in (1, 2):
            files.on_log({"kind": "step", "epoch": epoch - 0.5, "loss": 2.0 * epoch})
            files.on_log({"kind": "epoch", "epoch": epoch})
    lines = [json.loads(line) for line in (tmp_path / "log.txt").read_text().splitlines()]
    assert [(line["epoch"], line["train_loss"]) for line in lines] == [(0, 2.0), (1, 4.0)]


def test_a_run_continued_inside_an_epoch_averages_the_whole_epoch(tmp_path):
    steps = [{"kind": "step", "step": 3, "epoch": 1.5, "loss": loss} for loss in (1.0, 4.0)]
    rows = [{"kind": "epoch", "step": 2, "epoch": 1}, *steps]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = PublishedFiles(torch.nn.Identity(), config(tmp_path, tmp_path, epochs=9), tmp_path)
    files.on_log(rows[-1])
    files.on_log({"kind": "epoch", "epoch": 2})
    assert json.loads((tmp_path / "log.txt").read_text())["train_loss"] == 2.5


@pytest.mark.parametrize(("updates", "number"), [(2, 1), (5, 2)])
def test_a_run_that_ends_within_an_epoch_leaves_a_checkpoint_of_it(tmp_path, updates, number):
    data = prepared(tmp_path / "data", clips=8)
    length = {"max_updates": updates, "warmup_updates": 1, "batch_size": 2, "save_freq": 100}
    pretrain(config(data, tmp_path / "run", **{**SMALL, **length}), callbacks=(published_files,), quiet=True)
    assert [path.name for path in (tmp_path / "run").glob("checkpoint-*")] == [f"checkpoint-{number}.pth"]
    assert read_pickle(tmp_path / f"run/checkpoint-{number}.pth")["epoch"] == number


def test_plain_m2d_has_both_parts_of_the_loss_and_the_mae_program_neither(run, tmp_path):
    line = json.loads((run / "log.txt").read_text().splitlines()[0])
    assert (line["train_l_on"], line["train_l_off"]) == (line["train_loss"], 0.0)
    files = PublishedFiles(torch.nn.Identity(), METHODS["msm-mae"].settings("msm-mae", "data", str(tmp_path)), tmp_path)
    files.on_log({"kind": "step", "epoch": 0.5, "loss": 2.0})
    files.on_log({"kind": "epoch", "epoch": 1})
    assert "train_l_on" not in json.loads((tmp_path / "log.txt").read_text())


def test_a_stop_behind_the_last_epoch_still_leaves_the_last_checkpoint(tmp_path):
    data = prepared(tmp_path / "data", clips=8)
    pretrain(config(data, tmp_path / "run", **{**SMALL, "stop_at": 9}), callbacks=(published_files,), quiet=True)
    assert (tmp_path / "run" / f"checkpoint-{SMALL['epochs']}.pth").is_file()


def test_settings_convert_to_the_originals_names_and_back():
    ours = with_values(M2DPretrain("m2d", "data/files_x.csv"), dict(optim="sgd", norm_targets=False, lr=0.5, seed=7))
    program, settings = published_settings(ours)
    assert program == GENERAL
    assert {name: settings[name] for name in ("model", "csv_main", "optim", "lr", "sr")} == {
        "model": "m2d_vit_base", "csv_main": "data/files_x.csv", "optim": "sgd", "lr": 0.5, "sr": "16k",
    }  # fmt: skip
    assert settings["no_norm_pix_loss"] is True
    assert published_out(ours, 4).startswith(f"m2d_vit_base-80x608p16x16p16k-{time.strftime('%y%m%d')}-Mdfxs7~NOs")


def test_a_run_can_be_named_as_the_original_would(tmp_path, monkeypatch, capsys):
    from helpers.training_runs import flags

    monkeypatch.chdir(tmp_path)
    data = prepared(tmp_path / "data", clips=8)
    assert main([*flags(data, "published", epochs=1, warmup_epochs=0.0), "--quiet", "--json"]) == 0
    name = json.loads(capsys.readouterr().out)["run"]
    assert name.startswith("m2d_vit_16x2-80x40p16x8p16k-")
    assert (tmp_path / name / "encoder.safetensors").is_file()


def test_methods_of_other_families_have_no_published_name():
    class Other:
        method = "mae-ast"

    with pytest.raises(AuricleError, match="no method 'mae-ast'"):
        published_settings(Other())  # type: ignore[arg-type]
