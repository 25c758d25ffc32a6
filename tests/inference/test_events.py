"""From scores over time to events and label tracks."""

import numpy as np
import pytest

from auricle.core.errors import AuricleError
from auricle.inference.config import EventSettings, TagSettings
from auricle.inference.events import Event, audacity, cells, find_events, median_filtered, raven, stretches


def spans(count, size=10.0, hop=5.0):
    return np.array([(i * hop, i * hop + size) for i in range(count)])


def scores(*lines):
    return np.array(lines, np.float32).T


def test_windows_in_a_row_are_one_event_from_cell_to_cell():
    found = find_events(scores([0.9, 0.8, 0.0, 0.5]), spans(4), ("dog",), EventSettings(threshold=0.4))
    assert [(e.label, e.start, e.end) for e in found] == [("dog", 0.0, 12.5), ("dog", 17.5, 25.0)]
    assert [e.score for e in found] == pytest.approx([0.9, 0.5])


def test_hysteresis_lets_an_event_last_but_not_begin():
    line = scores([0.35, 0.5, 0.35, 0.1, 0.35])
    loose = find_events(line, spans(5), ("a",), EventSettings(threshold=0.5, hysteresis=0.6))
    strict = find_events(line, spans(5), ("a",), EventSettings(threshold=0.5, hysteresis=1.0))
    assert [(e.start, e.end) for e in loose] == [(0.0, 17.5)]
    assert [(e.start, e.end) for e in strict] == [(7.5, 12.5)]


def test_the_median_filter_removes_a_lone_window_and_closes_a_lone_gap():
    np.testing.assert_array_equal(median_filtered(np.array([0, 0, 1, 0, 0.0]), 3), np.zeros(5))
    np.testing.assert_array_equal(median_filtered(np.array([1, 1, 0, 1, 1.0]), 3), np.ones(5))
    lone = scores([0.0, 0.9, 0.0, 0.0])
    assert find_events(lone, spans(4), ("a",), EventSettings(median=3)) == ()


@pytest.mark.parametrize(
    ("window", "hop", "median"),
    [(10, 5, 3), (1, 0.25, 5), (10, 0.5, 21), (0.3, 0.1, 3), (3, 2, 1), (5, 5, 1), (5, 7, 1)],
)
def test_the_median_filter_spans_the_windows_that_hold_one_moment_unless_it_is_set(window, hop, median):
    assert EventSettings().with_median(window, hop).median == median
    assert EventSettings(median=7).with_median(window, hop).median == 7


def test_cells_tile_overlapping_windows_and_leave_gaps_between_distant_ones():
    tiled = cells(spans(4))
    np.testing.assert_allclose(tiled[1:, 0], tiled[:-1, 1])
    assert (tiled[0, 0], tiled[-1, 1]) == (0.0, 25.0)
    np.testing.assert_allclose(cells(spans(3, size=1.0)), spans(3, size=1.0))
    np.testing.assert_allclose(cells(spans(1)), [[0.0, 10.0]])


def test_an_event_ends_at_a_gap():
    found = find_events(scores([0.9, 0.8, 0.7]), spans(3, size=4.0, hop=10.0), ("a",), EventSettings())
    assert [(e.start, e.end) for e in found] == [(0.0, 4.0), (10.0, 14.0), (20.0, 24.0)]


def test_events_are_sorted_by_start_then_by_score():
    found = find_events(scores([0.5, 0.0], [0.9, 0.0], [0.0, 0.7]), spans(2), ("a", "b", "c"), EventSettings())
    assert [e.label for e in found] == ["b", "a", "c"]
    assert find_events(np.zeros((0, 3)), np.zeros((0, 2)), ("a", "b", "c"), EventSettings()) == ()


def test_a_run_that_never_reaches_the_threshold_is_no_event():
    line = np.array([0.4, 0.4, 0.1, 0.4, 0.6])
    assert list(stretches(line, 0.5, 0.3)) == [(3, 5)]


@pytest.mark.parametrize("wrong", [{"threshold": 0.0}, {"threshold": 1.5}, {"hysteresis": 0.0}, {"median": 4}])
def test_impossible_event_settings_are_refused(wrong):
    with pytest.raises(AuricleError):
        EventSettings(**wrong)


@pytest.mark.parametrize("wrong", [{"hop": 1.0}, {"top_k": 0}, {"window": float("nan")}, {"precision": "int8"}])
def test_impossible_tag_settings_are_refused(wrong):
    with pytest.raises(AuricleError):
        TagSettings(**wrong)


def test_label_tracks_hold_a_line_per_event():
    events = (Event("Dog\tbark", 0.5, 2.25, 0.875), Event("Rain", 3.0, 4.0, 0.5))
    assert audacity(events, 16000.0) == "0.500000\t2.250000\tDog bark 0.88\n3.000000\t4.000000\tRain 0.50\n"
    table = [line.split("\t") for line in raven(events, 16000.0).splitlines()]
    assert table[0][3:5] == ["Begin Time (s)", "End Time (s)"]
    assert table[1] == ["1", "Spectrogram 1", "1", "0.500000", "2.250000", "0", "16000", "Dog bark", "0.8750"]
    assert len({len(row) for row in table}) == 1
