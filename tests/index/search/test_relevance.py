"""Examples become scores: of the nearest one, of a mean, or of a classifier."""

from __future__ import annotations

import numpy as np
import pytest

from auricle.index.search.relevance import (
    BACKGROUND,
    LINEAR,
    NEAREST,
    background_rows,
    choose_method,
    linear,
    nearest_scores,
    rocchio,
)


def units(count: int, seed: int, towards: int | None = None) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, 8))
    if towards is not None:
        vectors[:, towards] += 4.0
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_few_examples_are_compared_one_by_one_and_more_teach_a_classifier():
    assert [choose_method(*counts) for counts in ((1, 0), (2, 0), (3, 0), (3, 3), (4, 3), (3, 9))] == [
        *(NEAREST, NEAREST, LINEAR),
        *(NEAREST, LINEAR, NEAREST),
    ]


def test_nearest_score_falls_near_a_negative_and_never_rises():
    spans, positives = units(50, 0), units(3, 1)
    alone = nearest_scores(spans, positives, positives[:0])
    assert alone == pytest.approx((spans.astype(float) @ positives.T.astype(float)).max(1))
    against = nearest_scores(spans, positives, spans[:1])
    assert against[0] == pytest.approx(alone[0] - 0.25)
    assert (against <= alone).all()


def test_mean_leans_away_from_negatives():
    positives, negatives = units(5, 0, towards=0), units(5, 1, towards=1)
    with_negatives, without = rocchio(positives, negatives), rocchio(positives, negatives[:0])
    assert np.linalg.norm(with_negatives.unit) == pytest.approx(1)
    assert (negatives @ with_negatives.unit).mean() < (negatives @ without.unit).mean()


def test_opposite_examples_still_give_a_direction():
    pair = np.array([[1, 0], [-1, 0]], np.float32)
    assert np.linalg.norm(rocchio(pair, pair[:0]).unit) == pytest.approx(1)


def test_classifier_scores_are_probabilities_in_the_order_of_its_direction():
    positives, negatives, background = units(6, 0, towards=0), units(6, 1, towards=1), units(100, 2)
    direction = linear(positives, negatives, background)
    products = units(20, 3, towards=0) @ direction.unit
    scores = direction.scores(products)
    assert ((scores > 0) & (scores < 1)).all()
    assert np.argsort(scores).tolist() == np.argsort(products).tolist()
    assert direction.scores(positives @ direction.unit).min() > direction.scores(negatives @ direction.unit).max()


def test_same_examples_on_both_sides_do_not_fail():
    same = units(4, 0)
    assert np.isfinite(linear(same, same, same).unit).all()


def test_background_is_the_same_each_time():
    rows = background_rows(5000)
    assert len(rows) == BACKGROUND
    assert rows.tolist() == background_rows(5000).tolist()
    assert background_rows(7).tolist() == list(range(7))
