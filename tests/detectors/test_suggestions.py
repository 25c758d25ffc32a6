"""Suggestions: doubt grows towards the threshold, near-duplicates are left out, random clips have a known probability."""

from __future__ import annotations

import numpy as np
import pytest

from auricle.detectors.suggestions import DoubtfulClips, comparable, doubts_of, random_rows, varied_rows
from auricle.models.label_space import LabelSpace

SEVERAL = LabelSpace("multilabel", ("frog", "wren"), thresholds=(0.9, 0.5), thresholds_fitted_on="test")
ONE = LabelSpace("multiclass", ("frog", "wren", "noise"), background=("noise",))


def test_a_score_is_most_doubtful_at_its_threshold():
    doubts = doubts_of(np.array([[0.9, 0.0], [0.45, 0.0], [0.95, 1.0], [0.0, 0.5], [1.0, 0.0]]), SEVERAL)
    assert doubts.doubt == pytest.approx([1.0, 0.5, 0.5, 1.0, 0.0])
    assert doubts.label.tolist() == [0, 0, 0, 1, 0]
    assert doubts.score[1] == pytest.approx(0.45)


def test_exclusive_classes_are_doubtful_by_their_margin_and_background_is_one_answer():
    doubts = doubts_of(np.array([[0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.9, 0.1, 0.0], [0.0, 0.1, 0.9]]), ONE)
    assert doubts.doubt == pytest.approx([1.0, 1.0, 0.2, 0.2])
    assert doubts.label.tolist() == [0, 0, 0, 1]
    assert set(doubts.reason) == {"close classes"}


def test_the_threshold_of_an_exclusive_class_counts_too():
    space = ONE.with_thresholds([0.8, 0.5, 0.5], fitted_on="test")
    doubts = doubts_of(np.array([[0.8, 0.2, 0.0]]), space)
    assert doubts.doubt == pytest.approx([1.0])
    assert doubts.reason[0] == "near threshold"


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_thresholds_at_the_ends_give_no_division_by_zero(threshold):
    space = SEVERAL.with_thresholds([threshold, 0.5], fitted_on="test")
    with np.errstate(all="raise"):
        doubts = doubts_of(np.array([[threshold, 0.0]]), space)
    assert doubts.doubt == pytest.approx([1.0])


def test_only_the_classes_asked_about_are_suggested():
    doubts = doubts_of(np.array([[0.9, 0.1]]), SEVERAL, [1])
    assert doubts.label.tolist() == [1]
    assert doubts.doubt == pytest.approx([0.2])


def test_random_rows_are_drawn_evenly():
    counts = np.zeros(10)
    for seed in range(400):
        rows = random_rows(10, 3, seed)
        assert len(set(rows.tolist())) == 3
        counts[rows] += 1
    assert abs(counts / 400 - 0.3).max() < 0.1
    assert random_rows(10, 3, 5).tolist() == random_rows(10, 3, 5).tolist()


def test_chosen_clips_differ_and_near_duplicates_are_left_out():
    directions = np.eye(4, dtype=np.float32)
    vectors = np.concatenate([directions[:1] * (1 + 0.01 * np.arange(5)[:, None]), directions[1:]])
    units = comparable(vectors, np.zeros(4))
    doubt = np.array([1.0, 0.99, 0.98, 0.97, 0.96, 0.5, 0.4, 0.3])
    assert varied_rows(doubt, units, 4, near=0.9) == [0, 5, 6, 7]
    assert varied_rows(doubt, units, 8, near=0.9) == [0, 5, 6, 7], "the others are near-duplicates"
    assert varied_rows(doubt, units, 2, near=0.9, apart_from=units[:1]) == [5, 6], "labelled clips count too"


def test_equal_embeddings_are_near_duplicates_whatever_the_centre_is():
    vectors = np.full((3, 4), 2.0, np.float32)
    units = comparable(vectors, vectors.mean(0))
    assert varied_rows(np.array([0.5, 0.9, 0.1]), units, 3, near=0.9) == [1]


def test_the_most_doubtful_clips_are_held_in_bounded_memory():
    clips = DoubtfulClips(3)
    for row, doubt in enumerate([0.1, 0.9, 0.3, 0.8, 0.2, 0.7, 0.6, 0.05]):
        clips.add(row, doubt, np.full(2, row, np.float32))
        assert len(clips.vectors) <= 6
    rows, doubts, vectors = clips.arrays()
    assert rows.tolist() == [1, 3, 5]
    assert doubts.tolist() == [0.9, 0.8, 0.7]
    assert vectors[:, 0].tolist() == [1, 3, 5]
