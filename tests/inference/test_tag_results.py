"""Text for people, rows of events and summaries over many recordings."""

from __future__ import annotations

import json

import pytest

from auricle.core.errors import AuricleError
from auricle.inference.config import TagSettings
from auricle.inference.events import Event
from auricle.inference.tag_results import Failure, FileTags, Tag, Tags, WindowTags
from auricle.inference.tag_summary import TagSummary
from auricle.inference.tagger import Tagger
from helpers.sounds import write_sound
from helpers.tagging import LoudestBand

NIGHT = FileTags(
    "night/SITE_20240501_233000.wav",
    5400.0,
    (Tag("Frog", 0.9), Tag("Rain, heavy", 0.45)),
    (WindowTags(0.0, 10.0, (Tag("Frog", 0.9), Tag("Rain, heavy", 0.1))), WindowTags(5.0, 15.0, ())),
    (Event("Frog", 7.5, 22.5, 0.9), Event("Rain, heavy", 1500.0, 5400.0, 0.45)),
)
WHOLE = FileTags("street.wav", 30.0, (Tag("Car", 0.8), Tag("Bus", 0.2)))


def test_labels_come_first_then_events_and_the_time_line_on_request():
    assert str(NIGHT).splitlines() == [
        "night/SITE_20240501_233000.wav (1:30:00, from 2024-05-01 23:30:00)",
        "  Frog: 0.900",
        "  Rain, heavy: 0.450",
        "Events",
        "  0:00:07.50 - 0:00:22.50  23:30:07  0.90  Frog",
        "  0:25:00.00 - 1:30:00.00  23:55:00  0.45  Rain, heavy",
    ]
    assert NIGHT.text(time_line=True).splitlines()[6:] == [
        "Time line",
        "  0:00:00.00 - 0:00:10.00  23:30:00  Frog 0.90; Rain, heavy 0.10",
        "  0:00:05.00 - 0:00:15.00  23:30:05",
    ]


def test_after_midnight_the_date_is_shown():
    late = FileTags("20240501_235900.wav", 120.0, (), (), (Event("Owl", 70.0, 80.0, 0.5),))
    assert "  0:01:10.00 - 0:01:20.00  2024-05-02 00:00:10  0.50  Owl" in str(late)


def test_a_recording_tagged_as_a_whole_has_no_events_and_none_are_missed():
    assert str(WHOLE) == "street.wav (30.00 s)\n  Car: 0.800\n  Bus: 0.200"
    nothing = FileTags("street.wav", 30.0, (), (), ())
    assert str(nothing) == "street.wav (30.00 s)\n  no label\nNo events"


def test_names_and_labels_are_shown_without_control_characters():
    hostile = FileTags("a\x1b[2J\nb.wav", 1.0, (Tag("x\x1b]0;", 0.5),), (), (Event("y\r", 0.0, 1.0, 0.5),))
    text = str(Tags("model", (hostile,), (Failure("f", "c\x1b.wav: broken"),)))
    assert "\x1b" not in text
    assert "\r" not in text
    assert "a\\u001b[2J\\u000ab.wav" in text
    assert hostile.to_json()["file"] == "a\x1b[2J\nb.wav"


def test_json_has_the_start_time_where_the_name_holds_it():
    assert NIGHT.to_json()["start_time"] == "2024-05-01T23:30:00"
    assert "start_time" not in WHOLE.to_json()
    again = FileTags.from_json(json.loads(json.dumps(NIGHT.to_json() | {"windows": NIGHT.time_line()})))
    assert again == NIGHT


def test_rows_of_events_have_seconds_and_the_clock():
    assert [row[1:] for row in NIGHT.event_rows()] == [
        (7.5, 22.5, "Frog", 0.9, "2024-05-01T23:30:07"),
        (1500.0, 5400.0, "Rain, heavy", 0.45, "2024-05-01T23:55:00"),
    ]
    assert list(WHOLE.event_rows()) == []


# ---- summaries
@pytest.fixture
def summary():
    summary = TagSummary(threshold=0.3)
    for result in (NIGHT, WHOLE):
        summary.add(result)
    return summary


