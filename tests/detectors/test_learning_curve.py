"""The learning curve rises with the clips, and what it extrapolates goes on from the measured points."""

from __future__ import annotations

import numpy as np
import pytest

from auricle.detectors.frozen_heads import FrozenHead
from auricle.detectors.learning_curve import CurvePoint, extrapolated, learning_curve, sizes, taken
from auricle.metrics.table import metric
from helpers.frozen_features import drawn_features


def points(*scores: float) -> list[CurvePoint]:
    return [CurvePoint(2**k, score, 0.01) for k, score in enumerate(scores)]


def test_numbers_of_clips_double_up_to_all():
    assert sizes(25) == [1, 2, 4, 8, 16, 25]
    assert sizes(9) == [1, 2, 4, 9]
    assert sizes(1) == [1]


def test_clips_are_taken_class_by_class_in_the_order_and_with_the_same_number_without_a_class():
    labels = np.array([[1, 0], [1, 0], [0, 1], [0, 0], [0, 0], [1, 1]])
    assert taken(labels, np.array([4, 3, 2, 1, 0]), 1).tolist() == [1, 2, 4]
    assert taken(labels, np.arange(6), 2).tolist() == [0, 1, 2, 3, 4, 5]


def test_more_clips_give_better_scores_and_the_last_point_uses_all_that_a_fold_leaves():
    features = drawn_features(n=30, dims=(2, 2))
    curve = learning_curve(features, FrozenHead("linear"), "multiclass", metric("accuracy"))
    assert [point.clips for point in curve.points] == [1, 2, 4, 8]
    assert curve.points[-1].score > curve.points[0].score
    assert [point.clips for point in curve.expected] == [16, 32]


def test_errors_that_halve_with_every_doubling_go_on_halving():
    expected = extrapolated(points(0.2, 0.6, 0.8, 0.9))
    assert [point.score for point in expected] == pytest.approx([0.95, 0.975])
    assert expected[0].error == pytest.approx(0.0, abs=1e-6)


def test_a_curve_that_falls_or_is_perfect_is_continued_flat():
    assert [point.score for point in extrapolated(points(0.9, 0.8, 0.7))] == pytest.approx([0.7, 0.7])
    assert all(0.99 <= point.score <= 1 for point in extrapolated(points(1.0, 1.0, 1.0)))
    assert extrapolated(points(0.5, 0.6)) == ()


def test_there_is_no_curve_where_nothing_can_be_held_out_or_the_metric_is_no_share():
    assert learning_curve(drawn_features(n=3), FrozenHead("linear"), "multiclass", metric("accuracy")) is None
    assert learning_curve(drawn_features(n=30), FrozenHead("linear"), "multilabel", metric("d_prime")) is None
