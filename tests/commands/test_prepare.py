"""`auricle prepare`: what it writes, what it refuses, and that nothing finished is done twice."""

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
import soundfile
import torch

from auricle.audio.decode import read
from auricle.cli.main import main
from auricle.commands.prepare.prepare import PrepareConfig, prepare
from auricle.data.datasets.spectrograms import Spectrograms
from auricle.data.loading.loader import make_loader
from auricle.data.loading.sampler import ShuffledBatches
from auricle.data.manifest.formats import read_manifest
from auricle.data.stores.conversion import ConversionTask, ConvertedClip, Converter, LogMelConverter, keys_of
from auricle.frontends.base import front_end
from auricle.frontends.streaming import spectrogram_blocks
from helpers.patience import PATIENCE
from helpers.sounds import tone, write_sound, write_sounds
from helpers.stores import exact_statistics


def run(source: object, out: object, *options: object) -> int:
    return main(["prepare", str(source), "--out", str(out), *map(str, options), "--quiet"])


def times(out: Path) -> dict[str, int]:
    """Name -> time of the last change, of every finished spectrogram."""
    return {file.name: file.stat().st_mtime_ns for file in out.rglob("*.npy")}


@pytest.fixture
def corpus(tmp_path) -> Path:
    """Six tones in two folders and a table of labels and folds."""
    for name in ("dog", "cat"):
        write_sounds(tmp_path / "audio" / name, 3)
    rows = [f"{name}/clip{i:03d}.wav,{name},{i + 1}" for name in ("dog", "cat") for i in range(3)]
    (tmp_path / "meta.csv").write_text("\n".join(["filename,category,fold", *rows]) + "\n")
    return tmp_path / "audio"


def test_a_prepared_folder_holds_log_mels_manifest_statistics_and_settings(corpus, tmp_path):
    out = tmp_path / "out"
    result = prepare(PrepareConfig(str(corpus), str(out), labels=str(tmp_path / "meta.csv"), quiet=True))
    assert (result.done, result.skipped, result.failed) == (6, 0, ())
    array = np.load(out / "lms/dog/clip000.npy")
    wave = read(corpus / "dog/clip000.wav", rate=16000).wave
    assert (array.shape, array.dtype) == ((1, 80, 51), np.float32)
    np.testing.assert_array_equal(array, front_end("m2d-logmel/16k")(torch.from_numpy(wave)[None]))
    manifest = read_manifest(out)
    clip = manifest["dog/clip000.wav"]
    assert (clip.labels, clip.fold, clip.rate, clip.num_samples) == (("dog",), 1, 16000, 8000)
    assert manifest.audio(clip).samefile(corpus / "dog/clip000.wav")
    stored = json.loads((out / "statistics.json").read_text())
    assert (stored["mean"], stored["std"]) == pytest.approx(exact_statistics(manifest), abs=1e-9)
    assert json.loads((out / "prepare.json").read_text())["settings"]["front_end"] == "m2d-logmel/16k"
    assert (out / "failed.csv").read_text() == "id,path,error\n"


def test_a_prepared_folder_feeds_the_loader(corpus, tmp_path):
    run(corpus, tmp_path / "out")
    manifest = read_manifest(tmp_path / "out")
    data = Spectrograms(manifest, 48, classes=manifest.label_classes())
    batch = next(iter(make_loader(data, ShuffledBatches(len(data), 4))))
    assert (batch.spec.shape, batch.labels.shape, batch.front_end) == ((4, 80, 48), (4, 2), "m2d-logmel/16k")


def test_the_answer_is_on_stdout_and_can_be_json(corpus, tmp_path, capsys):
    assert run(corpus, tmp_path / "out", "--json") == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["done"], answer["skipped"], answer["failed"]) == (6, 0, [])
    assert run(corpus, tmp_path / "out") == 0
    assert "0 clips prepared" in (text := capsys.readouterr().out)
    assert "6 already finished" in text


def test_bad_files_are_counted_and_the_others_prepared(corpus, tmp_path, capsys):
    (corpus / "dog/text.wav").write_text("this is no sound")
    (corpus / "dog/empty.wav").write_bytes(b"")
    write_sound(corpus / "dog/short.wav", tone(0.003))
    soundfile.write(corpus / "dog/nan.wav", np.full(16000, np.nan, np.float32), 16000, subtype="FLOAT")
    cut = write_sound(corpus / "dog/cut.flac", tone(2.0))
    cut.write_bytes(cut.read_bytes()[:20000])
    out = tmp_path / "out"
    assert run(corpus, out) == 1
    shown = capsys.readouterr()
    assert "6 clips prepared" in shown.out
    assert "5 failed" in shown.out
    assert "lasts 3 ms" in shown.err
    with (out / "failed.csv").open() as file:
        failed = {row["id"]: row["error"] for row in csv.DictReader(file)}
    assert set(failed) == {f"dog/{name}" for name in ("text.wav", "empty.wav", "short.wav", "nan.wav", "cut.flac")}
    assert all(Path(id).name in error for id, error in failed.items())
    assert len(read_manifest(out)) == 6


def test_refused_requests_exit_with_code_2(corpus, tmp_path, capsys):
    twice = tmp_path / "twice.csv"
    twice.write_text("id,path\na,dog/clip000.wav\na,dog/clip001.wav\n")
    assert run(tmp_path / "no_folder", tmp_path / "out") == 2
    assert run(twice, tmp_path / "out") == 2
    assert run(corpus, tmp_path / "out", "--labels", tmp_path / "meta.csv", "--label-column", "kind") == 2
    assert run(corpus, tmp_path / "out", "--sample-rate", 8000) == 2
    assert run(corpus, corpus) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == ["auricle"] * 5
    assert "duplicate ids" in lines[1]
    assert "its columns are filename, category, fold" in lines[2]
    assert not (tmp_path / "out").exists()


