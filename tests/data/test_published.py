"""Readers of published data sets, each on a tiny copy of the official folder layout."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from auricle.core.errors import AuricleError
from auricle.data.published.base import part_counts, read_published
from auricle.data.published.music import fault_filtered_split
from auricle.data.published.table import DATASETS, published_dataset
from helpers.published_sets import TINY_SETS, TinySet, gtzan, speechcommands, voxforge, write_recordings

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=TINY_SETS)
def name(request) -> str:
    return request.param


@pytest.fixture
def tiny(name, tmp_path) -> TinySet:
    TINY_SETS[name].make(tmp_path)
    return TINY_SETS[name]


def read(name: str, folder: Path):
    return read_published(DATASETS[name], folder)


def test_every_data_set_is_tested():
    assert TINY_SETS.keys() == DATASETS.keys()


def test_clips_have_labels_parts_and_groups_as_published(name, tiny, tmp_path):
    manifest = read(name, tmp_path).manifest
    assert {part: count for part, count in part_counts(manifest).items() if part != "all"} == tiny.parts
    assert {id: manifest[id].labels for id in tiny.labels} == tiny.labels
    assert {id: manifest[id].group for id in tiny.groups} == tiny.groups
    assert set(manifest.table.distinct("labels")) <= set(manifest.label_classes())
    assert all(manifest.audio(clip).is_file() for clip in manifest)


def test_single_and_multiple_labels_are_as_the_record_says(name, tiny, tmp_path):
    counts = {len(clip.labels) for clip in read(name, tmp_path).manifest}
    assert DATASETS[name].multilabel or counts == {1}


def test_a_missing_recording_is_left_out_and_named(name, tiny, tmp_path):
    if not tiny.recording:
        pytest.skip("the data set is published without a list of its recordings")
    whole = len(read(name, tmp_path).manifest)
    (tmp_path / tiny.recording).unlink()
    clips = read(name, tmp_path)
    assert len(clips.manifest) == whole - 1
    assert len(clips.missing) == 1
    note = next(note for note in clips.manifest.notes if "missing and left out" in note)
    assert note.startswith("1 of ")
    assert Path(tiny.recording).stem in note


def test_the_class_order_stays_when_recordings_are_missing(tmp_path):
    TINY_SETS["esc50"].make(tmp_path)
    for file in (tmp_path / "audio").glob("*-2.wav"):
        file.unlink()
    assert read("esc50", tmp_path).manifest.label_classes() == ("cow", "rain")


def test_counts_that_differ_from_the_published_ones_are_a_note(name, tiny, tmp_path):
    notes = read(name, tmp_path).manifest.notes
    expected = DATASETS[name].expected
    assert any("the counts differ from the published ones" in note for note in notes) == bool(expected)


def test_another_folder_is_refused_with_what_was_found_and_expected(name, tmp_path):
    write_recordings(tmp_path / "holiday", [])
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday/photo.txt").write_text("no sound")
    with pytest.raises(AuricleError) as error:
        read(name, tmp_path / "holiday")
    assert DATASETS[name].title in str(error.value)
    assert "photo.txt" in str(error.value)
    assert DATASETS[name].layout in str(error.value)


def test_a_folder_without_any_of_its_recordings_is_refused(tmp_path):
    TINY_SETS["esc50"].make(tmp_path)
    for file in (tmp_path / "audio").iterdir():
        file.unlink()
    with pytest.raises(AuricleError, match="none of the 10 recordings"):
        read("esc50", tmp_path)


def test_a_folder_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(AuricleError, match="does not exist; expected the folder of ESC-50"):
        read("esc50", tmp_path / "nowhere")


def test_a_table_without_a_column_is_refused(tmp_path):
    TINY_SETS["esc50"].make(tmp_path)
    (tmp_path / "meta/esc50.csv").write_text("filename,fold\n1.wav,1\n")
    with pytest.raises(AuricleError, match="has no column target and category; its columns are filename, fold"):
        read("esc50", tmp_path)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(AuricleError, match="did you mean esc50"):
        published_dataset("esc-50")


def test_the_32_khz_copy_and_the_table_beside_it_are_esc50_too(tmp_path):
    TINY_SETS["esc50"].make(tmp_path)
    (tmp_path / "audio").rename(tmp_path / "audio_32k")
    (tmp_path / "meta/esc50.csv").rename(tmp_path / "meta.csv")
    assert len(read("esc50", tmp_path).manifest) == 10


def test_openmic_says_which_instruments_were_annotated(tmp_path):
    TINY_SETS["openmic"].make(tmp_path)
    manifest = read("openmic", tmp_path).manifest
    assert manifest["000046_3840"].known == ("banjo", "flute")
    assert "002000_1" not in manifest  # nothing is annotated


def test_dcase20_leaves_out_what_is_in_neither_list(tmp_path):
    TINY_SETS["dcase20"].make(tmp_path)
    manifest = read("dcase20", tmp_path).manifest
    assert manifest.ids == ("audio/bus-lyon-1-a.wav", "audio/park-lyon-2-s1.wav", "audio/bus-prague-3-b.wav")
    assert manifest.label_classes() == ("bus", "park", "tram")  # of all scenes of the table
    assert any("1 files of meta.csv are in neither list" in note for note in manifest.notes)


def test_names_of_audioset_may_begin_with_y(tmp_path):
    TINY_SETS["audioset"].make(tmp_path / "plain")
    from helpers.published_sets import audioset

    audioset(tmp_path / "with-y", first="Y")
    ids = read("audioset", tmp_path / "plain").manifest.ids
    assert read("audioset", tmp_path / "with-y").manifest.ids == ids
    assert "YkAvorYkUBI" in ids


def test_gtzan_has_the_fault_filtered_split(tmp_path):
    gtzan(tmp_path)
    manifest = read("gtzan", tmp_path).manifest
    assert manifest["genres_original/blues/blues.00012.wav"].split == "test"
    assert any("1 faulty or repeated recordings are left out" in note for note in manifest.notes)
    assert Counter(fault_filtered_split().values()) == DATASETS["gtzan"].expected


def test_other_folders_of_music_are_not_gtzan(tmp_path):
    write_recordings(tmp_path, ["polka/polka.00000.wav"])
    with pytest.raises(AuricleError, match="polka is no genre of GTZAN"):
        read("gtzan", tmp_path)


def test_speech_commands_says_when_it_is_the_other_version(tmp_path):
    speechcommands(tmp_path)
    notes = read("speechcommands", tmp_path).manifest.notes
    assert any("2 words instead of 35; speechcommands-v1 is the other version" in note for note in notes)


def test_a_split_table_of_evar_is_used_where_it_is_there(tmp_path):
    voxforge(tmp_path)
    assert any("there is no voxforge.csv of EVAR" in note for note in read("voxforge", tmp_path).manifest.notes)
    (tmp_path / "metadata").mkdir()
    (tmp_path / "metadata/voxforge.csv").write_text(
        "file_name,label,split\nde/eva-2011-a/wav/1.wav,de,train\nfr/luc-2013-c/wav/1.wav,fr,test\nfr/gone.wav,fr,test\n"
    )
    manifest = read("voxforge", tmp_path).manifest
    assert [(clip.id, clip.split) for clip in manifest] == [
        ("de/eva-2011-a/wav/1.wav", "train"),
        ("fr/luc-2013-c/wav/1.wav", "test"),
    ]
    assert any("6 recordings are not in voxforge.csv" in note for note in manifest.notes)
    assert any("1 rows of voxforge.csv name no recording" in note for note in manifest.notes)


def test_the_documentation_has_a_row_for_every_data_set():
    page = (ROOT / "docs/datasets.md").read_text(encoding="utf-8")
    for dataset in DATASETS.values():
        row = (
            f"| `{dataset.name}` | [{dataset.title}]({dataset.url}) | {dataset.licence} | {dataset.expected_text()} | "
            f"{dataset.layout} |"
        )
        assert row in page.splitlines(), row
