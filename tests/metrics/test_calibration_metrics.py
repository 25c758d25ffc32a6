"""Calibration error, reliability, and precision and recall by threshold have the values of their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve

from auricle.core.errors import AuricleError
from auricle.metrics.calibration import (
    expected_calibration_error,
    precision_recall_at,
    reliability,
    threshold_curve,
    top_label,
    wilson_interval,
)


def test_the_error_is_the_distance_of_score_and_share_weighted_by_the_clips():
    scores = np.array([0.95, 0.95, 0.95, 0.95, 0.25])
    targets = np.array([1, 1, 1, 0, 0])
    assert expected_calibration_error(scores, targets) == pytest.approx((4 * 0.2 + 1 * 0.25) / 5)
    bins = reliability(scores, targets)
    assert bins.counts.tolist() == [0, 0, 1, 0, 0, 0, 0, 0, 0, 4]
    assert bins.positive_share[9] == 0.75
    assert np.isnan(bins.positive_share[0])


def test_the_error_of_a_perfectly_calibrated_sample_is_near_zero_and_of_a_sharpened_one_is_not():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, 20_000)
    chance = 1 / (1 + np.exp(-logits))
    targets = rng.random(20_000) < chance
    assert expected_calibration_error(chance, targets) < 0.01
    assert expected_calibration_error(1 / (1 + np.exp(-4 * logits)), targets) > 0.08


def test_clips_that_were_not_annotated_do_not_count():
    scores, targets = np.array([0.9, 0.1, 0.4]), np.array([1, 0, np.nan])
    assert reliability(scores, targets).counts.sum() == 2
    assert threshold_curve(scores, targets).rows == 2


@pytest.mark.parametrize("scores", [[0.2, 1.5], [0.2, float("nan")]])
def test_scores_that_are_no_probabilities_are_refused(scores):
    with pytest.raises(AuricleError, match="probability|NaN"):
        reliability(np.array(scores), np.array([0, 1]))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=2, max_size=30))
def test_precision_and_recall_by_threshold_agree_with_scikit_learn_also_with_ties(pairs):
    scores, targets = np.array([p[0] / 10 for p in pairs]), np.array([p[1] for p in pairs])
    if not targets.any():
        return
    precision, recall, thresholds = precision_recall_curve(targets, scores)
    curve = threshold_curve(scores, targets)
    assert np.allclose(curve.thresholds[::-1], thresholds)
    assert np.allclose(curve.precision[::-1], precision[:-1])
    assert np.allclose(curve.recall[::-1], recall[:-1])
    assert precision_recall_at(scores, targets, curve.thresholds[0])[:2] == (curve.hits[0], curve.decided[0])


def test_a_score_of_zero_is_never_a_detection():
    assert threshold_curve(np.array([0.0, 0.0, 0.7]), np.array([1, 0, 1])).decided.tolist() == [1]
    assert precision_recall_at(np.array([0.0, 0.7]), np.array([1, 1]), 0.0) == (1, 1, 2)


def test_wilsons_interval_has_its_published_values():
    """Newcombe 1998, Two-sided confidence intervals for the single proportion, table I."""
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(0, 0) == (0.0, 1.0)


def test_the_likeliest_class_is_scored_where_classes_exclude_each_other():
    score, right = top_label(np.array([[0.7, 0.3], [0.4, 0.6]]), np.array([[1, 0], [1, 0]]))
    assert score.tolist() == [0.7, 0.6]
    assert right.tolist() == [1, 0]
