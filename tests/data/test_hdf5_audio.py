"""HDF5 files of mp3 in the published layout: read as a ClipStore, and written from folders of mp3."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from auricle.core.errors import AudioError, AuricleError
from auricle.data.audioset import audioset_classes
from auricle.data.manifest.clip_table import Clip
from auricle.data.manifest.formats import read_manifest, write_manifest
from auricle.data.manifest.manifest import Manifest
from auricle.data.published.audioset import id_of_name
from auricle.data.published.base import read_published
from auricle.data.published.table import DATASETS
from auricle.data.stores.base import StoredAudio, open_store, with_lengths
from helpers.published_sets import audioset, audioset_archives, fsd50k, packed, write_recordings

h5py = pytest.importorskip("h5py")
MIDS = [mid for mid, _ in audioset_classes()]


@pytest.fixture
def archives(tmp_path) -> Path:
    return audioset_archives(tmp_path)


@pytest.fixture
def manifest(archives) -> Manifest:
    return read_published(DATASETS["audioset"], archives).manifest


@pytest.mark.parametrize("spelling", ["segments", "segmenets"])
def test_audioset_is_read_from_hdf5_in_both_spellings(tmp_path, spelling):
    manifest = read_published(DATASETS["audioset"], audioset_archives(tmp_path, spelling)).manifest
    assert manifest.ids == ("YkAvorYkUBI", "AJXxNMTRvpY", "-abcdefghij", "1WDdbT0xhIR", "Xvuv86ALFqt")
    assert [clip.split for clip in manifest] == ["train"] * 3 + ["test"] * 2
    assert manifest["AJXxNMTRvpY"].labels == ("Speech", "Music")
    assert manifest.classes == tuple(name for _, name in audioset_classes())


def test_a_part_that_is_not_there_is_a_note(archives):
    (archives / "unbalanced_train_segments_mp3.hdf").unlink()
    manifest = read_published(DATASETS["audioset"], archives).manifest
    assert len(manifest) == 4
    assert any(note.startswith("unbalanced_train: there is neither") for note in manifest.notes)


def test_an_id_is_what_follows_the_first_y():
    assert id_of_name("03/YYYJXxNMTRvp.mp3") == "YYJXxNMTRvp"


def test_a_clip_in_a_file_is_the_mp3_that_was_packed(manifest, tmp_path):
    store = open_store(manifest, "audio")
    for clip in manifest:
        loose = StoredAudio(tmp_path / "mp3 files" / f"Y{clip.id}.mp3")
        np.testing.assert_array_equal(store.open(clip).read(rate=16000).wave, loose.read(rate=16000).wave)
        assert store.open(clip).info().num_samples == loose.info().num_samples


def test_the_manifest_finds_the_files_from_its_own_folder(manifest, tmp_path):
    again = read_manifest(write_manifest(manifest, tmp_path / "prepared" / "manifest.csv"))
    store, clip = open_store(again, "audio"), again["-abcdefghij"]
    assert clip.key == "07/Y-abcdefghij.mp3"
    assert clip.in_archive
    assert not clip.has_spectrogram
    assert len(store.open(clip).read(rate=8000).wave) == 800


def test_lengths_are_read_inside_the_files(manifest):
    assert set(with_lengths(manifest, quiet=True).table.numbers("num_samples").tolist()) == {800}


def test_a_store_that_was_used_can_be_sent_to_another_process(manifest):
    store, clip = open_store(manifest, "audio"), manifest.clips[0]
    wave = store.open(clip).read(rate=8000).wave
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(store)).open(clip).read(rate=8000).wave, wave)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_opens_the_file_for_itself(manifest):
    store, clip = open_store(manifest, "audio"), manifest.clips[0]
    wave = store.open(clip).read(rate=8000).wave
    reader, writer = os.pipe()
    child = os.fork()
    if not child:  # the loader's workers are such processes
        try:
            same = np.array_equal(store.open(clip).read(rate=8000).wave, wave)
            os.write(writer, b"same" if same and store._archives.popitem()[1].process == os.getpid() else b"not so")
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    assert os.read(reader, 10) == b"same"
    np.testing.assert_array_equal(store.open(clip).read(rate=8000).wave, wave)


def test_what_is_missing_or_damaged_is_an_error_of_that_clip(manifest, archives):
    clip = manifest["1WDdbT0xhIR"]
    with pytest.raises(AudioError, match="holds no 'Ygone'"):
        open_store(manifest, "audio").open(replace(clip, key="Ygone"))
    (archives / "eval_segments_mp3.hdf").write_bytes(b"nothing")
    with pytest.raises(AudioError, match="eval_segments_mp3.hdf cannot be opened as HDF5"):
        open_store(manifest, "audio").open(clip)
    (archives / "eval_segments_mp3.hdf").unlink()
    with pytest.raises(AudioError, match="eval_segments_mp3.hdf"):
        open_store(manifest, "audio").open(clip)


def test_a_damaged_mp3_is_named_by_file_and_key(manifest, archives):
    with h5py.File(archives / "eval_segments_mp3.hdf", "a") as file:
        file["mp3"][0] = np.frombuffer(b"no sound", np.uint8)
    with pytest.raises(AudioError, match=r"eval_segments_mp3.hdf/Y1WDdbT0xhIR.mp3"):
        open_store(manifest, "audio").open(manifest["1WDdbT0xhIR"]).read(rate=8000)


def test_a_file_with_other_fields_is_refused(tmp_path):
    with h5py.File(tmp_path / "balanced_train_segments_mp3.hdf", "w") as file:
        file["waveform"] = np.zeros(3)
    with pytest.raises(AuricleError, match="holds waveform; expected the fields audio_name, mp3 and target"):
        read_published(DATASETS["audioset"], tmp_path)


def test_a_file_of_another_number_of_classes_is_refused(archives):
    with h5py.File(archives / "balanced_train_segments_mp3.hdf", "a") as file:
        del file["target"]
        file["target"] = np.zeros((2, 25), np.uint8)
    with pytest.raises(AuricleError, match="expected 66 bytes for 527 classes"):
        read_published(DATASETS["audioset"], archives)


def test_a_recording_in_a_file_has_no_path(manifest):
    with pytest.raises(AuricleError, match="inside balanced_train_segments_mp3.hdf"):
        manifest.audio(manifest.clips[0])
    with pytest.raises(AuricleError, match="no stored spectrogram"):
        manifest.spectrogram(manifest.clips[0])


def test_a_manifest_may_hold_loose_files_too(manifest, tmp_path):
    write_recordings(tmp_path / "hdf", ["loose.wav"])
    store = open_store(replace(manifest, clips=(*manifest, Clip("loose", "loose.wav"))), "audio")
    assert len(store.open(Clip("loose", "loose.wav")).read(rate=8000).wave) == 800


@pytest.mark.parametrize("spelling", ["segments", "segmenets"])
def test_written_files_have_the_published_fields_in_the_order_of_the_lists(tmp_path, spelling):
    audioset(tmp_path / "source", suffix=".mp3", first="Y")
    dataset = DATASETS["audioset"]
    loose = read_published(dataset, tmp_path / "source").manifest
    packed_manifest = dataset.pack(loose, tmp_path / "out", spelling)
    assert packed_manifest.ids == loose.ids
    with h5py.File(tmp_path / f"out/unbalanced_train_{spelling}_mp3.hdf") as file:
        assert file["audio_name"][:].tolist() == [b"00/Y-abcdefghij.mp3"]
        assert file["audio_name"].dtype == np.dtype("S20")
        assert file["target"].dtype == np.uint8
        assert file["target"].shape == (1, 66)
        rain = np.unpackbits(file["target"][0], count=527)
        assert [MIDS[i] for i in np.flatnonzero(rain)] == ["/m/06mb1"]
        content = (tmp_path / "source/unbalanced_train_segments/Y-abcdefghij.mp3").read_bytes()
        assert file["mp3"][0].tobytes() == content
    again = read_published(dataset, tmp_path / "out").manifest
    assert again.ids == loose.ids
    assert [set(clip.labels) for clip in again] == [set(clip.labels) for clip in loose]
    assert [clip.split for clip in again] == [clip.split for clip in loose]


def test_a_written_file_with_the_same_names_is_kept(tmp_path):
    audioset(tmp_path / "source", suffix=".mp3")
    dataset = DATASETS["audioset-balanced"]
    loose = read_published(dataset, tmp_path / "source").manifest
    dataset.pack(loose, tmp_path, "segments")
    before = (tmp_path / "eval_segments_mp3.hdf").stat().st_mtime_ns
    dataset.pack(loose, tmp_path, "segments")
    assert (tmp_path / "eval_segments_mp3.hdf").stat().st_mtime_ns == before


def test_only_mp3_files_are_copied(tmp_path):
    audioset(tmp_path)
    dataset = DATASETS["audioset"]
    with pytest.raises(AuricleError, match=r"is no mp3 file.*ffmpeg"):
        dataset.pack(read_published(dataset, tmp_path).manifest, tmp_path / "out", "segments")


def test_fsd50k_is_read_from_hdf5_with_its_ground_truth(tmp_path):
    fsd50k(tmp_path)
    write_recordings(tmp_path / "mp3", ["1.mp3", "2.mp3", "3.mp3", "4.mp3"])
    target = np.zeros(3)
    packed(tmp_path, tmp_path / "mp3", {
        "FSD50K.train_mp3.hdf": {"1.mp3": target, "2.mp3": target},
        "FSD50K.val_mp3.hdf": {"3.mp3": target},
        "FSD50K.eval_mp3.hdf": {"4.mp3": target},
    })  # fmt: skip
    for name in ("dev", "eval"):
        (tmp_path / f"FSD50K.{name}_audio").rename(tmp_path / f"elsewhere {name}")
    clips = read_published(DATASETS["fsd50k"], tmp_path)
    assert next((clip.id, clip.store, clip.labels) for clip in clips.manifest) == (
        "1",
        "FSD50K.train_mp3.hdf",
        ("Bark", "Dog"),
    )
    assert clips.missing == (("5", "FSD50K.eval_mp3.hdf/5.mp3"),)


def test_openmic_is_read_from_hdf5_with_its_masks(tmp_path):
    write_recordings(tmp_path / "mp3", ["a_1.mp3", "b_2.mp3"])
    values = np.zeros((2, 40), np.float32)
    values[0, [0, 20, 21]] = 1.0  # accordion; banjo was annotated too
    values[1, [19, 39]] = 0.75, 1.0  # voice
    packed(tmp_path, tmp_path / "mp3", {
        "openmic_train.csv_mp3.hdf": {"a_1.mp3": values[0]}, "openmic_test.csv_mp3.hdf": {"b_2.mp3": values[1]},
    })  # fmt: skip
    manifest = read_published(DATASETS["openmic"], tmp_path).manifest
    assert [(clip.id, clip.labels, clip.known, clip.split) for clip in manifest] == [
        ("a_1", ("accordion",), ("accordion", "banjo"), "train"),
        ("b_2", ("voice",), ("voice",), "test"),
    ]
