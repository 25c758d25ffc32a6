"""Segment F and event F are those of sed_eval; expected values are worked out by hand beside each case."""

from __future__ import annotations

import numpy as np
import pytest

from auricle.core.errors import AuricleError
from auricle.data.manifest.clip_table import Segment
from auricle.metrics.events import event_counts, scores_by_class, segment_counts, spans_of
from auricle.metrics.table import default_metric, metric


def spans(*rows):
    return [Segment(*row) for row in rows]


TRUE = [
    spans((0.0, 2.0, "dog"), (2.5, 3.0, "dog"), (1.0, 4.0, "rain")),
    spans((0.5, 1.0, "dog")),
]
FOUND = [
    spans((0.1, 2.1, "dog"), (2.5, 3.5, "dog"), (1.0, 3.5, "rain")),
    spans((0.9, 1.4, "dog"), (3.0, 4.0, "rain")),
]


def test_segment_f_counts_the_seconds_that_a_class_touches():
    # recording 1, dog: true seconds 0 1 2, found 0 1 2 3; rain: true 1 2 3, found 1 2 3
    # recording 2, dog: true 0, found 0 1; rain: true none, found 3
    counts = segment_counts(FOUND, TRUE)
    assert counts.hits == {"dog": 4, "rain": 3}
    assert counts.predicted == {"dog": 6, "rain": 4}
    assert counts.true == {"dog": 4, "rain": 3}
    assert counts.f() == pytest.approx(2 * 7 / (10 + 7))
    assert counts.mean_f() == pytest.approx((2 * 4 / 10 + 2 * 3 / 7) / 2)
    assert metric("segment_f")(FOUND, TRUE) == counts.f()
    assert metric("mean_segment_f")(FOUND, TRUE) == counts.mean_f()


def test_every_class_has_its_own_scores():
    scores = scores_by_class(FOUND, TRUE)
    assert list(scores) == ["dog", "rain"]
    assert scores["dog"]["segment_f"] == pytest.approx(2 * 4 / 10)
    assert scores["dog"]["event_f"] == pytest.approx(2 * 1 / (3 + 3))
    assert scores["rain"]["event_f"] == pytest.approx(2 * 1 / (2 + 1))
    assert scores["rain"]["onset_f"] == pytest.approx(2 * 1 / (2 + 1))
    assert (scores["rain"]["events"], scores["rain"]["found"]) == (1, 2)
    assert scores_by_class([[]], [spans((0.0, 1.0, "cat"))])["cat"] == {
        **dict.fromkeys(("segment_f", "event_f", "onset_f"), 0.0),
        "events": 1,
        "found": 0,
    }


def test_event_f_wants_the_onset_within_200_ms_and_the_offset_within_a_fifth_of_the_length():
    # dog 0-2: found 0.1-2.1, both within 0.2 and 0.4; dog 2.5-3: end 0.5 s late, refused; rain 1-4: end 0.5 s early, within 0.6;
    # recording 2, dog: onset 0.4 s late, refused
    counts = event_counts(FOUND, TRUE)
    assert counts.hits.total() == 2
    assert counts.f() == pytest.approx(2 * 2 / (5 + 4))
    assert counts.mean_f() == pytest.approx((2 * 1 / (3 + 3) + 2 * 1 / (2 + 1)) / 2)
    assert metric("event_f")(FOUND, TRUE) == counts.f()
    assert metric("mean_event_f")(FOUND, TRUE) == counts.mean_f()


def test_onset_f_does_not_look_at_the_ends():
    assert metric("onset_f")(FOUND, TRUE) == pytest.approx(2 * 3 / (5 + 4))


def test_events_are_paired_so_that_as_many_as_possible_match():
    # the first found event matches both true ones, the second only the first of them: 2 pairs, not 1
    true = [spans((1.0, 2.0, "a"), (1.15, 2.15, "a"))]
    found = [spans((1.05, 2.05, "a"), (0.85, 1.85, "a"))]
    assert event_counts(found, true).f() == 1.0


def test_a_class_that_is_nowhere_has_no_f_and_an_empty_prediction_scores_0():
    assert np.isnan(segment_counts([[]], [[]]).f())
    assert np.isnan(event_counts([[]], [[]]).mean_f())
    assert event_counts([[]], [TRUE[0]]).f() == 0.0
    assert event_counts(TRUE, TRUE).f() == segment_counts(TRUE, TRUE).mean_f() == 1.0


def test_lists_of_other_lengths_are_refused():
    with pytest.raises(AuricleError, match="spans of 1 recordings"):
        segment_counts([[]], [[], []])


def test_events_have_a_default_metric():
    assert default_metric("events") == "segment_f"


def test_neighbouring_frames_are_one_span():
    active = np.array([[1, 0], [1, 1], [0, 1], [1, 0]], bool)
    edges = np.array([[0.0, 0.5], [0.5, 1.0], [1.0, 1.5], [1.5, 2.0]])
    assert spans_of(active, edges, ("a", "b")) == ((0.0, 1.0, "a"), (0.5, 1.5, "b"), (1.5, 2.0, "a"))


@pytest.mark.parametrize(("found", "true"), [(FOUND, TRUE), (TRUE, FOUND)])
def test_both_agree_with_sed_eval(found, true):
    sed_eval = pytest.importorskip("sed_eval", reason="sed_eval is not installed")
    labels = ["dog", "rain"]
    by_segment = sed_eval.sound_event.SegmentBasedMetrics(labels, time_resolution=1.0)
    by_event = sed_eval.sound_event.EventBasedMetrics(labels, t_collar=0.2, percentage_of_length=0.2)
    for i, (a, b) in enumerate(zip(true, found)):
        for scorer in (by_segment, by_event):
            scorer.evaluate(*(as_dicts(part, f"{i}.wav") for part in (a, b)))
    for scorer, counts in ((by_segment, segment_counts(found, true)), (by_event, event_counts(found, true))):
        overall = scorer.results_overall_metrics()["f_measure"]["f_measure"]
        assert counts.f() == pytest.approx(overall)


def as_dicts(rows, file):
    return [{"event_label": s.label, "event_onset": s.onset, "event_offset": s.offset, "file": file} for s in rows]
