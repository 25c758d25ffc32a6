"""A score that was measured is shown first and never lost; what cannot be written is refused before the work, or said."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from auricle.cli.main import main
from auricle.core.errors import AuricleError
from auricle.evaluation.evaluation import Evaluation
from auricle.evaluation.results import ResultsStore
from auricle.hub.weight_file import save_encoder
from helpers.encoders import m2d
from helpers.evaluation_data import corpus, table
from helpers.patience import PATIENCE


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    return corpus(tmp_path_factory.mktemp("sounds") / "prepared")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, with a cache that can be written."""
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture
def no_home(tmp_path, monkeypatch):
    """A home in which nothing can be written, and an empty folder for temporary files."""
    (tmp_path / "home").write_text("a file, so that no folder can be made below it")
    for name in ("AURICLE_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def command(sounds, tmp_path, *more) -> list[str]:
    labels = table(sounds, tmp_path / "meta.csv")
    words = [str(sounds.root), "--model", "logmel-stats", "--labels", str(labels), "--seconds", "0.2", "--quiet"]
    return ["evaluate", *words, *more]


def rows(store) -> list[tuple[str, str]]:
    return [(r.model, r.protocol) for r in ResultsStore(store).select()]


def fail(*_: object, **__: object) -> None:
    raise AuricleError("the results store x cannot be used (database or disk is full)")


def test_where_the_store_fails_the_score_is_printed_and_in_a_file_that_can_be_added(
    sounds, here, tmp_path, monkeypatch, capsys
):
    with monkeypatch.context() as patch:
        patch.setattr(ResultsStore, "append", fail)
        assert main(command(sounds, tmp_path)) == 1
    said = capsys.readouterr()
    assert "logmel-stats  " in said.out
    assert "disk is full" in said.err
    (file,) = here.glob("auricle-score-*.json")
    assert f"auricle results --add {file}" in said.err
    store = tmp_path / "cache/results.sqlite"
    assert not store.exists()
    for _ in range(2):  # adding twice adds nothing twice
        assert main(["results", "--add", str(file)]) == 0
    assert rows(store) == [("logmel-stats", "logistic"), ("chance", "logistic")]
    assert main(["results", "--add", str(file), str(tmp_path / "meta.csv")]) == 1
    assert "no evaluation that can be read" in capsys.readouterr().err
    assert main(["results", "--add", "nothing.json"]) == 2


def test_a_file_that_was_asked_for_is_where_the_score_is(sounds, here, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ResultsStore, "append", fail)
    assert main(command(sounds, tmp_path, "--out", "r.json")) == 1
    assert "It is in r.json" in capsys.readouterr().err
    assert Evaluation.load(Path("r.json")).score.model == "logmel-stats"
    assert Path("r.scores.npy").is_file()
    assert not list(here.glob("auricle-score-*"))


def test_a_score_is_kept_where_it_cannot_be_printed(sounds, here, programs, tmp_path):
    words = [programs / "auricle", *command(sounds, tmp_path)]
    with open("/dev/full", "w") as full:
        subprocess.run(words, stdout=full, stderr=subprocess.PIPE, timeout=PATIENCE, check=False, env=os.environ)
    assert ("logmel-stats", "logistic") in rows(tmp_path / "cache/results.sqlite")


def test_a_repeated_evaluation_adds_no_rows(sounds, here, tmp_path):
    for _ in range(2):
        assert main(command(sounds, tmp_path, "--few-shot")) == 0
    assert len(rows(tmp_path / "cache/results.sqlite")) == 6
    assert main(command(sounds, tmp_path, "--few-shot", "--pooling", "max")) == 0
    assert len(rows(tmp_path / "cache/results.sqlite")) == 6 + 5  # chance is the same


def test_a_suite_that_is_stopped_keeps_what_was_measured_and_adds_it_once(sounds, here, tmp_path, monkeypatch, capsys):
    table(sounds, tmp_path / "meta.csv")
    entry = f"source: {sounds.root}, labels: meta.csv, seconds: 0.2, protocols: [linear, knn]"
    (tmp_path / "suite.yaml").write_text(f"tasks:\n  - {{name: one, {entry}}}\n  - {{name: two, {entry}}}\n")
    words = ["evaluate", "--suite", str(tmp_path / "suite.yaml"), "--model", "logmel-stats", "--quiet"]
    store, kept = tmp_path / "cache/results.sqlite", ResultsStore.append

    def stopped(self, results, **more):
        kept(self, results, **more)
        if results[0].task == "two":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ResultsStore, "append", stopped)
        assert main(words) == 130
    assert "one · logistic" in capsys.readouterr().out
    assert len(rows(store)) == 6
    assert main([*words, "--out", "suite.json"]) == 0
    assert len(rows(store)) == 8
    assert len(json.loads(Path("suite.json").read_text())["evaluations"]) == 4
    assert main([*words, "--protocol", "knn"]) == 2
    assert "a suite's file names protocols" in capsys.readouterr().err


