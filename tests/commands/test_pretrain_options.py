"""Settings that the original M2D program has: lists whose paths start elsewhere, given statistics, a later first epoch."""

from __future__ import annotations

import json

import pytest

import auricle
from auricle.cli.main import main, parser_of
from auricle.training.log import read_log
from helpers.training_runs import flags, prepared


@pytest.fixture
def listed(tmp_path):
    """data/ with a list of spectrograms that no prepare.json speaks for."""
    folder = prepared(tmp_path / "data", clips=8)
    (folder / "prepare.json").unlink()
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.npy"))
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "files.csv").write_text("\n".join(["file_name", *names]) + "\n")
    return tmp_path


def words(listed, **changes):
    return [*flags(listed / "lists" / "files.csv", listed / "run", epochs=1, warmup_epochs=0.0, **changes), "--quiet"]


def test_paths_of_a_list_start_at_the_data_path(listed, capsys):
    named = ["--data-path", str(listed / "data"), "--stored-front-end", "m2d-logmel/16k"]
    assert main([*words(listed), *named, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["clips"] == 8


def test_spectrograms_without_a_front_end_are_refused_until_it_is_named(listed, capsys):
    assert main([*words(listed), "--data-path", str(listed / "data")]) == 2
    assert "name the front end yourself" in capsys.readouterr().err
    wrong = ["--data-path", str(listed / "data"), "--stored-front-end", "m2d-logmel/32k"]
    assert main([*words(listed), *wrong]) == 2
    assert "m2d-logmel/32k" in capsys.readouterr().err


def test_statistics_on_the_command_line_replace_the_measured_ones(listed):
    named = ["--data-path", str(listed / "data"), "--stored-front-end", "m2d-logmel/16k"]
    assert main([*words(listed), *named, "--norm-stats", "-6.5", "4.5"]) == 0
    assert auricle.load(listed / "run").norm_stats.tolist() == [-6.5, 4.5]
    assert main([*words(listed), *named, "--norm-stats", "-6.5"]) == 2


def test_a_run_may_begin_at_a_later_epoch_of_the_schedule(tmp_path, capsys):
    data = prepared(tmp_path / "data", clips=8)
    for name, more in (("whole", []), ("later", ["--start-epoch", "2"])):
        assert main([*flags(data, tmp_path / name, epochs=4), *more, "--quiet"]) == 0
    whole, later = (read_log(tmp_path / name / "metrics.jsonl", "step") for name in ("whole", "later"))
    assert [(row["step"], row["lr"]) for row in later] == [(row["step"], row["lr"]) for row in whole[4:]]
    assert main([*flags(data, tmp_path / "never", epochs=4), "--start-epoch", "4"]) == 2
    assert "--start-epoch" in capsys.readouterr().err


def test_epochs_on_the_command_line_replace_the_updates_of_a_preset(listed):
    words = ["pretrain", str(listed), "--preset", "small", "--dry-run", "--quiet", "--json"]
    assert parser_of("pretrain", [*words[1:], "--epochs", "30"]).get_default("max_updates") is None
    assert parser_of("pretrain", words[1:]).get_default("max_updates") == 6000
