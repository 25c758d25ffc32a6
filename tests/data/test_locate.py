"""Files that tables name: where paths start, names written in another way, files in folders of their own."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from auricle.data.manifest.formats import read_manifest
from auricle.data.manifest.manifest import Manifest, ManifestWarning
from helpers.sounds import write_sound

COMPOSED, DECOMPOSED = (unicodedata.normalize(form, "forêt/café.wav") for form in ("NFC", "NFD"))


def table(path: Path, *rows: str, header: str = "filename,label") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def missing(manifest: Manifest) -> list[str]:
    return [clip.id for clip in manifest if not manifest.audio(clip).is_file()]


@pytest.mark.parametrize("place", [0, 1, 3])
def test_one_missing_file_hides_no_other_wherever_its_row_stands(tmp_path, place):
    rows = [f"{i}.wav,dog" for i in range(3)]
    for i in range(3):
        write_sound(tmp_path / "audio" / f"{i}.wav")
    rows.insert(place, "gone.wav,cat")
    manifest = read_manifest(table(tmp_path / "m.csv", *rows))
    assert missing(manifest) == ["gone.wav"]


@pytest.mark.parametrize(
    ("where", "at"), [("", "m.csv"), ("audio", "m.csv"), ("wav", "m.csv"), ("audio", "meta/m.csv")]
)
def test_paths_start_where_the_files_are(tmp_path, where, at):
    write_sound(tmp_path / where / "x/a.wav")
    manifest = read_manifest(table(tmp_path / at, "x/a.wav,dog"))
    assert (missing(manifest), manifest.ids) == ([], ("x/a.wav",))


def test_a_root_that_was_chosen_is_the_root(tmp_path):
    write_sound(tmp_path / "audio" / "a.wav")
    (tmp_path / "other").mkdir()
    manifest = read_manifest(table(tmp_path / "m.csv", "a.wav,dog"), root=tmp_path / "other")
    assert (manifest.root, missing(manifest)) == (tmp_path / "other", ["a.wav"])


def test_blanks_at_the_ends_of_names_belong_to_them_where_the_file_has_them(tmp_path):
    for name in (" typical street.wav", "b.wav", "end .wav"):
        write_sound(tmp_path / name)
    rows = [" typical street.wav, a", " b.wav , b ", "end .wav ,c"]
    manifest = read_manifest(table(tmp_path / "m.csv", *rows))
    assert manifest.ids == (" typical street.wav", "b.wav", "end .wav")
    assert (missing(manifest), manifest.label_classes()) == ([], ("a", "b", "c"))
    joined = read_manifest(tmp_path, labels=tmp_path / "m.csv")
    assert {clip.id: clip.labels for clip in joined} == {clip.id: clip.labels for clip in manifest}


def test_windows_separators_are_separators_unless_a_file_has_them(tmp_path):
    write_sound(tmp_path / "x" / "a.wav")
    write_sound(tmp_path / "odd\\name.wav")
    manifest = read_manifest(table(tmp_path / "m.csv", "x\\a.wav,dog", "odd\\name.wav,cat"))
    assert manifest.ids == ("x/a.wav", "odd\\name.wav")
    joined = read_manifest(tmp_path, labels=table(tmp_path / "labels.csv", "x\\a.wav,bird", "odd\\name.wav,cat"))
    assert joined["x/a.wav"].labels == ("bird",)


@pytest.mark.parametrize(("on_disk", "listed"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_composed_and_decomposed_letters_are_the_same(tmp_path, on_disk, listed):
    write_sound(tmp_path / "audio" / on_disk)
    manifest = read_manifest(table(tmp_path / "m.csv", f"{listed},bird"))
    assert (manifest.ids, missing(manifest)) == ((on_disk,), [])
    joined = read_manifest(tmp_path / "audio", labels=tmp_path / "m.csv")
    assert joined[on_disk].labels == ("bird",)


@pytest.mark.parametrize("listed", ["a.wav", "a", "C:\\data\\sounds\\a.wav", "/home/somebody/a.wav", "elsewhere/a.wav"])
def test_files_are_found_by_name_where_no_path_fits(tmp_path, listed):
    write_sound(tmp_path / "audio" / "fold1" / "a.wav")
    with pytest.warns(ManifestWarning, match="found by their names below"):
        manifest = read_manifest(table(tmp_path / "meta" / "m.csv", f"{listed},dog"))
    assert (missing(manifest), manifest.clips[0].path) == ([], "audio/fold1/a.wav")


def test_a_name_of_two_files_means_neither(tmp_path):
    for fold in ("fold1", "fold2"):
        write_sound(tmp_path / fold / "a.wav")
    write_sound(tmp_path / "fold1" / "b.wav")
    with pytest.warns(ManifestWarning, match="found by their names"):
        manifest = read_manifest(table(tmp_path / "m.csv", "a.wav,dog", "b.wav,dog"))
    assert missing(manifest) == ["a.wav"]


def test_ids_are_taken_for_files_where_these_are_there(tmp_path):
    write_sound(tmp_path / "audio" / "a.wav")
    assert read_manifest(table(tmp_path / "m.csv", "a.wav,dog", header="id,label")).clips[0].path == "a.wav"
    assert read_manifest(table(tmp_path / "n.csv", "other,dog", header="id,label")).clips[0].path is None


def test_urbansound8k_is_read_as_it_is(tmp_path):
    for fold in (1, 2):
        write_sound(tmp_path / "audio" / f"fold{fold}" / f"100-{fold}.wav")
    rows = ["100-1.wav,100,5.5,9.5,1,1,3,dog_bark", "100-2.wav,101,1,2,1,2,3,siren"]
    header = "slice_file_name,fsID,start,end,salience,fold,classID,class"
    source = table(tmp_path / "metadata" / "UrbanSound8K.csv", *rows, header=header)
    with pytest.warns(ManifestWarning, match="the spans in UrbanSound8K.csv are not used"):
        manifest = read_manifest(source)
    assert missing(manifest) == []
    clips = [(c.labels, c.fold, c.group, c.start, c.end) for c in manifest]
    assert clips == [(("dog_bark",), 1, "100", None, None), (("siren",), 2, "101", None, None)]
    with pytest.warns(ManifestWarning, match="not used"):
        joined = read_manifest(tmp_path / "audio", labels=source)
    assert [clip.labels for clip in joined] == [("dog_bark",), ("siren",)]


SEGMENTS = """\
# Segments csv created Sun Mar  5 10:54:31 2017
# num_ytids=3, num_segs=3, num_unique_labels=3, num_positive_labels=4
# YTID, start_seconds, end_seconds, positive_labels
--00001Ab_A, 30.000, 40.000, "/m/04rlf,/m/09x0r"
abcdefghijk, 0.000, 10.000, "/m/09x0r"
zzzzzzzzzzz, 0.000, 10.000, "/m/0jbk"
"""


def test_audiosets_segment_lists_are_tables(tmp_path):
    for name in ("Y--00001Ab_A.wav", "abcdefghijk_0.000_10.000.wav"):
        write_sound(tmp_path / "clips" / name)
    (tmp_path / "balanced.csv").write_text(SEGMENTS)
    with pytest.warns(ManifestWarning, match="spans in balanced.csv are not used"):
        manifest = read_manifest(tmp_path / "balanced.csv")
    assert missing(manifest) == ["zzzzzzzzzzz"]
    assert manifest.clips[0].labels == ("/m/04rlf", "/m/09x0r")
    with pytest.warns(ManifestWarning, match="1 rows of balanced.csv are about no clip"):
        joined = read_manifest(tmp_path / "clips", labels=tmp_path / "balanced.csv")
    assert [clip.labels for clip in joined] == [("/m/04rlf", "/m/09x0r"), ("/m/09x0r",)]


def test_a_task_of_hear_is_read_with_its_parts_and_classes(tmp_path):
    write_sound(tmp_path / "16000" / "train" / "a.wav")
    write_sound(tmp_path / "48000" / "train" / "a.wav", rate=48000)
    write_sound(tmp_path / "48000" / "test" / "a.wav", rate=48000)
    (tmp_path / "task_metadata.json").write_text('{"task_name": "x"}')
    (tmp_path / "labelvocabulary.csv").write_text("idx,label\n0,rain\n1,dog\n")
    (tmp_path / "train.json").write_text(json.dumps({"a.wav": ["dog"]}))
    (tmp_path / "test.json").write_text(json.dumps({"a.wav": ["rain"]}))
    manifest = read_manifest(tmp_path)
    assert manifest.ids == ("48000/test/a.wav", "48000/train/a.wav")
    assert [(clip.split, clip.labels) for clip in manifest] == [("test", ("rain",)), ("train", ("dog",))]
    assert (manifest.label_classes(), missing(manifest)) == (("rain", "dog"), [])


def test_stored_spectrograms_are_where_the_table_says_though_their_recordings_are_gone(tmp_path):
    manifest = read_manifest(table(tmp_path / "m.csv", "a.wav,lms,a.npy", header="path,store,key"))
    assert manifest.spectrogram(manifest.clips[0]) == tmp_path / "lms" / "a.npy"