def test_a_folder_with_nothing_but_broken_files_is_refused(tmp_path):
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / "text.wav").write_text("this is no sound")
    assert run(tmp_path / "audio", tmp_path / "out") == 2


def test_other_settings_are_refused_and_named(corpus, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(corpus, out) == 0
    assert run(corpus, out, "--min-seconds", 6.1) == 2
    assert "min_seconds was 0.0, now 6.1" in capsys.readouterr().err
    assert run(corpus, out, "--labels", tmp_path / "meta.csv") == 0, "labels do not change the spectrograms"
    assert read_manifest(out)["dog/clip001.wav"].fold == 2


def test_short_sound_is_padded_to_the_requested_length(corpus, tmp_path):
    run(corpus, tmp_path / "out", "--min-seconds", 6.1)
    array = np.load(tmp_path / "out/lms/cat/clip001.npy")
    # 6.1 s are 611 frames: [m2d 1.3](docs/specification/m2d.md#s1-3)
    assert array.shape == (1, 80, 611)
    assert array[0, 0, -1] == pytest.approx(-15.942385, abs=1e-5), "digital silence"


def test_only_new_or_changed_clips_are_prepared_again(corpus, tmp_path):
    out = tmp_path / "out"
    run(corpus, out)
    before = times(out / "lms/cat")
    write_sound(corpus / "dog/clip001.wav", tone(1.0))
    write_sound(corpus / "dog/new.wav")
    (out / "lms/dog/clip002.npy").unlink()
    result = prepare(PrepareConfig(str(corpus), str(out), quiet=True))
    assert (result.done, result.skipped) == (3, 4)
    assert times(out / "lms/cat") == before
    assert np.load(out / "lms/dog/clip001.npy").shape[-1] == 101


def test_spans_of_one_recording_become_files_of_their_own(tmp_path):
    write_sound(tmp_path / "audio/long.wav", tone(3.0))
    table = tmp_path / "audio/spans.csv"
    table.write_text("path,start,end\nlong.wav,0,1\nlong.wav,1,3\n")
    assert run(table, tmp_path / "out") == 0
    manifest = read_manifest(tmp_path / "out")
    assert [np.load(manifest.spectrogram(clip)).shape[-1] for clip in manifest] == [101, 201]


@pytest.mark.parametrize("rate", [16000, 32000])
@pytest.mark.parametrize("samples", [48000, 48001, 63999, 100])
def test_long_recordings_in_blocks_are_as_in_one_piece(rate, samples):
    front = front_end(f"m2d-logmel/{rate // 1000}k")
    wave = tone(3.0 + samples / rate, rate)[: 2 * rate + samples]
    pieces = [wave[i : i + 7001] for i in range(0, len(wave), 7001)]
    whole = front(torch.from_numpy(wave)[None])[0].numpy()
    joined = torch.cat(list(spectrogram_blocks(pieces, front)), dim=1)
    np.testing.assert_allclose(joined, whole, atol=1e-5)
    short = torch.cat(list(spectrogram_blocks([wave[:700]], front)), dim=1)
    np.testing.assert_allclose(short, front(torch.from_numpy(wave[:700])[None])[0])


def test_long_files_are_prepared_in_blocks(tmp_path):
    write_sound(tmp_path / "long.wav", tone(3.0, 44100), 44100)
    task = ConversionTask("long.wav", tmp_path / "long.wav", 0.0, None, "long.npy")
    whole = LogMelConverter("m2d-logmel/16k")(task.audio)
    assert isinstance(Converter(tmp_path, LogMelConverter("m2d-logmel/16k", block_seconds=0.5))(task), ConvertedClip)
    np.testing.assert_allclose(np.load(tmp_path / "lms/long.npy")[0], whole, atol=1e-4)


def test_ids_stay_inside_the_store_and_have_different_files():
    keys = keys_of(("a.wav", "a.flac", "../../b.wav", "/etc/c.wav", "d", "e.1.ogg"))
    assert len(set(keys.values())) == 6
    assert keys["../../b.wav"] == "b.npy"
    assert keys["/etc/c.wav"] == "etc/c.npy"
    assert (keys["d"], keys["e.1.ogg"]) == ("d.npy", "e.1.npy")


def test_a_killed_run_continues_without_repeating_finished_work(tmp_path):
    """SIGKILL in the middle of a run with two processes, then again with one: the number of processes is no setting."""
    write_sounds(tmp_path / "audio", 400, seconds=1.0, rate=44100)
    out = tmp_path / "out"
    command = [
        sys.executable,
        "-m",
        "auricle",
        "prepare",
        str(tmp_path / "audio"),
        "--out",
        str(out),
        "--quiet",
        "--workers",
    ]
    process = subprocess.Popen([*command, "2"], stdout=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + PATIENCE
    while len(times(out)) < 40 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()  # ends when the workers, which hold its output open too, have seen that their parent is gone
    before = times(out)
    assert 40 <= len(before) < 400
    assert not (out / "manifest.csv").exists()
    done = subprocess.run([*command, "1", "--json"], capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    after = times(out)
    assert (answer["skipped"], answer["done"]) == (len(before), 400 - len(before))
    assert {name: after[name] for name in before} == before
    assert len(read_manifest(out)) == 400
    assert not list(out.rglob("*.tmp"))
