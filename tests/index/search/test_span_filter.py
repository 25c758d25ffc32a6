"""Filters of spans are conditions of SQL on time, recorder, place and path."""

from __future__ import annotations

import sqlite3
from datetime import datetime, time

import pytest

from auricle.core.errors import AuricleError
from auricle.index.database import clock_seconds
from auricle.index.search.span_filter import SpanFilter, read_moment

FILES = [  # each with spans that begin at 0 s and at 1800 s
    ("/d/pond/a.wav", "M7", "Pond", "2024-06-01T21:45:00"),
    ("/d/pond/b[1].wav", "m8", "pond", "2024-06-02T03:45:00"),
    ("/d/hill/c.wav", "S4A1", "Hill*", "2024-06-02T12:00:00.500000"),
    ("/d/hill/d.wav", "", "", None),
]


@pytest.fixture(scope="module")
def database():
    base = sqlite3.connect(":memory:")
    base.execute("CREATE TABLE visible_spans (id, path, start, stop, recorder, place, began)")
    for number, (path, recorder, place, began) in enumerate(FILES):
        clock = clock_seconds(datetime.fromisoformat(began)) if began else None
        for start in (0.0, 1800.0):
            row = (number, path, start, start + 5, recorder, place, clock)
            base.execute("INSERT INTO visible_spans VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    return base


def chosen(database, **conditions) -> str:
    """Letters of the files, small for the first span and capital for the second."""
    where, values = SpanFilter(**conditions).sql()
    rows = database.execute(f"SELECT id, start FROM visible_spans WHERE {where} ORDER BY id, start", values)
    return "".join(("abcd" if start == 0 else "ABCD")[number] for number, start in rows)


@pytest.mark.parametrize(
    ("conditions", "spans"),
    [
        ({}, "aAbBcCdD"),
        ({"after": datetime(2024, 6, 1, 22)}, "AbBcC"),
        ({"before": datetime(2024, 6, 2)}, "aA"),
        ({"after": datetime(2024, 6, 1, 21, 45), "before": datetime(2024, 6, 2, 3, 45)}, "aA"),
        ({"after": time(22), "before": time(4)}, "Ab"),  # over midnight
        ({"after": time(4), "before": time(22)}, "aBcC"),
        ({"after": time(12)}, "aAcC"),
        ({"before": time(12)}, "bB"),
        ({"after": datetime(2024, 6, 2), "before": time(12)}, "bB"),
        ({"recorders": ("m7", "M8")}, "aAbB"),
        ({"recorders": ("m*",)}, "aAbB"),
        ({"places": ("POND",)}, "aAbB"),
        ({"paths": ("pond/*.wav",)}, "aAbB"),
        ({"paths": ("b[1].wav",)}, "bB"),
        ({"paths": ("nd/a.wav",)}, ""),  # from a folder on
        ({"paths": ("/d/hill/*",), "after": time(0), "before": time(0)}, "cC"),  # a whole day: of those with a time
    ],
)
def test_conditions_choose_spans(database, conditions, spans):
    assert chosen(database, **conditions) == spans


def test_text_of_the_user_is_no_sql(database):
    assert chosen(database, places=("' OR 1 --",), paths=("'; DROP TABLE visible_spans",)) == ""


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-06-01", datetime(2024, 6, 1)),
        ("2024-06-01T05:30", datetime(2024, 6, 1, 5, 30)),
        ("2024-06-01 05:30:10", datetime(2024, 6, 1, 5, 30, 10)),
        ("2024-06-01T05:30Z", datetime(2024, 6, 1, 5, 30)),
        ("5:30", time(5, 30)),
        ("22:00:05", time(22, 0, 5)),
    ],
)
def test_moments_are_dates_or_times_of_day(text, moment):
    assert read_moment(text, "--after") == moment


@pytest.mark.parametrize("text", ["dawn", "25:00", "2024-13-01", ""])
def test_other_moments_are_refused_with_the_option(text):
    with pytest.raises(AuricleError, match="--after"):
        read_moment(text, "--after")
