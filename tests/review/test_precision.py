"""How often a class is right at each score: counts, weights, intervals, and the threshold for a wanted precision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.core.errors import AuricleError
from auricle.index.answers import Answer
from auricle.review.precision import few_note, precision_of, precisions
from auricle.review.queue import ReviewItem, draw
from helpers.reviews import answered

SCORES = st.lists(st.tuples(st.integers(1, 100), st.booleans()), min_size=1, max_size=40)


@given(SCORES)
def test_the_curve_counts_the_answers_at_and_above_each_score(pairs):
    scores, right = np.array([score / 100 for score, _ in pairs]), np.array([holds for _, holds in pairs])
    found = precision_of(answered(scores, right), "Frog")
    for threshold, precision, low, high, kept in found.rows():
        above = scores >= threshold
        assert precision == pytest.approx(right[above].mean())
        assert low - 1e-12 <= precision <= high + 1e-12
        assert kept == pytest.approx(right[above].sum() / right.sum() if right.any() else 0.0)
        assert found.at(threshold)[0] == precision


@given(SCORES, st.floats(0.5, 0.95), st.sampled_from(["estimate", "cautious", "sure"]))
def test_the_threshold_has_the_precision_that_it_states(pairs, wanted, bound):
    scores, right = np.array([score / 100 for score, _ in pairs]), np.array([holds for _, holds in pairs])
    chosen = precision_of(answered(scores, right), "Frog", wanted, bound).chosen
    if chosen is None:
        assert not right.any()
        return
    above = scores >= chosen.threshold
    assert chosen.answers == above.sum()
    assert chosen.precision == pytest.approx(right[above].mean())
    if chosen.reached:
        assert {"estimate": chosen.precision, "cautious": chosen.precision, "sure": chosen.low}[bound] >= wanted - 1e-12


def test_a_stricter_bound_gives_a_threshold_that_is_not_lower():
    random = np.random.default_rng(0)
    scores = random.random(200)
    right = random.random(200) < scores
    loose, careful, sure = (
        precision_of(answered(scores, right), "Frog", 0.8, bound).chosen for bound in ("estimate", "cautious", "sure")
    )
    assert loose.threshold <= careful.threshold <= sure.threshold
    assert loose.kept >= careful.kept >= sure.kept
    assert sure.low >= 0.8


def test_the_interval_is_wilsons():
    """9 of 10: 0.5958 to 0.9821 (Newcombe 1998, Two-sided confidence intervals for the single proportion, method 3)."""
    found = precision_of(answered(np.full(10, 0.7), np.arange(10) > 0), "Frog")
    assert found.at(0.5) == pytest.approx((0.9, 0.5958, 0.9821), abs=5e-5)


@settings(max_examples=20)
@given(st.integers(0, 2**31))
def test_equal_probabilities_change_nothing(seed):
    random = np.random.default_rng(seed)
    scores, right = random.random(30), random.random(30) < 0.6
    plain, drawn = (precision_of(answered(scores, right, probability=p), "Frog") for p in (None, 0.25))
    assert plain.rows() == drawn.rows()


def test_a_stratified_sample_tells_the_precision_of_everything_within_its_interval():
    """Of 2,000 detections most have low scores and are wrong; the sample holds as many of high ones. 200 draws."""
    random = np.random.default_rng(1)
    scores = random.beta(1.0, 4.0, 2000)
    right = random.random(2000) < scores
    population = [ReviewItem("/night.wav", float(i), i + 1.0, "Frog", float(score)) for i, score in enumerate(scores)]
    truth, covered, estimates, unweighted = right.mean(), 0, [], []
    for seed in range(200):
        answers = [item.answered("yes" if right[int(item.start)] else "no") for item in draw(population, 100, 5, seed)]
        precision, low, high = precision_of(answers, "Frog").at(0.0)
        covered += low <= truth <= high
        estimates.append(precision)
        unweighted.append(precision_of([replace(a, probability=None) for a in answers], "Frog").at(0.0)[0])
    assert abs(np.mean(estimates) - truth) < 0.01
    assert abs(np.mean(unweighted) - truth) > 0.15, "what the weights are for"
    assert covered >= 186, "93 of 100"


def test_three_right_answers_alone_reach_no_precision():
    scores = np.linspace(0.1, 0.95, 40)
    right = (scores > 0.9) | (np.arange(40) % 3 == 0)
    few = precision_of(answered(scores, right), "Frog", 0.9).chosen
    assert (few.reached, few.precision) == (False, 1.0)
    assert few.answers < 10


def test_unsure_and_unscored_answers_do_not_enter_the_curve():
    answers = [
        Answer("/a.wav", 0.0, 1.0, "Frog", "yes", score=0.9),
        Answer("/a.wav", 1.0, 2.0, "Frog", "unsure", score=0.8),
        Answer("/a.wav", 2.0, 3.0, "Frog", "other", "Toad", score=0.7),
        Answer("/a.wav", 3.0, 4.0, "Frog", "no"),
        Answer("/a.wav", 0.0, 1.0, "Owl", "unsure", score=0.9),
    ]
    found = precision_of(answers, "Frog")
    assert (found.right, found.wrong, found.unsure, found.without_score) == (1, 2, 1, 1)
    assert [row[:2] for row in found.rows()] == [(0.9, 1.0), (0.7, 0.5)]
    owl = precisions(answers)[1]
    assert (owl.label, owl.chosen, owl.rows()) == ("Owl", None, [])
    assert np.isnan(owl.at(0.0)[0])


def test_few_answers_say_so_and_unknown_classes_are_refused():
    few = precision_of(answered(np.linspace(0.1, 1, 19), np.ones(19)), "Frog")
    assert few.few
    assert few_note([few]).endswith("review more of Frog (19, 19 yes)")
    assert not precision_of(answered(np.linspace(0.1, 1, 20), np.arange(20) > 9), "Frog").few
    with pytest.raises(AuricleError, match="did you mean Frog"):
        precision_of(answered(np.ones(1), np.ones(1)), "frog")
    with pytest.raises(AuricleError, match="above 0 and below 1"):
        precision_of(answered(np.ones(1), np.ones(1)), "Frog", 1.0)