def test_measurements_of_a_run_do_not_replace_each_other(sounds, here, tmp_path):
    run = here / "run"
    run.mkdir()
    (run / "config.yaml").write_text("method: m2d\n")
    save_encoder(m2d(), run / "encoder.safetensors")
    words = [w if w != "logmel-stats" else "run" for w in command(sounds, tmp_path, "--no-baselines")]
    for more in ([], ["--layers", "0"], ["--pooling", "max"], ["--split-by", "drawn"], ["--layers", "0"]):
        assert main([*words, "--metric", "accuracy", *more]) == 0
    saved = [Evaluation.load(file) for file in sorted((run / "evaluations").glob("*.json"))]
    assert sorted((e.variant, "drawn" in e.task) for e in saved) == [
        ("", False), ("", True), ("layers 0", False), ("max", False)
    ]  # fmt: skip
    assert {e.score.place for e in saved} == {str(run)}
    assert main([*words, "--metric", "mAP"]) == 0
    assert len(list((run / "evaluations").glob("*.json"))) == 5


@pytest.mark.parametrize("kind", ["evaluate", pytest.param("demo", marks=pytest.mark.slow)])
def test_without_a_home_another_place_is_used_and_said(sounds, no_home, monkeypatch, capsys, kind):
    labels = ["--labels", str(table(sounds, no_home / "meta.csv"))]
    words = (
        ["evaluate", "--model", "logmel-stats"] if kind == "evaluate" else ["demo", "--minutes", "0.01", "--out", "o"]
    )
    assert main([*words, str(sounds.root), *labels, "--quiet"]) == 0
    said = capsys.readouterr()
    store = no_home / "here/auricle-results.sqlite"
    for words in ("cannot make the folder", str(store), "set AURICLE_CACHE to another"):
        assert words in said.out + said.err
    assert rows(store)
    assert list((no_home / "temporary").rglob("*.safetensors"))
    assert main(["results"]) == 0
    assert "logmel-stats" in capsys.readouterr().out


def test_a_temporary_folder_of_someone_else_is_not_used(no_home):
    from auricle.core.io import temporary_folder

    own = temporary_folder()
    assert own.stat().st_mode & 0o777 == 0o700
    own.rmdir()
    (no_home / "theirs").mkdir()
    own.symlink_to(no_home / "theirs")
    assert temporary_folder() != own


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--out", "."], "is a folder"),
        (["--store", "."], "is a folder"),
        (["--store", "meta.csv"], "not a database"),
        (["--layers", "99"], "--layers"),
        (["--metric", "mAP", "--split-by", "groups"], "group"),
        (["--labels", "one.csv"], "same label"),
        (["--few-shot", "--kind", "multilabel"], "exactly one label"),
    ],
)
def test_what_can_be_refused_is_refused_before_anything_is_decoded(
    sounds, here, tmp_path, monkeypatch, capsys, more, message
):
    table(sounds, here / "meta.csv")
    (here / "one.csv").write_text("filename,label\n" + "".join(f"{c.path},x\n" for c in sounds))
    monkeypatch.setattr("auricle.audio.decode.reader._decoder", lambda *_: pytest.fail("decoded"))
    save_encoder(m2d(), here / "model.safetensors")
    words = ["evaluate", str(sounds.root), "--model", "model.safetensors", "--labels", "meta.csv", "--quiet"]
    assert main([*words, *more]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert not said.out
