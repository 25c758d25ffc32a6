"""What EfficientAT's programs log and save of an epoch, under their own keys and names."""

from __future__ import annotations

import json
import math
import shlex
import sys

import pytest

from auricle.compat.efficientat.programs import parse_program
from auricle.compat.efficientat.published_epochs import epoch_record, published_rates, start_wandb, weight_name
from auricle.core.errors import AuricleError
from helpers.paths import SHARED

RUNS = SHARED / "golden" / "efficientat_training" / "runs.json"


def line_of(run):
    """The line of a golden run: only what decides its keys and names is typed."""
    program, generation = run["program"].removesuffix(".py"), run["generation"]
    names = ("lr", "max_lr", "model_width", "features_lr", "classifier_lr", "last_layer_lr", "kd_lambda")
    typed = [f"--{name}={run['arguments'][name]}" for name in names if run["arguments"].get(name) is not None]
    return parse_program(program, ["--generation", str(generation), *typed])


def rows_of(log):
    """Rows as the loop writes them, from a golden record."""
    step = {"kind": "step", "loss": log["train_loss"]}
    step |= {name: log[name] for name in ("label_loss", "distillation_loss") if name in log}
    scores = {"mAP": "val_mAP", "ROC": "val_roc_auc", "accuracy": "val_accuracy", "val_loss": "val_loss"}
    return [step, {"kind": "validation", **{ours: log[name] for name, ours in scores.items() if name in log}}]


@pytest.mark.skipif(not RUNS.is_file(), reason="the golden runs stand beside the project only")
def test_records_have_the_keys_and_values_of_the_published_runs_and_files_their_names():
    for name, run in json.loads(RUNS.read_text()).items():
        line, arguments = line_of(run), run["arguments"]
        for epoch, log in enumerate(run["logs"]):
            base = arguments.get("features_lr") or arguments.get("lr") or arguments.get("max_lr")
            own = arguments.get("lr") or arguments.get("max_lr")
            next_lr = log.get("learning_rate", log.get("features_lr", own)) * own / base
            record = epoch_record(line, rows_of(log), published_rates(line, own, next_lr))
            assert list(record) == list(log), name
            assert record == pytest.approx(log, rel=1e-12)
            score = log.get("mAP", log.get("accuracy"))
            assert weight_name(line, epoch, score, arguments["model_width"]) == run["saved_files"][epoch]


def parse(text):
    script, *args = shlex.split(text)
    return parse_program(script, args)


def test_lightning_logs_under_its_own_keys():
    line = parse("ex_pl_audioset --adamw --kd_lambda 0")
    rows = rows_of({"train_loss": 0.5, "mAP": 0.4, "ROC": 0.9, "val_loss": 0.6})
    record = epoch_record(line, rows, published_rates(line, 0.1, 0.2))
    assert record == {
        "train/loss": 0.5, "train/label_loss": 0.5, "train/kd_loss": 0.0, "val/loss": 0.6, "val/ap": 0.4, "val/roc": 0.9,
        "lr-AdamW": 0.1,
    }  # fmt: skip


def test_the_file_of_pretrained_weights_has_their_width_except_where_the_older_programs_write_the_options():
    for line, name in {
        "ex_fsd50k --pretrained_name mn04_as": "mn04_fsd50k_epoch_2_mAP_123.pt",
        "ex_audioset --pretrained_name mn04_im": "mn10_as_epoch_2_mAP_123.pt",
        "ex_esc50 --pretrained_name mn04_as": "mn10_esc50_epoch_2_mAP_12.pt",
        "ex_esc50 --pretrained --model_name mn04_as": "mn04_esc50_epoch_2_acc_123.pt",
    }.items():
        assert weight_name(parse(line), 2, 0.1234, 0.4) == name
    assert weight_name(parse("ex_openmic"), 0, math.nan, 1.0) == "mn10_openmic_epoch_0_mAP_nan.pt"


def test_without_wandb_the_line_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(AuricleError, match="pip install wandb"):
        start_wandb(parse("ex_esc50 --wandb"), tmp_path)


def test_wandb_gets_the_published_project_name_and_all_arguments(monkeypatch, tmp_path):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = start_wandb(parse("ex_fsd50k --train --wandb --batch_size 4"), tmp_path)
    run.log({"train_loss": 0.5})
    assert (run.project, run.name, run.config["batch_size"]) == ("FSD50K", "FSD50K", 4)
    run.finish()
    assert any(tmp_path.rglob("*.wandb"))
    assert wandb.run is None
