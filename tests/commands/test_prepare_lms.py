"""`auricle prepare lms`: a mirror of log-mel files with the original converter's layout and values; half precision."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from auricle.cli.main import main
from auricle.commands.prepare.log_mel_folder import LmsConfig, prepare_lms
from auricle.data.datasets.spectrograms import Spectrograms
from auricle.data.manifest.formats import read_manifest
from auricle.data.stores.npy import HALF_ERROR, front_end_of, is_complete, open_array
from auricle.frontends.base import front_end
from helpers.sounds import tone, write_sound, write_sounds
from helpers.stores import exact_statistics


def run(source: object, out: object, *options: object) -> int:
    return main(["prepare", "lms", str(source), "--out", str(out), *map(str, options), "--quiet"])


@pytest.fixture
def sounds(tmp_path) -> Path:
    """Two folders of short wav files, and one flac."""
    write_sounds(tmp_path / "sounds/dog", 2)
    write_sounds(tmp_path / "sounds/cat/deep", 1)
    write_sound(tmp_path / "sounds/bird.flac")
    return tmp_path / "sounds"


def test_relative_paths_are_mirrored_and_short_sound_is_padded(sounds, tmp_path):
    assert run(sounds, tmp_path / "lms") == 0
    assert sorted(p.relative_to(tmp_path / "lms").as_posix() for p in (tmp_path / "lms").rglob("*.npy")) == [
        "cat/deep/clip000.npy",
        "dog/clip000.npy",
        "dog/clip001.npy",
    ]
    array = np.load(tmp_path / "lms/dog/clip000.npy")
    # 6.1 s are 611 frames: [m2d 1.3](docs/specification/m2d.md#s1-3)
    assert (array.shape, array.dtype) == ((1, 80, 611), np.float32)
    assert array[0, 0, -1] == pytest.approx(-15.942385, abs=1e-5), "padding is digital silence before the transform"


@pytest.mark.parametrize("rate", [16000, 32000])
def test_values_are_the_front_ends_of_the_padded_sound(tmp_path, rate):
    wave = tone(1.0, rate)
    (tmp_path / "sounds").mkdir()
    soundfile.write(tmp_path / "sounds/a.wav", wave, rate, subtype="FLOAT")
    assert run(tmp_path / "sounds", tmp_path / "lms", "--sample-rate", rate, "--min-length", 1.5) == 0
    stored = np.load(tmp_path / "lms/a.npy")[0]
    padded = torch.from_numpy(np.pad(wave, (0, rate // 2)))
    np.testing.assert_allclose(stored, front_end(f"m2d-logmel/{rate // 1000}k")(padded[None])[0], atol=1e-6)
    assert stored.shape == (80, 151), "the padding counts in the actual rate"


def test_suffix_any_and_skip_select_the_files(sounds, tmp_path):
    result = prepare_lms(LmsConfig(str(sounds), str(tmp_path / "all"), suffix="any", quiet=True))
    assert result.done == 4
    assert (tmp_path / "all/bird.npy").is_file()
    assert prepare_lms(LmsConfig(str(sounds), str(tmp_path / "few"), skip=2, quiet=True)).done == 1
    assert (tmp_path / "few/dog/clip001.npy").is_file()
    assert prepare_lms(LmsConfig(str(sounds), str(tmp_path / "flac"), suffix="flac", quiet=True)).done == 1


def test_existing_files_are_kept_and_broken_ones_counted(sounds, tmp_path, capsys):
    out = tmp_path / "lms"
    assert run(sounds, out) == 0
    before = (out / "dog/clip000.npy").stat().st_mtime_ns
    (out / "dog/clip001.npy").write_bytes((out / "dog/clip001.npy").read_bytes()[:5000])
    (sounds / "text.wav").write_text("no sound")
    capsys.readouterr()
    assert run(sounds, out, "--json") == 1
    shown = capsys.readouterr()
    answer = json.loads(shown.out)
    assert (answer["done"], answer["skipped"], len(answer["failed"])) == (1, 2, 1)
    assert "text.wav" in shown.err
    assert (out / "dog/clip000.npy").stat().st_mtime_ns == before
    assert is_complete(out / "dog/clip001.npy"), "a file cut off by a power failure is made again"
    assert not list(out.rglob("*.tmp"))


def test_many_files_are_converted_in_processes_to_the_same_values(quick_workers, tmp_path):
    write_sounds(tmp_path / "sounds", 70, seconds=0.1)
    one = LmsConfig(str(tmp_path / "sounds"), str(tmp_path / "one"), min_length=0.2, workers=1, quiet=True)
    two = LmsConfig(str(tmp_path / "sounds"), str(tmp_path / "two"), min_length=0.2, workers=2, quiet=True)
    assert prepare_lms(one).done == prepare_lms(two).done == 70
    for path in (tmp_path / "one").rglob("*.npy"):
        assert np.array_equal(np.load(path), np.load(tmp_path / "two" / path.name))


def test_half_precision_errors_stay_below_the_documented_bound(sounds, tmp_path):
    assert run(sounds, tmp_path / "full") == 0
    assert run(sounds, tmp_path / "half", "--float16") == 0
    card = json.loads((tmp_path / "half/prepare.json").read_text())
    assert (card["settings"]["dtype"], card["largest_error"]) == ("float16", HALF_ERROR)
    full, half = (np.load(tmp_path / kind / "dog/clip000.npy") for kind in ("full", "half"))
    assert half.dtype == np.float16
    assert 0 < np.abs(full - half.astype(np.float32)).max() <= HALF_ERROR


def test_readers_take_half_precision_as_float32(sounds, tmp_path):
    run(sounds, tmp_path / "half", "--float16")
    manifest = read_manifest(tmp_path / "half")
    assert front_end_of(manifest) == "m2d-logmel/16k"
    assert open_array(manifest.spectrogram(manifest.clips[0])).dtype == np.float16
    assert Spectrograms(manifest, 608)[0].crop.values.dtype == np.float32
    assert exact_statistics(manifest).std > 1


def test_prepare_stores_half_precision_too_and_refuses_to_mix(sounds, tmp_path, capsys):
    words = ["prepare", str(sounds), "--out", str(tmp_path / "out"), "--quiet"]
    assert main([*words, "--float16"]) == 0
    assert np.load(tmp_path / "out/lms/bird.npy").dtype == np.float16
    assert main(words) == 2
    assert "dtype was float16, now float32" in capsys.readouterr().err
    capsys.readouterr()
    assert main([*words, "--float16", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["skipped"] == 4


def test_a_list_beside_its_mirror_finds_the_card(sounds, tmp_path):
    run(sounds, tmp_path / "data/sounds_lms", "--sample-rate", 32000)
    (tmp_path / "data/files.csv").write_text("file_name\nsounds_lms/dog/clip000.npy\n")
    assert front_end_of(read_manifest(tmp_path / "data/files.csv")) == "m2d-logmel/32k"


def test_refused_requests_exit_with_code_2(sounds, tmp_path, capsys):
    write_sound(sounds / "bird.wav")
    assert run(tmp_path / "nowhere", tmp_path / "out") == 2
    assert run(sounds, tmp_path / "out", "--suffix", ".opus") == 2
    assert run(sounds, tmp_path / "out", "--suffix", "any") == 2
    assert run(sounds, tmp_path / "out", "--sample-rate", 44100) == 2
    assert run(sounds, tmp_path / "out", "--skip", -1) == 2
    assert not (tmp_path / "out").exists()
    assert run(sounds, tmp_path / "out") == 0
    assert run(sounds, tmp_path / "out", "--min-length", 3) == 2
    said = capsys.readouterr().err
    for words in (
        "not a folder",
        "no .opus",
        "would both become bird.npy",
        "16000 or 32000",
        "min_seconds was 6.1, now 3.0",
    ):
        assert words in said
