"""Windows of recordings with labelled events: which classes they have, lack, or are not known to have."""

from __future__ import annotations

import pytest

from auricle.commands.finetune.finetune import finetune_run
from auricle.core.errors import AuricleError
from auricle.core.options import with_values
from auricle.data.manifest.clip_table import Clip, Segment
from auricle.data.manifest.manifest import Manifest
from auricle.methods.supervised.config import LabelConfig
from auricle.methods.supervised.labelled_clips.windows import check_places, event_seconds, event_windows
from helpers.finetune_runs import RATE, config, understood, weight_file
from helpers.sounds import tone, write_sound

EVENTS = (Segment(1.0, 3.0, "frog"), Segment(7.6, 8.2, "owl"), Segment(12.0, 16.0, "wind"))


def recording(name="night", seconds=20.0, events=EVENTS, **fields):
    return Clip(
        f"{name}.wav", f"{name}.wav", rate=100, num_samples=round(100 * seconds), events=tuple(events), **fields
    )


def windows(clips, seconds=4.0, background=(), **settings):
    """Windows by start and recording: their labels and what is known of them."""
    manifest, notes = event_windows(Manifest(clips), seconds, background, with_values(LabelConfig(), settings))
    return {(clip.path, clip.start): clip for clip in manifest}, notes


def test_a_window_has_a_class_if_it_holds_half_of_an_event_or_is_half_filled_by_the_class():
    rows, _ = windows([recording()])
    labels = {start: clip.labels for (_, start), clip in rows.items()}
    assert labels == {0.0: ("frog",), 4.0: ("owl",), 8.0: (), 12.0: ("wind",)}
    long, _ = windows([recording(events=[Segment(0.0, 14.5, "rain"), Segment(17.0, 18.0, "frog")])])
    assert {start: clip.labels for (_, start), clip in long.items()} == {
        **dict.fromkeys((0.0, 4.0, 8.0, 12.0), ("rain",)),
        16.0: ("frog",),
    }


def test_of_a_class_that_a_window_touches_less_nothing_is_known():
    rows, notes = windows([recording()])
    assert rows["night.wav", 8.0].known == ("frog", "wind")  # a third of the owl is in it
    assert rows["night.wav", 0.0].known is None
    assert any("1 windows touch less of an event: of its class nothing is known there" in note for note in notes)


def test_windows_without_an_event_are_left_out_unless_all_was_labelled():
    rows, notes = windows([recording()])
    assert ("night.wav", 16.0) not in rows
    assert any("1 windows (4 s) without an event are left out as not annotated" in note for note in notes)
    rows, notes = windows([recording()], unlabelled="negative")
    assert (rows["night.wav", 16.0].labels, rows["night.wav", 16.0].known) == ((), None)
    assert any("1 windows without a class are taken to have none" in note for note in notes)


def test_an_event_without_length_is_in_one_window():
    rows, _ = windows([recording(events=[Segment(4.0, 4.0, "click")])])
    assert {start: clip.labels for (_, start), clip in rows.items()} == {4.0: ("click",)}


def test_the_end_of_a_recording_is_a_shorter_window_and_nothing_is_lost():
    rows, _ = windows([recording(seconds=8.5, events=[Segment(8.1, 8.4, "owl")])])
    [(place, clip)] = rows.items()
    assert (place, clip.end, clip.labels) == (("night.wav", 8.0), 8.5, ("owl",))


def test_an_event_of_background_is_known_absence_of_the_classes():
    rows, _ = windows([recording(events=[*EVENTS[:1], Segment(12.0, 16.0, "noise")])], background=("noise",))
    assert (rows["night.wav", 12.0].labels, rows["night.wav", 12.0].known) == ((), None)


def test_windows_of_a_recording_are_one_group_and_where_recordings_are_few_blocks_of_time_are():
    many, _ = windows([recording(f"night{i}") for i in range(7)])
    assert {clip.group for (path, _), clip in many.items() if path == "night3.wav"} == {"night3.wav"}
    few, notes = windows([recording(seconds=400.0, events=[Segment(float(t), t + 1.0, "owl") for t in range(400)])])
    assert len({clip.group for clip in few.values()}) == 12
    assert any("parts are made of blocks of time (1 recording in all)" in note for note in notes)
    own, _ = windows([recording(group="site")])
    assert {clip.group for clip in own.values()} == {"site"}


