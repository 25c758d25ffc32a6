"""``auricle check``: every planted fault is found, nothing is found in sound without a fault, and nothing is lost."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import auricle
from auricle.cli.main import main
from auricle.core.errors import AuricleError
from auricle.data.checks.findings import KINDS
from auricle.data.checks.report import CheckReport
from auricle.data.synthetic.corpus import make_corpus
from helpers.faulty_sounds import RATE, clean_sound, write, write_clean_folder, write_faulty_folder
from helpers.paths import SHARED
from helpers.patience import PATIENCE

ESC10 = SHARED / "data" / "esc10"
OF_LABELS = {"leak", "empty-class", "missing-in-training", "similar-labels", "rare-class", "unlabelled"}
OF_CORPUS = {"mixed-rates", "mixed-channels", "uneven-lengths"}
OF_CLIPS = sorted(KINDS.keys() - OF_LABELS - OF_CORPUS)


def names(report: CheckReport) -> list[str]:
    return [finding.name for finding in report.findings]


@pytest.fixture(scope="module")
def faulty(tmp_path_factory) -> tuple[Path, dict[str, set[str]], CheckReport, Path]:
    """The folder with faults, what has to be found, what was found, and the folder of the results."""
    folder, out = tmp_path_factory.mktemp("faulty") / "sounds", tmp_path_factory.mktemp("out") / "check"
    planted = write_faulty_folder(folder)
    report = auricle.check(folder, out=out, clean=out.parent / "clean.csv")
    return folder, planted, report, out


@pytest.mark.parametrize("name", OF_CLIPS)
def test_a_planted_fault_is_found_and_no_other_clip(faulty, name):
    _, planted, report, _ = faulty
    assert {Path(clip.id).name for clip in report.named(name).clips} == planted[name]


def test_every_kind_of_finding_about_clips_is_planted(faulty):
    _, planted, _, _ = faulty
    assert sorted(planted) == OF_CLIPS


def test_the_corpus_is_described(faulty):
    _, _, report, _ = faulty
    assert "1 channels in" in report.named("mixed-channels").summary
    assert report.rates[16000] > report.rates[32000] == 1
    assert set(report.classes) == {"frog", "wren"}
    assert report.clips - report.usable == 4
    assert set(report.failed) == {"frog/unreadable.wav", "frog/empty.wav", "frog/truncated.wav"}


def test_the_cleaned_manifest_has_one_clip_of_each_sound(faulty):
    folder, _, report, _ = faulty
    cleaned = auricle.check(auricle.Manifest.read(report.cleaned))
    for name in ("unreadable", "empty", "truncated", "silent", "identical-files", "identical-audio", "near-duplicates"):
        assert cleaned.named(name) is None
    assert report.left_out == {
        "cannot be used": 4, "copies of clips that are kept": 3, "copies with different labels": 2,
    }  # fmt: skip
    assert cleaned.clips == report.clips - 9
    assert (
        (report.cleaned.parent / auricle.Manifest.read(report.cleaned).clips[0].path).resolve().is_relative_to(folder)
    )


def test_the_tables_the_page_and_the_json_hold_the_findings(faulty):
    _, _, report, out = faulty
    with open(out / "findings.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["finding"] for row in rows} == set(names(report))
    assert json.loads((out / "check.json").read_text()) == report.to_json()
    with open(out / "clips.csv", newline="", encoding="utf-8") as file:
        clips = {row["id"]: row for row in csv.DictReader(file)}
    assert len(clips) == report.clips
    assert float(clips["frog/clipped.wav"]["clipped"]) > 0.01
    page = report.page.read_text(encoding="utf-8")
    assert page.count("<img") > 10
    assert all(f'id="{name}"' in page for name in names(report))


def test_findings_are_in_the_order_of_severity_and_say_what_to_do(faulty):
    _, _, report, _ = faulty
    severities = [finding.severity for finding in report.findings]
    assert severities == sorted(severities, key=("error", "warning", "note").index)
    assert all(finding.advice and finding.summary for finding in report.findings)


def test_nothing_is_found_in_sound_without_a_fault(tmp_path):
    write_clean_folder(tmp_path / "sounds", 10)
    report = auricle.check(tmp_path / "sounds")
    assert names(report) == []
    assert "nothing was found" in str(report)


def test_nothing_is_found_in_the_synthetic_corpus(quick_workers, tmp_path):
    make_corpus(tmp_path / "sounds", clips_per_class=5, seconds=2.0, folds=5, workers=0)
    report = auricle.check(tmp_path / "sounds", workers=2)
    assert report.clips == 100
    assert names(report) == []


def test_worker_processes_find_the_same(faulty, quick_workers, monkeypatch):
    folder, _, report, _ = faulty
    monkeypatch.setattr("auricle.core.parallel.FEW_ITEMS", 0)
    assert auricle.check(folder, workers=2).to_json()["findings"] == report.to_json()["findings"]


def test_the_same_sound_in_training_and_test_is_a_leak(tmp_path):
    for name in ("a", "b", "c", "d"):
        write(tmp_path / f"{name}.wav", clean_sound(ord(name)))
    write(tmp_path / "copy.ogg", clean_sound(ord("a")))
    table = tmp_path / "clips.csv"
    table.write_text(
        "path,label,split,speaker\na.wav,x,train,anna\nb.wav,x,test,ben\nc.wav,x,train,cleo\nd.wav,x,test,cleo\ncopy.ogg,x,test,ben\n"
    )
    leak = auricle.check(table).named("leak")
    assert [(clip.id, clip.detail) for clip in leak.clips[:2]] == [
        ("a.wav", "the same sound, split train"),
        ("copy.ogg", "the same sound, split test"),
    ]
    assert "one group in several splits" in leak.summary
    assert "the same sound" not in auricle.check(table, duplicates=False).named("leak").summary


def test_parts_of_one_recording_are_clips_of_their_own(tmp_path):
    write(tmp_path / "night.wav", clean_sound(1, 4.0))
    table = tmp_path / "clips.csv"
    table.write_text("path,start,end,label\nnight.wav,0,2,x\nnight.wav,1,3,x\nnight.wav,3,4,y\n")
    report = auricle.check(table)
    assert report.lengths["longest"] == 2.0
    assert names(report) == ["rare-class"]


# ---- the command


def test_exit_codes_and_streams(tmp_path, capsys):
    write_clean_folder(tmp_path / "sounds", 10)
    assert main(["check", str(tmp_path / "sounds"), "--quiet"]) == 0
    (tmp_path / "sounds/frog/broken.wav").write_bytes(b"no sound")
    assert main(["check", str(tmp_path / "sounds"), "--quiet", "--json"]) == 1
    shown = capsys.readouterr()
    assert shown.err == ""
    assert json.loads(shown.out[shown.out.index("\n{") :])["findings"][0]["name"] == "unreadable"
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/a.wav").write_bytes(b"no sound")
    assert main(["check", str(tmp_path / "broken"), "--quiet", "--clean", str(tmp_path / "c.csv")]) == 2
    assert not (tmp_path / "c.csv").exists()


def test_what_is_checked_is_never_replaced(tmp_path, capsys):
    write_clean_folder(tmp_path, 4)
    table = tmp_path / "clips.csv"
    table.write_text("path,label\nfrog/0.wav,frog\nwren/1.wav,wren\n")
    before = table.read_bytes()
    assert main(["check", str(table), "--clean", str(table), "--overwrite", "--quiet"]) == 2
    other = tmp_path / "other.csv"
    other.write_text("mine")
    assert main(["check", str(table), "--clean", str(other), "--quiet"]) == 2
    assert (table.read_bytes(), other.read_text()) == (before, "mine")
    assert "--overwrite" in capsys.readouterr().err
    assert main(["check", str(table), "--clean", str(other), "--overwrite", "--quiet"]) == 0
    assert len(auricle.Manifest.read(other)) == 2


def test_a_table_of_the_user_in_the_output_folder_is_not_replaced(tmp_path):
    write(tmp_path / "sounds" / "a.wav", clean_sound(1))
    (tmp_path / "sounds" / "clips.csv").write_text("mine", encoding="utf-8")
    with pytest.raises(AuricleError, match="clips.csv exists and is not of an earlier run"):
        auricle.check(tmp_path / "sounds", out=tmp_path / "sounds")
    assert (tmp_path / "sounds" / "clips.csv").read_text(encoding="utf-8") == "mine"


def test_several_folders_are_compared(tmp_path, capsys):
    write_clean_folder(tmp_path / "train", 2)
    write(tmp_path / "test/copy.flac", clean_sound(0))
    assert main(["check", str(tmp_path / "train"), str(tmp_path / "test"), "--quiet"]) == 0
    assert "identical-audio: the same samples in different files: 2 clips in 1 group" in capsys.readouterr().out
    with pytest.raises(AuricleError, match="--labels"):
        auricle.check([tmp_path / "train", tmp_path / "test"], labels=tmp_path / "l.csv")


def test_mistakes_of_the_caller_are_named(tmp_path):
    write_clean_folder(tmp_path / "sounds", 2)
    with pytest.raises(AuricleError, match="did you mean duplicates"):
        auricle.check(tmp_path / "sounds", duplicate=False)
    with pytest.raises(AuricleError, match="expected a folder"):
        auricle.check(tmp_path / "sounds", out=write(tmp_path / "file.wav", clean_sound(1)))
    with pytest.raises(AuricleError, match="Manifest has its labels"):
        auricle.check(auricle.Manifest.read(tmp_path / "sounds"), labels="labels.csv")


# ---- continuing


def test_a_second_check_measures_changed_files_alone(tmp_path, monkeypatch):
    from auricle.data.checks import measures

    files = write_clean_folder(tmp_path / "sounds", 6)
    auricle.check(tmp_path / "sounds", out=tmp_path / "check")
    measured = []
    whole = measures._measured
    monkeypatch.setattr(
        measures, "_measured", lambda file, clip, source: measured.append(clip.id) or whole(file, clip, source)
    )
    report = auricle.check(tmp_path / "sounds", out=tmp_path / "check")
    assert (measured, report.usable) == ([], 6)
    write(files[2], clean_sound(50, 1.5))
    (tmp_path / "check/measures.jsonl").open("a").write('{"id": "half a line')
    auricle.check(tmp_path / "sounds", out=tmp_path / "check")
    assert measured == ["frog/2.wav"]


@pytest.mark.slow
def test_a_killed_check_goes_on_where_it_was(programs, tmp_path):
    for number in range(80):
        noise = np.random.default_rng(number).uniform(-0.5, 0.5, 3 * RATE).astype(np.float32)
        write(tmp_path / f"sounds/{number}.wav", noise)
    command = [
        sys.executable,
        "-m",
        "auricle",
        "check",
        "sounds",
        "--out",
        "check",
        "--workers",
        "2",
        "--json",
        "--quiet",
    ]
    journal = tmp_path / "check/measures.jsonl"
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + 60 * PATIENCE
        while time.monotonic() < until and not (journal.is_file() and journal.read_bytes().count(b"\n") >= 3):
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    kept = journal.read_bytes().count(b"\n")
    assert 3 <= kept < 80
    done = subprocess.run(
        [programs / "python", *command[1:]], cwd=tmp_path, capture_output=True, text=True, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["usable"] == 80
    assert len({json.loads(line)["id"] for line in journal.read_text().splitlines()}) == 80


# ---- real recordings


@pytest.mark.slow
@pytest.mark.skipif(not ESC10.is_dir(), reason="no ../shared/data/esc10")
def test_esc10_has_one_pair_of_copies_and_no_other_warning(quick_workers):
    report = auricle.check(ESC10 / "audio", labels=ESC10 / "meta.csv", workers=2)
    assert names(report) == ["near-duplicates", "band-limited", "padded"]
    assert {clip.id for clip in report.findings[0].clips} == {"2-28314-A.ogg", "2-30322-A.ogg"}
