"""``auricle prepare DATASET``: the manifest, kept recordings, HDF5 files, continuing, and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle.audio.decode import read
from auricle.cli.main import main
from auricle.commands.prepare.published import PublishedConfig, prepare_published
from auricle.core.errors import AuricleError
from auricle.data.manifest.formats import read_manifest
from auricle.data.published.table import DATASETS
from helpers.finetune_runs import config as finetune_config
from helpers.finetune_runs import weight_file
from helpers.published_sets import RATE, TINY_SETS, audioset, audioset_archives, esc50


def prepare(name: str, source: Path, out: Path, **options):
    return prepare_published(PublishedConfig(name, str(source), str(out), quiet=True, **options))


@pytest.mark.parametrize("name", TINY_SETS)
def test_the_folder_is_a_manifest_with_everything_that_is_published(name, tmp_path):
    TINY_SETS[name].make(tmp_path / "source")
    result = prepare(name, tmp_path / "source", tmp_path / "out")
    listed = DATASETS[name].read(tmp_path / "source")
    manifest = read_manifest(tmp_path / "out")
    assert result.failed == ()
    assert manifest.ids == listed.ids
    for field in ("labels", "split", "fold", "group", "known"):
        assert list(manifest.table.values(field)) == list(listed.table.values(field)), field
    assert manifest.label_classes() == listed.label_classes()
    assert all(manifest.audio(clip).is_file() for clip in manifest)
    assert set(manifest.table.numbers("rate").tolist()) == {RATE}


def test_recordings_are_kept_as_samples_at_the_rate_of_the_model(tmp_path):
    esc50(tmp_path / "source")
    prepare("esc50", tmp_path / "source", tmp_path / "out", cache=True, sample_rate=16000)
    manifest = read_manifest(tmp_path / "out")
    clip = manifest.clips[0]
    file = manifest.audio(clip)
    assert file == tmp_path / "out/waveforms/audio" / clip.id
    assert soundfile.info(file).subtype == "FLOAT"
    assert (clip.rate, clip.num_samples) == (16000, 1600)
    original = read(tmp_path / "source/audio" / clip.id, rate=16000).wave
    np.testing.assert_array_equal(read(file).wave, original)


def test_sixteen_bits_are_half_the_size_and_two_to_the_minus_16_away(tmp_path):
    esc50(tmp_path / "source")
    for bits in (16, 32):
        prepare("esc50", tmp_path / "source", tmp_path / f"{bits}", cache=True, bits=bits, sample_rate=16000)
    short, whole = (read_manifest(tmp_path / f"{bits}") for bits in (16, 32))
    for clip in short:
        np.testing.assert_allclose(read(short.audio(clip)).wave, read(whole.audio(whole[clip.id])).wave, atol=2**-15)
    sizes = [manifest.audio(manifest.clips[0]).stat().st_size for manifest in (short, whole)]
    assert sizes[1] - sizes[0] > 1600


def test_the_same_command_continues(tmp_path):
    esc50(tmp_path / "source")
    prepare("esc50", tmp_path / "source", tmp_path / "out", cache=True)
    before = (tmp_path / "out/manifest.csv").read_text()
    kept = sorted((tmp_path / "out/waveforms/audio").iterdir())
    kept[0].unlink()
    kept[1].write_bytes(b"")  # a power cut
    changed = tmp_path / "source/audio/3-103-A-2.wav"
    soundfile.write(changed, np.zeros(1000), RATE)
    result = prepare("esc50", tmp_path / "source", tmp_path / "out", cache=True)
    assert (result.done, result.skipped) == (3, 7)
    after = (tmp_path / "out/manifest.csv").read_text()
    assert [line for line in after.splitlines() if line not in before] == [
        line for line in after.splitlines() if line.startswith("3-103-A-2.wav")
    ]


def test_other_settings_are_refused(tmp_path):
    esc50(tmp_path / "source")
    prepare("esc50", tmp_path / "source", tmp_path / "out", cache=True)
    with pytest.raises(AuricleError, match="sample_rate was 32000, now 16000"):
        prepare("esc50", tmp_path / "source", tmp_path / "out", cache=True, sample_rate=16000)
    with pytest.raises(AuricleError, match="is not a prepared folder"):
        prepare("esc50", tmp_path / "source", tmp_path / "source")


def test_missing_and_broken_recordings_are_listed_and_the_exit_code_is_1(tmp_path, capsys):
    esc50(tmp_path / "source")
    (tmp_path / "source/audio/1-101-A-2.wav").unlink()
    (tmp_path / "source/audio/2-102-A-2.wav").write_bytes(b"no sound")
    assert main(["prepare", "esc50", str(tmp_path / "source"), "--out", str(tmp_path / "out"), "--json"]) == 1
    shown = capsys.readouterr()
    answer = json.loads(shown.out)
    assert (answer["done"], len(answer["failed"])) == (8, 2)
    assert "1 of 10 listed file is missing" in shown.err
    lines = (tmp_path / "out/failed.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ["1-101-A-2.wav", "audio/2-102-A-2.wav"]
    assert len(read_manifest(tmp_path / "out")) == 8


def test_exit_codes_of_success_and_of_a_wrong_folder(tmp_path, capsys):
    esc50(tmp_path / "source")
    out = ["--out", str(tmp_path / "out")]
    assert main(["prepare", "esc50", str(tmp_path / "source"), *out]) == 0
    assert "10 recordings read" in capsys.readouterr().out
    assert main(["prepare", "gtzan", str(tmp_path / "source/meta"), "--out", str(tmp_path / "other")]) == 2
    assert "is not laid out as GTZAN" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_a_name_is_the_data_set_and_a_path_is_the_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    esc50(tmp_path / "esc50")
    assert main(["prepare", "esc50", "--out", "out"]) == 2
    error = capsys.readouterr().err
    assert "'esc50' is taken as the name of the data set; ./esc50 is the folder of audio" in error
    assert main(["prepare", "esc50", "esc50", "--out", "published"]) == 0
    assert main(["prepare", "--out", "by options first", "esc50", "esc50"]) == 0
    assert read_manifest("published").clips[0].fold == 1
    assert read_manifest("by options first").clips[0].fold == 1


def test_help_names_the_data_sets_and_describes_one(capsys):
    with pytest.raises(SystemExit):
        main(["prepare", "--help"])
    text = capsys.readouterr().out
    assert all(name in text for name in DATASETS)
    with pytest.raises(SystemExit):
        main(["prepare", "fsd50k", "--help"])
    text = capsys.readouterr().out
    assert DATASETS["fsd50k"].url in text
    assert "train 36,796, valid 4,170, test 10,231" in text
    assert "--cache" in text


def test_the_data_sets_are_listed(capsys):
    assert main(["prepare", "datasets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(DATASETS)
    assert main(["prepare", "datasets", "esc50", "--json"]) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["expected"] == {f"fold {fold}": 400 for fold in range(1, 6)}
    assert main(["prepare", "datasets", "esc5"]) == 2


def test_hdf5_files_are_written_for_audioset_only(tmp_path):
    pytest.importorskip("h5py")
    audioset(tmp_path / "source", suffix=".mp3", first="Y")
    prepare("audioset", tmp_path / "source", tmp_path / "out", hdf5=True)
    manifest = read_manifest(tmp_path / "out")
    assert next(clip.store for clip in manifest) == "balanced_train_segments_mp3.hdf"
    assert (tmp_path / "out/eval_segments_mp3.hdf").is_file()
    with pytest.raises(AuricleError, match="ESC-50 is not written as HDF5"):
        prepare("esc50", tmp_path, tmp_path / "other", hdf5=True)
    with pytest.raises(AuricleError, match="choose one"):
        PublishedConfig("audioset", "s", "o", cache=True, hdf5=True)


def folders_of_mp3(folder: Path) -> Path:
    audioset(folder / "source", suffix=".mp3", first="Y")
    return folder / "source"


def files_of_mp3(folder: Path) -> Path:
    pytest.importorskip("h5py")
    return audioset_archives(folder)


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (folders_of_mp3, {"hdf5": True}),
        (files_of_mp3, {}),
        (files_of_mp3, {"cache": True, "sample_rate": 16000}),
    ],
    ids=["folders, to hdf5", "hdf5", "hdf5, kept"],
)
def test_fine_tuning_reads_what_was_prepared(tmp_path, make, options):
    from auricle.commands.finetune.finetune import finetune_run

    if "hdf5" in options:
        pytest.importorskip("h5py")
    result = prepare("audioset", make(tmp_path), tmp_path / "out", **options)
    assert (result.done, result.failed) == (5, ())
    manifest = read_manifest(tmp_path / "out")
    assert manifest.clips[0].in_archive == ((make is files_of_mp3 and not options) or "hdf5" in options)
    settings = finetune_config(
        tmp_path / "out/manifest.csv", tmp_path / "run", weight_file(tmp_path), epochs=1, batch_size=2, workers=2,
        valid_ratio=0.0,
    )  # fmt: skip
    assert "mAP" in finetune_run(settings, quiet=True).test


def test_a_misspelt_name_is_answered_with_the_nearest(capsys):
    assert main(["prepare", "esc-50", "ESC-50-master", "--out", "o"]) == 2
    assert "there is no published data set 'esc-50'; did you mean esc50" in capsys.readouterr().err
