"""``auricle suggest``: which clips are suggested, what is left out, what is written, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import auricle
from auricle.cli.main import run
from auricle.commands.finetune.finetune import finetune_run
from auricle.commands.suggest import COLUMNS
from auricle.core.errors import AuricleError
from auricle.data.manifest.formats import read_manifest
from helpers.finetune_runs import config, labelled_sounds, weight_file
from helpers.sounds import tone, write_sound
from helpers.tagging import LoudestBand


@pytest.fixture(scope="module")
def night(tmp_path_factory) -> Path:
    """Eight seconds of tones of changing pitch in one recording, and two short recordings."""
    folder = tmp_path_factory.mktemp("night")
    parts = [tone(1.0, 32000, hertz, seed=i) for i, hertz in enumerate([200, 200, 1500, 1500, 3000, 5000, 9000, 200])]
    write_sound(folder / "night.wav", np.concatenate(parts), 32000)
    write_sound(folder / "short" / "a.wav", tone(0.5, 32000, 800.0, seed=20), 32000)
    write_sound(folder / "short" / "b.wav", tone(0.5, 32000, 2500.0, seed=21), 32000)
    return folder


@pytest.fixture(scope="module")
def detector(tmp_path_factory) -> tuple[Path, Path]:
    """Labelled tones and noises, and the run folder that learnt from them."""
    folder = tmp_path_factory.mktemp("detector")
    sounds = labelled_sounds(folder / "sounds", clips=4)
    return sounds, finetune_run(config(sounds, folder / "run", weight_file(folder), epochs=1), quiet=True).run


def suggested(night: Path, **settings):
    return auricle.suggest(night, LoudestBand(), **{"window": 1.0, "top_k": 6, **settings})


def test_windows_of_long_and_whole_short_recordings_are_suggested(night):
    found = suggested(night, top_k=10, near=1.0)
    assert found.candidates == len(found.clips) == 10
    assert {(Path(clip.path).name, clip.start) for clip in found.clips if clip.start is None} == {
        ("a.wav", None),
        ("b.wav", None),
    }
    spans = sorted((clip.start, clip.end) for clip in found.clips if clip.start is not None)
    assert spans == [(float(i), i + 1.0) for i in range(8)]


def test_a_rest_of_a_millisecond_is_no_second_clip(tmp_path):
    write_sound(tmp_path / "a.wav", tone(1.001, 32000, 800.0), 32000)
    found = suggested(tmp_path, top_k=2)
    assert found.candidates == 1
    assert found.clips[0].start is None, "the whole recording"


def test_random_clips_are_marked_with_their_probability(night):
    found = suggested(night, random_ratio=0.5)
    drawn = [clip for clip in found.clips if clip.reason == "random"]
    assert len(drawn) == 3
    assert {clip.probability for clip in drawn} == {0.3}
    assert {clip.probability for clip in found.clips if clip.reason != "random"} == {None}
    assert all(clip.reason != "random" for clip in suggested(night, random_ratio=0.0).clips)


def test_clips_that_sound_alike_come_once(night):
    found = suggested(night, random_ratio=0.0, top_k=10)
    assert len({clip.start for clip in found.clips} & {0.0, 1.0, 7.0}) <= 1, "three times 200 Hz"
    assert any("near-duplicates" in note for note in found.notes)


def test_labelled_clips_are_left_out_and_what_sounds_like_them(night, tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text(
        f"path,start,end,label\n{night}/night.wav,0.2,1,low\n{night}/short/a.wav,,,low\n", encoding="utf-8"
    )
    found = suggested(night, exclude=table, top_k=10, random_ratio=0.0)
    assert found.candidates == 8
    assert not {clip.start for clip in found.clips} & {0.0, 1.0, 7.0}
    assert not [clip for clip in found.clips if clip.path.endswith("a.wav")]


def test_clips_that_the_run_learnt_from_are_left_out(detector):
    sounds, model = detector
    write_sound(sounds / "new.wav", tone(0.6, 16000, 500.0, seed=50), 16000)
    found = auricle.suggest(sounds, model, window=2.0, near=1.0)
    assert [Path(clip.path).name for clip in found.clips] == ["new.wav"]
    (sounds / "new.wav").unlink()
    with pytest.raises(AuricleError, match="labelled already"):
        auricle.suggest(sounds, model, window=2.0)


def test_a_run_whose_recordings_are_gone_says_so(detector, night):
    sounds, model = detector
    away = sounds.rename(sounds.with_name("away"))
    try:
        found = auricle.suggest(night, model, window=2.0, top_k=2)
    finally:
        away.rename(sounds)
    assert "--exclude" in found.notes[0]
    assert found.clips


def test_the_command_writes_a_table_without_labels_and_a_page(detector, night, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["suggest", str(night), "--model", str(detector[1]), "--window", "1", "--top-k", "3", "--out", str(out)]
    assert run([*command, "--json", "--quiet"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert len(answer["suggestions"]) == 3
    with open(out / "suggestions.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == 3
    assert not read_manifest(out / "suggestions.csv").label_classes(), "a suggestion is no label"
    assert "suggestions.csv" in answer["table"]
    page = (out / "label.html").read_text(encoding="utf-8")
    assert "data:audio/mpeg" in page
    assert run([*command, "--quiet"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run([*command, "--quiet", "--overwrite", "--link"]) == 0
    page = (out / "label.html").read_text(encoding="utf-8")
    assert "data:audio/mpeg" not in page
    assert "night.wav" in page


def test_a_broken_file_is_named_and_the_others_are_looked_at(night, detector, tmp_path, capsys):
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    files = [str(tmp_path / "broken.wav"), str(night / "short" / "a.wav")]
    assert run(["suggest", *files, "--model", str(detector[1]), "--out", "none", "--quiet"]) == 1
    error = capsys.readouterr().err
    assert "broken.wav" in error
    assert "only 2 clips" in error
    assert run(["suggest", files[0], "--model", str(detector[1]), "--out", "none", "--quiet"]) == 2


def test_what_cannot_be_asked_about_is_refused(night, tmp_path):
    with pytest.raises(AuricleError, match="no classes"):
        auricle.suggest(night, LoudestBand(None))
    (tmp_path / "empty").mkdir()
    with pytest.raises(AuricleError, match="no audio"):
        auricle.suggest(tmp_path / "empty", LoudestBand())
    with pytest.raises(AuricleError, match="did you mean window"):
        auricle.suggest(night, LoudestBand(), windw=1.0)
    with pytest.raises(AuricleError, match="no label 'wolf'"):
        suggested(night, only=("wolf",))


def test_the_answers_do_not_depend_on_the_number_of_threads(night):
    assert suggested(night, workers=1) == suggested(night, workers=4)
