"""Cohen's kappa: the values of scikit-learn and of the literature."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from auricle.metrics.agreement import cohen_kappa


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=40))
def test_kappa_is_that_of_scikit_learn(pairs):
    first, second = (np.array(column) for column in zip(*pairs))
    counts = np.zeros((3, 3), int)
    np.add.at(counts, (first, second), 1)
    with np.errstate(invalid="ignore"):
        expected = cohen_kappa_score(first, second) if len(set(first) | set(second)) > 1 else math.nan
    kappa = cohen_kappa(counts)
    assert kappa.value == pytest.approx(expected, nan_ok=True, abs=1e-9)
    assert math.isnan(kappa.value) or -1 <= kappa.low <= kappa.value <= kappa.high <= 1


def test_the_interval_is_that_of_fleiss():
    """Fleiss, Levin and Paik 2003, Statistical Methods for Rates and Proportions, section 18.1: 0.68, standard error 0.087."""
    kappa = cohen_kappa(np.array([[75, 1, 4], [5, 4, 1], [0, 0, 10]]))
    assert kappa.value == pytest.approx(0.68, abs=5e-3)
    assert (kappa.high - kappa.low) / 2 / 1.96 == pytest.approx(0.087, abs=1e-3)


def test_where_both_gave_one_answer_only_there_is_no_kappa():
    assert math.isnan(cohen_kappa(np.array([[7, 0], [0, 0]])).value)
    assert math.isnan(cohen_kappa(np.zeros((2, 2))).value)