def test_labels_are_summed_over_recordings(summary):
    assert summary.table("label")[1:] == [
        ("Rain, heavy", "1", "1:05:00", "1 of 2", "0.45"),
        ("Car", "1", "0:00:30", "1 of 2", "0.80"),
        ("Frog", "1", "0:00:15", "1 of 2", "0.90"),
    ]


def test_every_recording_is_a_row(summary):
    assert summary.table("file")[1:] == [
        ("night/SITE_20240501_233000.wav", "1:30:00", "2", "Rain, heavy 1:05:00; Frog 0:00:15"),
        ("street.wav", "0:00:30", "1", "Car 0:00:30"),
    ]


def test_an_event_is_cut_at_full_hours_of_the_day(summary):
    assert summary.table("hour")[1:] == [
        ("2024-05-01 23:00", "0:30:00", "2", "Rain, heavy 0:05:00; Frog 0:00:15"),
        ("2024-05-02 00:00", "1:00:00", "1", "Rain, heavy 1:00:00"),
        ("from 0:00:00", "0:00:30", "1", "Car 0:00:30"),
    ]


def test_the_hours_of_all_recordings_add_up_to_their_lengths():
    summary = TagSummary(0.3)
    for begin in (0, 17, 59):
        summary.add(FileTags(f"20240501_{begin:02d}{begin % 60:02d}01.wav" if begin < 24 else "x.wav", 9000.5, ()))
    assert sum(part.seconds for part in summary.hours.values()) == pytest.approx(3 * 9000.5)


def test_an_empty_summary_has_its_heading():
    assert TagSummary(0.3).text("label") == "label  events  time  recordings  highest score"


# ---- which labels are reported
def test_only_the_labels_asked_for_are_reported(tmp_path):
    file = write_sound(tmp_path / "a.wav")
    result = Tagger(LoudestBand(), only=["HIGH", "l"], window=0.2, threshold=0.01).iterate([file])
    result = next(result)
    assert {tag.label for tag in result.tags} == {"low", "high"}
    assert {tag.label for window in result.windows for tag in window.tags} == {"low", "high"}
    assert {event.label for event in result.events} <= {"low", "high"}
    one = next(Tagger(LoudestBand(), only="middle").iterate([file]))
    assert [tag.label for tag in one.tags] == ["middle"]


def test_scores_are_those_without_a_choice_of_labels(tmp_path):
    file = write_sound(tmp_path / "a.wav")
    for kind in ("multilabel", "multiclass"):
        every = {tag.label: tag.score for tag in next(Tagger(LoudestBand(kind)).iterate([file])).tags}
        some = next(Tagger(LoudestBand(kind), only=("low", "high")).iterate([file])).tags
        assert {tag.label: tag.score for tag in some} == pytest.approx({name: every[name] for name in ("low", "high")})


def test_labels_and_events_below_the_least_score_are_left_out(tmp_path):
    file = write_sound(tmp_path / "a.wav")
    every = next(Tagger(LoudestBand(), window=0.2, threshold=0.01).iterate([file]))
    middle = sorted(tag.score for tag in every.tags)[1]
    some = next(Tagger(LoudestBand(), window=0.2, threshold=0.01, min_score=middle).iterate([file]))
    assert some.tags == every.tags[:2]
    assert some.events == tuple(event for event in every.events if event.score >= middle)
    assert len(some.events) < len(every.events)


def test_a_label_that_the_tagger_does_not_have_is_refused_with_similar_ones():
    with pytest.raises(AuricleError, match="no label 'midle'; did you mean middle"):
        Tagger(LoudestBand(), only=["midle"])
    with pytest.raises(AuricleError, match="--min-score lies between 0 and 1"):
        TagSettings(min_score=1.5)


def test_the_part_of_a_long_recording_that_is_done_is_reported(tmp_path):
    file = write_sound(tmp_path / "a.wav")
    seen = []
    tagger = Tagger(LoudestBand(), window=0.1, hop=0.1, batch_size=2)
    list(tagger.iterate([file], on_windows=lambda source, seconds: seen.append((source.name, seconds))))
    assert [name for name, _ in seen] == [str(file)] * len(seen)
    assert [seconds for _, seconds in seen] == pytest.approx([0.2, 0.4, 0.5])
