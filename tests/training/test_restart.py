"""``torchrun --max-restarts`` starts the processes of a run again when one of them died, and the run goes on exactly."""

from __future__ import annotations

import json
import signal

import pytest

from auricle.cli.main import run_verb
from auricle.core.errors import AuricleError
from auricle.hub.run_folder import RunFolder, launch
from auricle.training.log import read_log
from auricle.training.run import default_folder
from helpers.finetune_runs import labelled_sounds, weight_file
from helpers.paths import TESTS
from helpers.stopping import Stop, same, stop_after
from helpers.torchrun import torchrun
from helpers.training_runs import config, flags, prepared

MORTAL = str(TESTS / "helpers" / "mortal_rank.py")


@pytest.mark.slow
def test_ranks_that_are_killed_change_no_bit(tmp_path, programs):
    """Rank 1 before there is a checkpoint, rank 0 in the middle of the run."""
    source = prepared(tmp_path / "data")
    settings = dict(epochs=3, accum_iter=3, checkpoint_steps=1, batch_size=2)
    torchrun(programs, "-m", "auricle", *flags(source, tmp_path / "whole", **settings), "--quiet")
    words = flags(source, tmp_path / "run", **settings)
    done = torchrun(programs, MORTAL, "1@2,0@13", *words, "--quiet", restarts=2)
    assert done.stderr.count(f"exitcode: -{int(signal.SIGKILL)}") == 2
    assert (tmp_path / "run" / "command.txt").read_text().count("auricle pretrain") == 3
    same(tmp_path / "whole", tmp_path / "run")


@pytest.fixture
def launched(monkeypatch):
    """This process as one of a ``torchrun`` that started it again."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "night")
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "1")
    monkeypatch.setattr("sys.argv", ["auricle", "pretrain", "data", "--out", "run"])


def test_only_the_run_of_this_launch_and_command_is_continued(launched, tmp_path, monkeypatch):
    run = RunFolder.create(tmp_path / "run", {})
    assert run.is_of_this_launch()
    monkeypatch.setattr("sys.argv", ["auricle", "pretrain", "other", "--out", "run"])
    assert not run.is_of_this_launch()
    monkeypatch.setattr("sys.argv", ["auricle", "pretrain", "data", "--out", "run"])
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "another night")
    assert not run.is_of_this_launch()
    monkeypatch.delenv("TORCHELASTIC_RUN_ID")
    assert not run.is_of_this_launch()


@pytest.mark.parametrize("text", ["", "[1]", '{"job": 3}'])
def test_a_folder_that_does_not_say_who_began_it_is_not_continued(launched, tmp_path, text):
    run = RunFolder.create(tmp_path / "run", {})
    (run.path / "environment.json").write_text(text)
    assert not run.is_of_this_launch()
    assert not RunFolder(tmp_path / "absent").is_of_this_launch()


def test_a_launch_without_an_id_is_named_by_its_process(launched, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    run = RunFolder.create(tmp_path / "run", {})
    assert json.loads((run.path / "environment.json").read_text())["job"] == launch()
    assert "process" in launch()


def test_fine_tuning_continues_the_run_that_it_began(launched, tmp_path, monkeypatch, capsys):
    """With its fitted head in ``start.safetensors``, which a new run would refuse to find there."""
    sounds, model, out = labelled_sounds(tmp_path / "sounds"), weight_file(tmp_path, "m2d"), tmp_path / "run"
    words = f"finetune {sounds} --model {model} --out {out} --how full --workers 0 --quiet"
    monkeypatch.setattr("sys.argv", ["auricle", *words.split()])
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(Stop):
            run_verb("finetune", words.split()[1:])
    assert (out / "start.safetensors").is_file()
    assert run_verb("finetune", words.split()[1:]) == 0
    steps = [row["step"] for row in read_log(out / "metrics.jsonl", "step")]
    assert steps == sorted(set(steps))
    assert (out / "card.md").is_file()


def test_a_run_that_may_be_restarted_needs_a_name(launched, tmp_path):
    with pytest.raises(AuricleError, match="--out"):
        default_folder(config(tmp_path, tmp_path))
