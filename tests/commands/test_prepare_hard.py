"""`auricle prepare` under difficult conditions: odd names, folders that cannot be listed, files that change, damage."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle.cli.main import main
from auricle.commands.prepare.prepare import PrepareConfig, prepare
from auricle.core.errors import AuricleError
from auricle.data.manifest.formats import read_manifest
from auricle.data.stores import conversion
from auricle.data.stores.conversion import ConversionTask, Converter, LogMelConverter, by_recording, keys_of, tasks_of
from auricle.data.stores.npy import front_end_of
from helpers.sounds import tone, write_sound, write_sounds


def run(source: object, out: object, *options: object) -> int:
    return main(["prepare", "--out", str(out), *map(str, options), "--quiet", "--", str(source)])


@pytest.fixture
def audio(tmp_path) -> Path:
    write_sounds(tmp_path / "audio", 3)
    return tmp_path / "audio"


# ---- what was understood


def test_what_was_understood_is_printed_before_the_work(tmp_path, capsys):
    for name in ("dog/a.wav", "cat/b.wav", "cat/c.wav", "stray.wav"):
        write_sound(tmp_path / "audio" / name)
    assert run(tmp_path / "audio", tmp_path / "out", "--json") == 0
    shown = capsys.readouterr()
    assert f"{tmp_path / 'audio'}: 4 clips, 2 classes, single label (cat 2, dog 1), 1 without a label" in shown.err
    assert "note: 1 of 4 recordings are in no class folder" in shown.err
    source = json.loads(shown.out)["source"]
    assert (source["kind"], source["classes"]) == ("single label", {"cat": 2, "dog": 1})


# ---- names


def test_names_as_long_as_file_systems_allow_are_prepared_under_short_ones(tmp_path):
    names = [
        "a.wav",
        "x" * 251 + ".wav",
        "音" * 83 + "ab.wav",
        "y" * 251 + ".wav",
        "z" * 252 + ".au",
        "x" * 250 + ".flac",
    ]
    for i, name in enumerate(names):
        assert len(os.fsencode(name)) <= 255
        soundfile.write(tmp_path / "w.wav", tone(seed=i), 16000, format="AU" if name.endswith(".au") else None)
        (tmp_path / "audio").mkdir(exist_ok=True)
        os.rename(tmp_path / "w.wav", tmp_path / "audio" / name)
    assert run(tmp_path / "audio", tmp_path / "out") == 0
    manifest = read_manifest(tmp_path / "out")
    assert set(manifest.ids) == set(names)
    assert all(manifest.spectrogram(clip).is_file() for clip in manifest)
    assert run(tmp_path / "audio", tmp_path / "out") == 0
    assert prepare(PrepareConfig(str(tmp_path / "audio"), str(tmp_path / "out"), quiet=True)).skipped == len(names)


def test_keys_are_short_and_differ():
    ids = (
        "x" * 300 + "1",
        "x" * 300 + "2",
        "a/" * 2000 + "b.wav",
        "a/" * 2000 + "c.wav",
        "ü" * 200 + ".wav",
        "n\0ul.wav",
    )
    keys = keys_of(ids)
    assert len(set(keys.values())) == len(ids)
    assert all(len(os.fsencode(part)) <= 255 for key in keys.values() for part in key.split("/"))
    assert all(len(key) < 1400 and key.endswith(".npy") and "\0" not in key for key in keys.values())


def test_names_that_begin_with_blanks_or_dashes_are_prepared_from_folders_and_tables(tmp_path):
    for name in (" street.wav", "-a.wav", "--out.wav"):
        write_sound(tmp_path / "-audio" / name)
    (tmp_path / "t.csv").write_text("file_name,label\n street.wav,a\n-a.wav, b \n--out.wav,b\n")
    os.rename(tmp_path / "-audio", tmp_path / "audio")
    for source in ("audio", "t.csv"):
        assert run(tmp_path / source, tmp_path / f"out-{source}") == 0
        manifest = read_manifest(tmp_path / f"out-{source}")
        assert set(manifest.ids) == {" street.wav", "-a.wav", "--out.wav"}
        assert all(manifest.spectrogram(clip).is_file() and manifest.audio(clip).is_file() for clip in manifest)


def test_a_sub_folder_that_cannot_be_listed_is_named_and_the_exit_code_is_1(audio, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(audio)
    for _ in range(18):
        os.mkdir("d" * 250)
        os.chdir("d" * 250)
    try:
        for verb in (["prepare"], ["prepare", "lms"]):
            assert main([*verb, str(audio), "--out", str(tmp_path / verb[-1]), "--quiet"]) == 1
            assert "dddd" in capsys.readouterr().err
        assert len(read_manifest(tmp_path / "prepare")) == 3
        (audio / "a.npy").write_bytes(b"")
        assert main(["prepare", "list", str(audio), "--out", str(audio / "l.csv")]) == 1
        assert "cannot be listed" in capsys.readouterr().err
        assert (audio / "l.csv").read_text() == "file_name\na.npy\n"
    finally:
        while Path.cwd().name == "d" * 250:
            os.chdir("..")
            os.rmdir("d" * 250)


# ---- recordings that change


def test_a_recording_that_is_replaced_while_it_is_read_fails_and_is_done_next_time(
    audio, tmp_path, monkeypatch, capsys
):
    compute = LogMelConverter.__call__

    def with_infinity(self, file, *args, **options):
        return compute(self, file, *args, **options) * np.float32(np.inf if "001" in file.name else 1)

    monkeypatch.setattr(LogMelConverter, "__call__", with_infinity)
    assert run(audio, tmp_path / "out") == 1
    assert "its spectrogram is not finite" in capsys.readouterr().err
    assert np.isfinite(json.loads((tmp_path / "out/statistics.json").read_text())["mean"])


# ---- spans of long recordings


def test_spans_of_a_recording_without_an_index_are_read_from_front_to_back(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "long.mp3", tone(20.0, 32000), 32000)
    rows = [f"long.mp3,{start},{start + 2}" for start in (4, 0, 2, 14, 16)]
    (tmp_path / "m.csv").write_text("\n".join(["path,start,end", *rows]) + "\n")
    opened = []
    blocks = conversion.SpanReader.__init__

    def counted(self, *args, **options):
        opened.append(1)
        blocks(self, *args, **options)

    monkeypatch.setattr(conversion.SpanReader, "__init__", counted)
    monkeypatch.setattr("auricle.audio.sources.read", lambda *args, **kwargs: pytest.fail("a span was searched for"))
    assert run(tmp_path / "m.csv", tmp_path / "out") == 0
    monkeypatch.undo()
    assert len(opened) == 1
    manifest = read_manifest(tmp_path / "out")
    assert [clip.start for clip in manifest] == [4, 0, 2, 14, 16]
    for clip in manifest:
        alone = LogMelConverter("m2d-logmel/16k")(tmp_path / "long.mp3", clip.start, clip.end)
        np.testing.assert_allclose(np.load(manifest.spectrogram(clip))[0], alone, atol=1e-3)  # the samples: within 1e-6


def test_clips_of_a_recording_are_grouped_in_the_order_of_time(tmp_path):
    rows = [{"path": "a.wav", "start": 2, "end": 3}, {"path": "b.wav"}, {"path": "a.wav", "start": 0, "end": 1}]
    groups = by_recording(tasks_of(read_manifest(rows, root=tmp_path)))
    assert [[task.id for task in group] for group in groups] == [["a.wav@0-1", "a.wav@2-3"], ["b.wav"]]


# ---- damaged files of a prepared folder


def test_damaged_settings_are_named_and_written_anew(audio, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(audio, out) == 0
    good = (out / "prepare.json").read_text()
    for damage in ("{", "null", "", '{"format": "x"}', "[" * 100_000, None):
        (out / "prepare.json").unlink() if damage is None else (out / "prepare.json").write_text(damage)
        capsys.readouterr()
        assert run(audio, out) == 0
        shown = capsys.readouterr()
        assert "it is written anew from done.jsonl" in shown.err
        assert "prepare.json" in shown.err
        assert "0 clips prepared" in shown.out
        assert (out / "prepare.json").read_text() == good
    (out / "prepare.json").write_text("{")
    assert run(audio, out, "--min-seconds", 3) == 2
    assert "min_seconds was 0.0, now 3.0" in capsys.readouterr().err


def test_damaged_settings_without_a_copy_are_refused_in_words(audio, tmp_path, capsys):
    assert run(audio, tmp_path / "out") == 0
    journal = tmp_path / "out/done.jsonl"
    journal.write_text("".join(line for line in journal.open() if "settings of" not in line))  # as of earlier versions
    (tmp_path / "out/prepare.json").write_text("{")
    assert run(audio, tmp_path / "out") == 2
    assert "prepare.json is damaged" in capsys.readouterr().err
    with pytest.raises(AuricleError, match=r"prepare\.json is damaged .* writes it anew"):
        front_end_of(read_manifest(tmp_path / "out"))


WRONG_TYPES = {"id": 5, "key": 6, "source": 7, "rate": "x", "num_samples": None, "count": "x", "mean": 0, "m2": 0}
DAMAGE = ["", "\0\1", '{"id": "clip000.wav"}', json.dumps(WRONG_TYPES), "NAN", "[" * 50_000, "CUT"]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_journal_costs_only_the_clips_of_its_damaged_lines(audio, tmp_path, damage):
    out = tmp_path / "out"
    assert run(audio, out) == 0
    lines = [line for line in (out / "done.jsonl").read_text().splitlines() if '"id"' in line]
    made = {"NAN": json.dumps(json.loads(lines[0]) | {"mean": float("nan")}), "CUT": lines[0][:-9]}
    (out / "done.jsonl").write_text("\n".join([made.get(damage, damage), *lines[1:]]) + "\n")
    result = prepare(PrepareConfig(str(audio), str(out), quiet=True))
    assert (result.done, result.skipped, result.failed) == (1, 2, ())


def test_other_damaged_files_are_written_anew(audio, tmp_path):
    out = tmp_path / "out"
    assert run(audio, out) == 0
    names = ("statistics.json", "manifest.csv", "failed.csv")
    good = {name: (out / name).read_bytes() for name in names}
    for name in names:
        (out / name).write_bytes(b"\0{")
    (out / "lms/clip000.npy").write_bytes(b"cut")
    assert run(audio, out) == 0
    assert {name: (out / name).read_bytes() for name in names} == good


def test_a_task_can_be_converted_by_itself(audio, tmp_path):
    task = ConversionTask("a", audio / "clip000.wav", 0.0, None, "a.npy")
    assert Converter(tmp_path, LogMelConverter("m2d-logmel/16k"))(task).key == "a.npy"
