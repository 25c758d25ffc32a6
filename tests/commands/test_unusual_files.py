"""Unusual files among ordinary ones, through prepare, embed and tag: read and said, or refused by name; the rest is done."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile

from auricle.cli.main import main
from auricle.inference.tagger import Tagger
from helpers.containers import RATE, fmt, pcm, sweep, wav
from helpers.tagging import LoudestBand

SAMPLES = pcm(sweep())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two ordinary recordings; a working folder."""
    monkeypatch.chdir(tmp_path)
    for i in range(2):
        path = tmp_path / "in" / f"good{i}.wav"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(wav(pcm(sweep(seed=i))))
    return tmp_path / "in"


def run(capsys, *words) -> tuple[int, str]:
    """Exit code and stderr."""
    code = main([*words, "--quiet"])
    return code, capsys.readouterr().err


PREPARE = ("prepare", "in", "--out", "out", "--workers", "1")
LMS = ("prepare", "lms", "in", "--out", "lms", "--workers", "1")
EMBED = ("embed", "in", "--model", "logmel-stats", "--out", "out.npy")
VERBS = pytest.mark.parametrize("words", [PREPARE, LMS, EMBED], ids=lambda words: " ".join(words[:2]))


@VERBS
def test_an_unfinished_file_is_read_with_a_note_and_refused_when_strict(folder, capsys, words):
    (folder / "died.wav").write_bytes(wav(SAMPLES, 0))
    code, err = run(capsys, *words, "--strict")
    assert code == 1
    assert "failed: in/died.wav" in err.replace(str(folder), "in")
    other = ["all.npy" if word == "out.npy" else "all" if word in ("out", "lms") and words[i] == "--out" else word
             for i, word in enumerate(words[1:])]  # fmt: skip
    code, err = run(capsys, words[0], *other)
    assert code == 0
    assert "note: " in err
    assert "died.wav: its header declares 0 bytes of samples" in err


@VERBS
@pytest.mark.parametrize("header", [fmt(0x1234), fmt(3, bits=16), fmt(bits=0), fmt(rate=1)], ids=range(4))
def test_a_file_that_no_decoder_takes_is_named_and_the_others_are_done(folder, capsys, words, header):
    (folder / "odd.wav").write_bytes(wav(SAMPLES, header=header))
    code, err = run(capsys, *words)
    assert code == 1
    assert "odd.wav" in err


@VERBS
@pytest.mark.parametrize("value", [3e29, 1e20, np.nan])
def test_one_absurd_sample_costs_one_file_and_everything_written_is_finite(folder, capsys, words, value):
    wave = sweep()
    wave[1000] = value
    soundfile.write(folder / "absurd.wav", wave, RATE, subtype="FLOAT")
    code, err = run(capsys, *words)
    assert code == 1
    assert "absurd.wav" in err
    for path in folder.parent.rglob("*.npy"):
        assert np.isfinite(np.load(path)).all()
    for path in folder.parent.rglob("statistics.json"):
        assert all(np.isfinite(number) for number in json.loads(path.read_text()).values() if isinstance(number, float))


@VERBS
def test_integers_stored_as_floats_and_silence_are_pointed_out(folder, capsys, words):
    soundfile.write(folder / "loud.wav", sweep() * 32768, RATE, subtype="FLOAT")
    (folder / "silent.wav").write_bytes(wav(bytes(2 * RATE)))
    code, err = run(capsys, *words)
    assert code == 0
    assert "loud.wav: samples reach" in err
    assert "silent.wav: digital silence" in err


def test_a_corpus_of_silence_is_said_and_its_statistics_are_finite(folder, capsys):
    for path in folder.iterdir():
        path.write_bytes(wav(bytes(2 * RATE)))
    code, err = run(capsys, *PREPARE)
    assert code == 0
    assert "2 files hold one and the same sample" in err
    assert "every spectrogram holds one and the same value" in err
    assert json.loads((folder.parent / "out/statistics.json").read_text())["std"] > 0


def test_notes_of_prepare_are_not_repeated_when_nothing_is_converted(folder, capsys):
    (folder / "died.wav").write_bytes(wav(SAMPLES, 0))
    assert "died.wav" in run(capsys, *PREPARE)[1]
    assert "died.wav" not in run(capsys, *PREPARE)[1]


@pytest.mark.parametrize("window", [None, 0.5])
def test_a_tagger_gives_notes_and_strict_refuses(folder, window):
    (folder / "died.wav").write_bytes(wav(SAMPLES, 0))
    result = Tagger(LoudestBand(), window=window)(folder)
    assert [bool(file.notes) for file in result.results] == [True, False, False]
    assert "declares 0 bytes" in result.results[0].notes[0]
    assert result.results[0].to_json()["notes"] == list(result.results[0].notes)
    assert "notes" not in result.results[1].to_json()
    strict = Tagger(LoudestBand(), window=window, strict=True)(folder)
    assert len(strict.results) == 2
    assert "--strict" in strict.failed[0].error


def test_windows_of_an_unfinished_recording_carry_one_note(folder, capsys):
    (folder / "died.wav").write_bytes(wav(pcm(sweep(6.0)), 0))
    code, err = run(capsys, *EMBED, "--window", "1", "--hop", "1")
    assert code == 0
    assert err.count("died.wav") == 1
    assert len(np.load(folder.parent / "out.npy")) == 2 + 2 + 6
