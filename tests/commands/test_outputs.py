"""Outputs of every verb: folders that cannot be made are refused before the work; terminals without UTF-8; odd names."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from auricle.cli.main import main
from auricle.hub.weight_file import save_encoder
from auricle.models.efficientat.config import MNConfig
from auricle.models.efficientat.mn import MN
from helpers.evaluation_data import corpus, table
from helpers.sounds import tone, write_sound


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    return corpus(tmp_path_factory.mktemp("sounds"))


@pytest.fixture
def taken(tmp_path, monkeypatch):
    """A file where a folder would have to be."""
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "taken").write_text("a file")
    return tmp_path / "taken"


@pytest.mark.parametrize(
    "line",
    [
        "evaluate linear logmel-stats {sounds} --labels {labels} --out {taken}/x.json",
        "evaluate linear logmel-stats {sounds} --labels {labels} --store {taken}/x.sqlite",
        "embed {sounds} --model logmel-stats --out {taken}/x.npy",
        "prepare {sounds} {taken}/prepared",
        "prepare lms {sounds} {taken}/lms",
        "demo {sounds} --out {taken}",
        "finetune {sounds} --labels {labels} --model mn04_as --out {taken}/run",
        "prepare {sounds} --out {taken}.missing/x/../../in",
    ],
)
def test_an_impossible_output_is_refused_before_any_audio_is_read(line, sounds, taken, tmp_path, capsys):
    labels = table(sounds, tmp_path / "meta.csv")
    words = line.format(sounds=sounds.root, labels=labels, taken=taken).split()
    assert main([*words, "--quiet"]) == 2
    said = capsys.readouterr()
    assert "cannot make the folder" in said.err
    assert not said.out


def test_a_demo_writes_nothing_into_the_folder_of_its_recordings(sounds, capsys):
    before = sorted(sounds.root.iterdir())
    assert main(["demo", str(sounds.root), "--out", str(sounds.root / "../" / sounds.root.name), "--quiet"]) == 2
    assert "is the folder of the recordings" in capsys.readouterr().err
    assert sorted(sounds.root.iterdir()) == before


def test_an_impossible_cache_folder_is_refused_with_a_message(sounds, taken, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AURICLE_CACHE", str(taken))
    words = ["evaluate", "linear", "logmel-stats", str(sounds.root), "--labels", str(table(sounds, tmp_path / "m.csv"))]
    assert main([*words, "--quiet", "--store", str(tmp_path / "r.sqlite")]) == 2
    assert "set AURICLE_CACHE to another" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["prepare", "advise", "evaluate linear"])
def test_help_is_printed_on_an_ascii_terminal(verb):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    words = [sys.executable, "-m", "auricle", *verb.split(), "--help"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, encoding="ascii")
    assert done.returncode == 0, done.stderr
    assert "--" in done.stdout


def test_names_that_are_not_utf8_are_left_out_and_reported(tmp_path, capsys):
    write_sound(tmp_path / "sounds" / "good.wav", tone(0.2))
    try:
        os.rename(write_sound(tmp_path / "odd.wav", tone(0.2)), os.fsencode(tmp_path / "sounds") + b"/caf\xe9.wav")
    except OSError:
        pytest.skip("this file system takes no such names")
    assert main(["prepare", str(tmp_path / "sounds"), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    said = capsys.readouterr()
    assert "1 clip" in said.out
    assert "names that are not UTF-8" in said.err
    assert (tmp_path / "out/manifest.csv").read_text(encoding="utf-8").splitlines()[1].startswith("good.wav,")
    words = [
        "embed",
        str(tmp_path / "sounds"),
        str(tmp_path / "sounds" / "good.wav"),
        "--model",
        "logmel-stats",
        "--quiet",
    ]
    assert main([*words, "--out", str(tmp_path / "e.npy")]) == 0
    assert "names that are not UTF-8" in capsys.readouterr().err
    (tmp_path / "sounds" / "good.wav").unlink()
    assert main(["prepare", str(tmp_path / "sounds"), "--out", str(tmp_path / "none"), "--quiet"]) == 2
    assert "names that are not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["embed", "prepare", "tag"])
def test_a_file_whose_name_is_not_utf8_is_refused_or_done_before_any_work(verb, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    odd = os.fsdecode(b"caf\xe9.wav")
    try:
        os.rename(write_sound(tmp_path / "odd.wav", tone(1.0, 32000), 32000), odd)
    except OSError:
        pytest.skip("this file system takes no such names")
    save_encoder(MN(MNConfig(width=0.1, num_classes=3), seed=0), tmp_path / "m.safetensors")
    options = {
        "embed": ["--model", "logmel-stats", "--out", "e.npy"],
        "prepare": ["--out", "p"],
        "tag": ["--model", "m.safetensors", "--out", "t", "--window", "0.5", "--labels-out", "raven"],
    }
    code = main([verb, odd, *options[verb], "--quiet"])
    shown = capsys.readouterr()
    assert "caf\\udce9.wav" in shown.out + shown.err
    assert code == (0 if verb == "tag" else 2)
    assert verb == "tag" or "not UTF-8" in shown.err
    assert not (tmp_path / "p").exists()


def test_an_output_whose_name_is_not_utf8_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_sound(tmp_path / "sounds" / "a.wav", tone(0.5))
    for line in (["embed", "sounds", "--model", "logmel-stats", "--out"], ["prepare", "sounds", "--out"]):
        assert (
            main([*line, os.fsdecode(b"caf\xe9.npz"), "--quiet", *(["--overwrite"] if line[0] == "embed" else [])]) == 0
        )
        os.rename(b"caf\xe9.npz", line[0])
