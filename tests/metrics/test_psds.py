"""PSDS: cases that are worked out by hand, and the values of psds_eval 0.5.3 (``tests/golden/psds``)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from auricle.core.errors import AuricleError
from auricle.data.manifest.clip_table import Segment
from auricle.metrics.psds import SCENARIOS, PSDSSettings, detections_of_points, detections_of_scores, psds

GOLDEN = Path(__file__).parents[1] / "golden" / "psds" / "psds_eval.json"
HALF = PSDSSettings(0.5, 0.5, 0.3, alpha_ct=0.0, alpha_st=0.0, e_max=100.0)


def spans(*rows):
    return [Segment(*row) for row in rows]


@pytest.mark.parametrize("case", json.loads(GOLDEN.read_text())["cases"])
def test_scores_are_those_of_psds_eval(case):
    truth = [spans(*rows) for rows in case["truth"]]
    found = [
        detections_of_points([spans(*point[row]) for point in case["points"]]) for row in range(len(case["seconds"]))
    ]
    every = {**SCENARIOS, "other": PSDSSettings(0.5, 0.5, 0.3, alpha_ct=1.0, alpha_st=0.5, e_max=600.0)}
    for name, value in case["scores"].items():
        assert psds(found, truth, case["seconds"], every[name]).value == pytest.approx(value, abs=1e-9)


def test_an_event_is_found_if_right_detections_cover_enough_of_it():
    # 0-10 s: detections 0-3 and 4-6 are right and cover half of it; at the second threshold 0-3 alone, which is too little
    truth, hour = [spans((0, 10, "dog"))], [3600.0]
    both, one = spans((0, 3, "dog"), (4, 6, "dog")), spans((0, 3, "dog"))
    assert psds([detections_of_points([both])], truth, hour, HALF).value == 1
    assert psds([detections_of_points([one])], truth, hour, HALF).value == 0
    # half of 8-12 lies in the event, 40 % of 7-14 do not reach: a false alarm, at which nothing is found
    assert psds([detections_of_points([spans((2, 18, "dog"))])], truth, hour, HALF).value == 1
    assert psds([detections_of_points([spans((2, 19, "dog"))])], truth, hour, HALF).value == 0


def test_false_alarms_an_hour_move_the_curve_to_the_right():
    # one of two events without a false alarm, both with one in 0.1 h, which is 10 an hour of 100: 0.1 * 0.5 + 0.9 * 1
    truth = [spans((0, 10, "dog"), (20, 30, "dog"))]
    strict = spans((0, 10, "dog"))
    lax = spans((0, 10, "dog"), (20, 30, "dog"), (50, 60, "dog"))
    found = psds([detections_of_points([strict, lax])], truth, [360.0], HALF)
    assert found.value == pytest.approx(0.95)
    assert found.by_class == {"dog": pytest.approx(0.95)}
    assert list(found.false_alarms) == pytest.approx([0, 10])


def test_cross_triggers_cost_by_the_hour_of_the_other_class():
    # "cat" in the dog's 36 s: a false alarm (10 an hour of 0.1 h), and a cross-trigger (100 an hour of 36 s of dog)
    truth = [spans((0, 36, "dog"), (100, 110, "cat"))]
    points = [spans((0, 36, "dog"), (100, 110, "cat"), (0, 36, "cat"))]
    settings = PSDSSettings(0.5, 0.5, 0.3, alpha_ct=0.5, alpha_st=0.0, e_max=100.0)
    found = psds([detections_of_points(points)], truth, [360.0], settings)
    assert list(found.false_alarms) == pytest.approx([0, 10 + 0.5 * 100])
    # the dog is found from 0 on, the cat from 60 on: 0.6 * 0.5 + 0.4 * 1
    assert found.value == pytest.approx(0.7)
    # the deviation over the classes, 0.5 up to 60, is taken off
    assert psds([detections_of_points(points)], truth, [360.0], SCENARIOS["psds2"]).value == pytest.approx(0.4)


def test_scores_of_frames_become_detections_at_every_threshold():
    scores = np.array([[0.1, 0.9], [0.6, 0.9], [0.7, 0.0], [0.1, 0.0]])
    edges = np.array([[0, 1], [1, 2], [2, 3], [3, 4]], float)
    found = detections_of_scores(scores, edges, ["a", "b"], thresholds=2)  # 0.25 and 0.75
    assert found["a"].tolist() == [[0, 1, 3]]
    assert found["b"].tolist() == [[0, 0, 2], [1, 0, 2]]
    assert psds([found], [spans((1, 3, "a"), (0, 2, "b"))], [4.0], HALF).value == 1


def test_nothing_to_find_is_not_a_number_and_lists_must_fit():
    assert np.isnan(psds([{}], [[]], [1.0]).value)
    assert psds([{}], [spans((0, 1, "a"))], [1.0]).value == 0
    overlapping = [spans((0, 2, "a"), (1, 4, "a"))]  # one event
    assert psds([detections_of_points(overlapping)], overlapping, [9.0], HALF).value == 1
    with pytest.raises(AuricleError, match="as many"):
        psds([{}], [[], []], [1.0])
