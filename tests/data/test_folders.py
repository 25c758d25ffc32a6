"""Folders of recordings: labels of sub-folders beside stray files, and folders that cannot be listed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from auricle.audio.decode import AUDIO_SUFFIXES, probe
from auricle.audio.sources import audio_sources, files_below
from auricle.core.errors import AudioError
from auricle.data.manifest.formats import read_manifest
from auricle.data.manifest.manifest import ManifestWarning
from helpers.sounds import write_sound


def sounds(folder: Path, *names: str) -> Path:
    for name in names:
        write_sound(folder / name)
    return folder


def labels(folder: Path) -> dict[str, tuple[str, ...]]:
    return {clip.id: clip.labels for clip in read_manifest(folder)}


def test_a_stray_file_beside_class_folders_takes_no_labels_away(tmp_path):
    sounds(tmp_path, "dog/a.wav", "cat/b.wav", "readme.wav")
    with pytest.warns(ManifestWarning, match="1 of 3 recordings are in no class folder .* readme.wav"):
        assert labels(tmp_path) == {"cat/b.wav": ("cat",), "dog/a.wav": ("dog",), "readme.wav": ()}


def test_a_stray_file_beside_the_classes_of_a_split_takes_no_labels_away(tmp_path):
    sounds(tmp_path, "train/dog/a.wav", "train/cat/b.wav", "train/noise.wav", "test/dog/c.wav", "extra.wav")
    with pytest.warns(ManifestWarning, match="2 of 5 recordings are in no class folder"):
        manifest = read_manifest(tmp_path)
    assert manifest.label_classes() == ("cat", "dog")
    assert (manifest["train/noise.wav"].split, manifest["train/noise.wav"].labels) == ("train", ())
    assert manifest["test/dog/c.wav"].split == "test"


def test_one_split_with_classes_and_a_stray_file_keeps_both(tmp_path):
    sounds(tmp_path, "train/dog/a.wav", "train/cat/b.wav", "train/noise.wav")
    with pytest.warns(ManifestWarning, match="no class folder"):
        manifest = read_manifest(tmp_path)
    assert (manifest.label_classes(), manifest["train/noise.wav"].split) == (("cat", "dog"), "train")


def test_folders_beside_most_of_the_recordings_are_no_classes(tmp_path):
    sounds(tmp_path, "old/a.wav", "new/b.wav", *(f"{i}.wav" for i in range(5)))
    with pytest.warns(ManifestWarning, match="not taken as labels: most recordings"):
        assert set(labels(tmp_path).values()) == {()}


def test_a_folder_without_audio_names_the_tables_in_it(tmp_path):
    (tmp_path / "meta.csv").write_text("filename,label\nx.wav,dog\n")
    with pytest.raises(Exception, match=r"no audio in .*; name the table itself: .*meta\.csv"):
        read_manifest(tmp_path)


@pytest.fixture
def unlisted(tmp_path, monkeypatch) -> Path:
    """A folder with one recording and a sub-folder whose path is too long for the system, which refuses root too."""
    write_sound(tmp_path / "in" / "a" / "good.wav")
    monkeypatch.chdir(tmp_path / "in")
    for _ in range(18):
        os.mkdir("d" * 250)
        os.chdir("d" * 250)
    yield tmp_path / "in"
    while Path.cwd().name == "d" * 250:  # what cannot be named as a whole is removed from inside
        os.chdir("..")
        os.rmdir("d" * 250)


def test_a_folder_that_cannot_be_listed_is_an_item_that_fails(unlisted):
    names = list(files_below(unlisted, AUDIO_SUFFIXES))
    assert names[0] == "a/good.wav"
    assert len(names) == 2
    _, bad = audio_sources(unlisted)
    with pytest.raises(AudioError, match=r"ddd.*File name too long"):
        bad.read(16000, "soxr")
    manifest = read_manifest(unlisted)
    assert [clip.labels for clip in manifest] == [(), ()]
    with pytest.raises(AudioError, match="File name too long"):
        probe(manifest.audio(manifest.clips[1]))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root lists every folder")
def test_a_folder_without_permission_is_named_as_such(tmp_path):
    write_sound(tmp_path / "good.wav")
    (tmp_path / "locked").mkdir(mode=0)
    bad = [source for source in audio_sources(tmp_path) if source.name.endswith("locked")]
    with pytest.raises(AudioError, match=r"locked cannot be listed \(Permission denied\)"):
        bad[0].read(16000, "soxr")


def test_names_with_something_behind_the_suffix_and_recordings_without_one_are_found(tmp_path):
    names = ["a.wav", "blank.wav ", "nbsp.WAV\u00a0", "dot.Wav."]
    sounds(tmp_path, "a.wav")
    for name in [*names[1:], "no suffix"]:
        (tmp_path / name).write_bytes((tmp_path / "a.wav").read_bytes())
    (tmp_path / "README").write_text("RIFF is a container")
    (tmp_path / "a.wav.bak").write_text("left out")
    assert sorted(read_manifest(tmp_path).ids) == sorted([*names, "no suffix"])
    assert sorted(source.place for source in audio_sources(tmp_path)) == sorted([*names, "no suffix"])
    assert not list(files_below(tmp_path, (".npy",)))
