"""Label tracks beside recordings: Audacity's files and Raven's selection tables become events of the recordings."""

from __future__ import annotations

import pytest

from auricle.core.errors import AuricleError
from auricle.data.manifest.formats import read_manifest
from auricle.data.manifest.label_tracks import read_track
from helpers.sounds import tone, write_sound

AUDACITY = "0.5\t1.25\tfrog\n\\\t400.0\t2000.0\n3.0\t3.0\tclick\n"
RAVEN = (
    "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tAnnotation\n"
    "1\tWaveform 1\t1\t0.5\t1.5\t0\t8000\tfrog\n"
    "1\tSpectrogram 1\t1\t0.5\t1.5\t300\t2000\tfrog\n"
    "2\tSpectrogram 1\t1\t2.0\t2.5\t300\t2000\tcricket\n"
)


@pytest.fixture
def night(tmp_path):
    write_sound(tmp_path / "night.wav", tone(4.0))
    return tmp_path


@pytest.mark.parametrize("name", ["night.txt", "night.labels.txt", "night.wav.txt"])
def test_a_label_track_of_audacity_gives_the_events_of_the_recording_beside_it(name, night):
    (night / name).write_text(AUDACITY)
    manifest = read_manifest(night)
    assert manifest["night.wav"].events == ((0.5, 1.25, "frog"), (3.0, 3.0, "click"))
    assert manifest["night.wav"].labels == ("click", "frog")
    assert "1 label track beside 1 recording holds 2 events of 2 classes" in manifest.notes
    assert "the lowest and highest frequencies of 1 events are not used" in manifest.notes


@pytest.mark.parametrize(
    "name", ["night.selections.txt", "night.Table.1.selections.txt", "night.BirdNET.selection.table.txt"]
)
def test_a_selection_table_of_raven_counts_a_selection_once(name, night):
    (night / name).write_text(RAVEN)
    manifest = read_manifest(night)
    assert manifest["night.wav"].events == ((0.5, 1.5, "frog"), (2.0, 2.5, "cricket"))
    assert sum("frequencies" in note for note in manifest.notes) == 1


def test_several_tables_of_one_recording_are_joined(night):
    (night / "night.Table.1.selections.txt").write_text(RAVEN)
    (night / "night.Table.2.selections.txt").write_text(RAVEN.replace("frog", "owl"))
    assert {event.label for event in read_manifest(night)["night.wav"].events} == {"frog", "owl", "cricket"}


def test_decimal_commas_byte_marks_and_utf_16_are_read(night):
    (night / "a.txt").write_bytes("0,5\t1,25\tGrünspecht\r\n".encode("utf-16"))
    (night / "b.txt").write_bytes("\ufeff0,5\t1,25\tGrünspecht\r\n".encode())
    for name in ("a.txt", "b.txt"):
        assert read_track(night / name).events == ((0.5, 1.25, "Grünspecht"),)


def test_the_label_of_a_selection_is_in_the_only_column_that_raven_does_not_make_or_in_the_one_that_is_named(night):
    (night / "night.selections.txt").write_text(RAVEN.replace("Annotation", "Kind of call"))
    assert {event.label for event in read_manifest(night)["night.wav"].events} == {"frog", "cricket"}
    (night / "night.selections.txt").write_text(
        RAVEN.replace("\tAnnotation", "\tKind\tWho").replace("frog", "frog\tme")
    )
    with pytest.raises(AuricleError, match="no column for the label of a selection.*--label-column"):
        read_manifest(night)
    assert read_manifest(night, label_column="Kind")["night.wav"].labels == ("cricket", "frog")
    with pytest.raises(AuricleError, match="no column 'Class'; its columns are Selection"):
        read_manifest(night, label_column="Class")


def test_other_text_beside_recordings_is_no_label_track(night):
    (night / "night.txt").write_text("a transcript of what is said\n")
    (night / "README.txt").write_text("1.0\t2.0\tnothing of this name\n")
    manifest = read_manifest(night)
    assert (manifest["night.wav"].events, manifest["night.wav"].known, manifest.notes) == ((), None, ())


def test_recordings_without_a_track_and_tracks_without_a_recording_are_named(night):
    write_sound(night / "morning.wav", tone(1.0))
    write_sound(night / "noise" / "wind.wav", tone(1.0))
    (night / "night.txt").write_text(AUDACITY)
    (night / "evening.labels.txt").write_text(AUDACITY)
    manifest = read_manifest(night)
    assert manifest["morning.wav"].known == ()
    assert manifest["noise/wind.wav"].labels == ("noise",)
    notes = "\n".join(manifest.notes)
    assert "2 of 3 recordings have no label track and are taken to be not annotated, such as morning.wav" in notes
    assert "1 label tracks have no recording beside them and are not used, such as evening.labels.txt" in notes


def test_an_empty_track_says_that_nothing_is_in_the_recording(night):
    write_sound(night / "morning.wav", tone(1.0))
    (night / "night.txt").write_text(AUDACITY)
    (night / "morning.txt").write_text("")
    assert (read_manifest(night)["morning.wav"].known, read_manifest(night)["morning.wav"].events) == (None, ())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.5\t1.0\tfrog\nfrom here on\n", "line 2: expected start, end and label separated by tabs"),
        ("0.5\t1.0\n", "line 1: the event at 0.5 s has no label"),
        ("2.5\t1.0\tfrog\n", "line 1: the event 'frog' ends at 1 s but starts at 2.5 s"),
    ],
)
def test_a_damaged_track_is_refused_with_its_line(text, message, night):
    (night / "night.labels.txt").write_text(text)
    with pytest.raises(AuricleError, match=message):
        read_manifest(night)


def test_sub_folders_without_recordings_are_named(tmp_path):
    for kind in ("dog", "rain"):
        write_sound(tmp_path / kind / "0.wav", tone(0.1))
    (tmp_path / "siren").mkdir()
    (tmp_path / ".cache").mkdir()
    assert read_manifest(tmp_path).notes == ("1 sub-folder holds no recording and names no class: siren",)


def test_nothing_is_known_of_recordings_beside_class_folders_and_without_a_row(tmp_path):
    for name in ("dog/0.wav", "dog/1.wav", "rain/0.wav", "rain/1.wav", "stray.wav"):
        write_sound(tmp_path / name, tone(0.1))
    assert read_manifest(tmp_path)["stray.wav"].known == ()
    (tmp_path / "some.csv").write_text("path,label\ndog/0.wav,dog\nrain/0.wav,\n")
    joined = read_manifest(tmp_path, labels=tmp_path / "some.csv")
    assert [joined[name].known for name in ("dog/0.wav", "rain/0.wav", "dog/1.wav")] == [None, None, ()]