def test_with_exactly_one_class_a_clip_other_windows_are_left_out_or_background():
    both = recording(events=[*EVENTS, Segment(1.0, 3.0, "owl")])
    rows, notes = windows([both], kind="multiclass", unlabelled="negative")
    assert {start: clip.labels for (_, start), clip in rows.items()} == {
        4.0: ("owl",),
        12.0: ("wind",),
        16.0: ("background",),
    }
    assert any("2 windows with several classes, or with less of an event, are left out" in note for note in notes)


def test_the_length_of_windows_is_twice_the_median_event_from_2_to_10_seconds():
    assert event_seconds(Manifest([recording()]), None) == 4.0
    assert event_seconds(Manifest([recording(events=[Segment(0.0, 0.1, "click")])]), None) == 2.0
    assert event_seconds(Manifest([recording(events=[Segment(0.0, 19.0, "rain")])]), None) == 10.0
    assert event_seconds(Manifest([recording()]), 1.5) == 1.5


def test_short_recordings_with_events_stay_whole():
    assert event_seconds(Manifest([recording(seconds=10.0)]), None) is None
    assert event_seconds(Manifest([Clip("a", "a.wav", labels=("dog",), rate=1, num_samples=99)]), None) is None


def test_times_of_another_recording_are_refused():
    with pytest.raises(
        AuricleError, match="the events of night.wav are of another recording: 'wind' is at 12 to 16 s, .* ends at 9 s"
    ):
        check_places(Manifest([recording(seconds=9.0)]))
    late = Clip("a", "a.wav", start=5000.0, end=6000.0, rate=100, num_samples=1000)
    with pytest.raises(AuricleError, match="a begins at 5000 s, but its recording ends at 10 s.*another unit"):
        check_places(Manifest([late]))
    slightly = Clip("a", "a.wav", start=5.0, end=12.0, rate=100, num_samples=1000)
    assert check_places(Manifest([slightly])) == ("1 rows end behind their recordings and are cut there, such as a",)


def test_rows_with_start_and_end_of_many_lengths_are_clips_and_it_is_said_how_they_become_events():
    rows = [Clip(f"a@{i}", "a.wav", start=float(i), end=i + 0.1 + i, rate=100, num_samples=10000) for i in range(3)]
    [note] = check_places(Manifest(rows))
    assert note.startswith(
        "3 rows with start and end are clips of their own, 0.1 to 2.1 s long (name the columns onset"
    )


def test_a_recording_with_a_label_track_is_learnt_in_windows(tmp_path):
    write_sound(tmp_path / "night" / "a.wav", tone(16.0, RATE), RATE)
    lines = [f"{t}.0\t{t}.9\t{'frog' if t % 4 else 'owl'}" for t in range(0, 16, 2)]
    (tmp_path / "night" / "a.txt").write_text("\n".join(lines))
    parts, space, lines = understood(tmp_path / "night", valid_ratio=0.25, seconds=1.0)
    assert (space.kind, space.ids) == ("multilabel", ("frog", "owl"))
    assert sum(map(len, parts.present.values())) == 8
    assert set(parts.present) == {"train", "validation"}
    assert lines[0] == "2 classes (any number a clip: events may be at the same time), clips of 1 s"
    assert any(
        line.startswith("8 events of 2 classes in 1 recording: 8 windows of 1 s are the clips") for line in lines
    )
    settings = config(tmp_path / "night", tmp_path / "run", weight_file(tmp_path), epochs=1, seconds=1.0)
    assert finetune_run(settings, quiet=True).validation["classes_scored"] == 2


def test_one_class_of_events_needs_the_word_that_the_rest_is_negative(tmp_path):
    write_sound(tmp_path / "night" / "a.wav", tone(12.0, RATE), RATE)
    (tmp_path / "night" / "a.txt").write_text("1.0\t2.0\tfrog\n")
    with pytest.raises(AuricleError, match="every clip has the one label 'frog'.*--unlabelled negative"):
        understood(tmp_path / "night")
    parts, space, _ = understood(tmp_path / "night", unlabelled="negative", valid_ratio=0.0)
    assert (space.ids, space.kind, len(parts.train)) == (("frog",), "multilabel", 6)
