"""Names are shown without control characters, times as h:mm:ss."""

from __future__ import annotations

import json

import pytest

from auricle.core.console import audio_length, clock, listed, printable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain name.wav", "plain name.wav"),
        ("Größe 音 🐦.wav", "Größe 音 🐦.wav"),
        ("a\x1b[2J.wav", "a\\u001b[2J.wav"),
        ("a\nb\rc\td.wav", "a\\u000ab\\u000dc\\u0009d.wav"),
        ("a\x9b31m\x7f.wav", "a\\u009b31m\\u007f.wav"),
        ("caf\udce9.wav", "caf\\udce9.wav"),
        ("gpj.\u202evaw", "gpj.\\u202evaw"),
        ("a\U000e0041", "a\\U000e0041"),
    ],
)
def test_what_a_terminal_would_obey_is_written_out(name, shown):
    assert printable(name) == shown


def test_characters_can_be_kept():
    assert printable("a\nb\x1b", keep="\n") == "a\nb\\u001b"


def test_a_text_of_json_stays_json():
    assert json.loads(printable(json.dumps({"a": "\x7f\x1b\u202e"}))) == {"a": "\x7f\x1b\u202e"}


@pytest.mark.parametrize(
    ("seconds", "decimals", "text"),
    [
        (0, 0, "0:00:00"),
        (59.999, 0, "0:00:59"),
        (3600, 0, "1:00:00"),
        (7.5, 2, "0:00:07.50"),
        (90061.25, 1, "25:01:01.2"),
    ],
)
def test_times_have_hours_minutes_and_seconds(seconds, decimals, text):
    assert clock(seconds, decimals) == text


def test_a_sum_of_steps_is_not_cut_by_its_rounding():
    assert clock(sum([0.1] * 3), 1) == "0:00:00.3"
    assert clock(3 * 0.7, 2) == "0:00:02.10"


def test_short_lengths_are_seconds():
    assert [audio_length(s) for s in (0.25, 59.99, 60.0, 5000)] == ["0.25 s", "59.99 s", "0:01:00", "1:23:20"]


def test_of_many_names_the_first_are_written_and_the_others_counted():
    assert listed(["a", "b", "c"], 3) == "a, b, c"
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"
    assert listed([]) == ""
