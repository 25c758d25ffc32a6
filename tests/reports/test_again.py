"""The command in a report makes the run again, whatever started it."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace

import pytest

from auricle.cli.flags import config_from
from auricle.cli.main import main, read
from auricle.commands.demo import DemoConfig, small_run
from auricle.commands.pretrain import continue_run, pretrain
from auricle.core.options import with_values
from auricle.methods.config import PretrainConfig
from auricle.methods.registry import METHODS, find_method, preset_values
from auricle.reports.page import build_report
from auricle.reports.run_view import RunView
from auricle.reports.sections.run_facts import command_again, train_command
from helpers.stopping import same
from helpers.training_runs import config, prepared


def parsed(words: list[str]) -> PretrainConfig:
    words = words[words.index("auricle") + 1 :]
    _verb, values = read(words[0], words[1:])
    return config_from(values.settings, values)


def plain(method: str, **changes) -> PretrainConfig:
    return with_values(find_method(method).settings(method, "some data"), changes)


CASES = [
    *(plain(method) for method in METHODS),
    *(plain(m, **preset_values(m, name)) for m in METHODS for name in find_method(m).presets),
    plain("msm-mae", **{**preset_values("msm-mae", "small"), "max_updates": 40, "warmup_updates": 4, "seed": 7}),
    plain("msm-mae", **{**preset_values("msm-mae", "small"), "max_updates": None, "warmup_updates": 0, "epochs": 3,
                        "warmup_epochs": 0.3}),
    plain("m2d", epochs=30, norm_targets=False, target_layers=(1, 2), norm_stats=(-7.5, 4.0), clip_grad=None, lr=1e-3,
          batch_size=None, stop_at=4, warmup_epochs=3.0, cont_mask=2, out="my runs/first"),
    plain("mae-ast", max_updates=None, epochs=4, warmup_updates=32000, long_warmup=True),
    plain("mae-ast", max_updates=100, warmup_updates=0, max_sample_size=None, random_crop=False),
    small_run(DemoConfig(minutes=1), "demo/x/data", "demo/x/small-msm-mae", 12),
]  # fmt: skip


@pytest.mark.parametrize("settings", CASES, ids=lambda c: f"{c.method}-{c.train.max_updates}-{c.train.epochs}")
def test_the_command_has_exactly_these_settings(settings):
    command = train_command(settings, "again")
    assert parsed(command) == replace(settings, out="again")
    assert parsed(shlex.split(shlex.join(command))) == replace(settings, out="again")


def test_a_preset_is_named_and_only_what_differs_from_it():
    settings = plain("msm-mae", **{**preset_values("msm-mae", "small"), "seed": 3})
    assert train_command(settings, "new") == [
        "auricle", "pretrain", "some data", "--method", "msm-mae", "--preset", "small", "--seed", "3", "--out", "new",
    ]  # fmt: skip


def test_values_that_are_not_set_have_names_of_their_own():
    words = train_command(plain("m2d", clip_grad=None, batch_size=None, keep_interval_updates=3), "new")
    assert "--clip-grad none" in " ".join(words)
    assert "--batch-size auto" in " ".join(words)
    words = train_command(plain("mae-ast", keep_interval_updates=None), "new")
    assert "--keep-interval-updates all" in " ".join(words)


def test_several_processes_are_started_again_by_torchrun():
    command = train_command(plain("m2d"), "new", world=2)
    assert command[:5] == ["torchrun", "--nproc-per-node", "2", "-m", "auricle"]


def test_the_command_of_a_run_that_python_started_makes_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepared(tmp_path / "data", clips=12)
    monkeypatch.setattr("sys.argv", ["ipykernel_launcher.py", "-f", "kernel.json"])
    pretrain(config("data", "runs/first", epochs=2), quiet=True)
    monkeypatch.chdir(tmp_path / "runs")
    place, line = command_again(RunView.open(tmp_path / "runs/first")).splitlines()
    assert "kernel.json" not in line
    monkeypatch.chdir(shlex.split(place)[1])
    assert main([*shlex.split(line)[1:], "--quiet"]) == 0
    same(tmp_path / "runs/first", tmp_path / "runs/first-again")


def test_the_page_shows_the_command_what_was_typed_and_changes_on_the_way(tmp_path, monkeypatch):
    prepared(tmp_path / "data", clips=12)
    run = tmp_path / "run"
    monkeypatch.setattr("sys.argv", ["auricle", "demo"])
    pretrain(config(tmp_path / "data", run, epochs=2, stop_at=1), quiet=True)
    page = build_report(run).read_text()
    assert f"auricle pretrain {tmp_path / 'data'} --method m2d" in page
    assert f"cd {os.getcwd()}" in page
    assert "As it was typed" in page
    assert "no single command makes it again" not in page
    monkeypatch.setattr(
        "sys.argv", ["auricle", "pretrain", "--continue", str(run), "--stop-at", "none", "--allow", "stop_at"]
    )
    continue_run(run, {"stop_at": None}, allow=("stop_at",), quiet=True)
    assert "no single command makes it again" in build_report(run).read_text()


@pytest.mark.parametrize("settings", [{"method": "other"}, {"method": "m2d", "epochs": 3}, {}])
def test_settings_that_cannot_be_read_show_no_command(tmp_path, settings):
    (tmp_path / "config.yaml").write_text("method: m2d")
    assert command_again(replace(RunView.open(tmp_path), config=settings)) == ""
