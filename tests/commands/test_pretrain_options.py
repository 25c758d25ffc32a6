"""Settings that the original M2D program has: lists whose paths start elsewhere, given statistics, a later first epoch."""

from __future__ import annotations

import json

import pytest
import yaml

import auricle
from auricle.cli.flags import config_from
from auricle.cli.main import main, parser_of, read
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


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--preset small --epochs 2", dict(max_updates=None, warmup_epochs=None)),
        ("--preset small --epochs 60", dict(max_updates=None, warmup_epochs=20.0)),
        ("--preset small --max-updates 100", dict(max_updates=100, warmup_updates=None)),
        ("--preset small --max-updates 1000", dict(max_updates=1000, warmup_updates=600)),
        ("--preset small --max-updates 100 --warmup-updates 7", dict(warmup_updates=7)),
        ("--method m2d --epochs=5", dict(warmup_epochs=None)),
        ("--method m2d --epochs 300", dict(warmup_epochs=20.0)),
        ("--method m2d-s --epochs 50", dict(warmup_epochs=None)),
        ("--method m2d --epochs 5 --long-warmup", dict(warmup_epochs=20.0)),
        ("--method m2d --epochs 5 --warmup-epochs auto", dict(warmup_epochs=None)),
        ("--method mae-ast --max-updates 100", dict(warmup_updates=None)),
        ("--method mae-ast --epochs 2", dict(max_updates=None, epochs=2, warmup_updates=None)),
        ("--method mae-ast --preset ssast-patch --max-updates 500", dict(max_updates=500, warmup_updates=None)),
    ],
)
def test_a_typed_length_takes_a_default_warm_up_with_it(words, expected):
    values = read("pretrain", ["data", *words.split()])[1]
    train = config_from(values.settings, values).train
    assert {name: getattr(train, name) for name in expected} == expected


@pytest.mark.parametrize("verb", ["finetune", "distill"])
def test_the_other_training_verbs_shorten_a_default_warm_up_too(verb):
    values = read(verb, ["data", "--epochs", "2"])[1]
    assert config_from(values.settings, values).train.warmup_epochs is None
    values = read(verb, ["data", "--epochs", "40"])[1]
    assert config_from(values.settings, values).train.warmup_epochs in (3.0, 5.0)


def test_a_warm_up_that_was_typed_is_kept_or_refused(capsys):
    assert main(["pretrain", "data", "--method", "m2d", "--epochs", "5", "--warmup-epochs", "7"]) == 2
    assert "the warm-up (7.0 epochs) must be shorter than the run (5 epochs)" in capsys.readouterr().err


def test_a_shortened_warm_up_is_said_and_saved(tmp_path, capsys):
    data = prepared(tmp_path / "data", clips=8)
    line = flags(data, tmp_path / "run", epochs=2)
    at = line.index("--epochs")
    del line[line.index("--warmup-epochs") : line.index("--warmup-epochs") + 2]
    assert line[at : at + 2] == ["--epochs", "2"]
    assert main(line) == 0
    assert "warm-up: 0.2 of 2 epochs (--warmup-epochs sets another)" in capsys.readouterr().err
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text())["train"]["warmup_epochs"] == pytest.approx(0.2)
    assert main([*line, "--dry-run"]) == 0
    assert "warm-up: 0.2 of 2 epochs" in capsys.readouterr().out


def test_data_that_are_too_few_are_costed_and_the_refusal_is_said(tmp_path, capsys):
    data = prepared(tmp_path / "data", clips=8)
    line = flags(data, tmp_path / "run", batch_size=12, accum_iter=2)
    assert main([*line, "--dry-run"]) == 0
    words = capsys.readouterr().out
    assert "data          8 clips, the list repeated to 24" in words
    assert "one weight update takes 24 clips and there are 8; these figures are those with --min-ds-size 24" in words
    assert "3 weight updates" in words
    assert main([*line, "--dry-run", "--json"]) == 0
    assert "--min-ds-size 24" in json.loads(capsys.readouterr().out)["notes"][0]
    assert main(line) == 2
    assert main([*line, "--min-ds-size", "24", "--quiet"]) == 0


def test_checkpoints_have_their_old_names_too(tmp_path, capsys):
    data = prepared(tmp_path / "data", clips=8)
    old = ["--state-steps", "1", "--keep-states=3", "--state_minutes", "5"]
    assert main([*flags(data, tmp_path / "run"), *old, "--quiet"]) == 0
    assert "'--state-steps' is now '--checkpoint-steps'" in capsys.readouterr().err
    train = yaml.safe_load((tmp_path / "run/config.yaml").read_text())["train"]
    assert (train["checkpoint_steps"], train["keep_checkpoints"], train["checkpoint_minutes"]) == (1, 3, 5.0)
    assert len(list((tmp_path / "run/checkpoints").glob("step-*"))) == 3
    config = tmp_path / "run/config.yaml"  # as the first edition wrote it
    text = config.read_text().replace("checkpoint_steps", "state_steps").replace("keep_checkpoints", "keep_states")
    config.write_text(text.replace("checkpoint_minutes", "state_minutes"))
    allowed = ["--epochs", "4", "--keep-states", "2", "--allow", "epochs", "keep-states", "--quiet"]
    assert main(["pretrain", "--continue", str(tmp_path / "run"), *allowed]) == 0
    assert len(list((tmp_path / "run/checkpoints").glob("step-*"))) == 2
    assert "--state-" not in parser_of("pretrain", ["--method", "m2d"]).format_help(everything=True)
