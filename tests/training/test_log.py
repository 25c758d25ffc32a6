"""How the loss moved is one statement, made from the log, for the terminal, the card and the report."""

from __future__ import annotations

import math

import pytest

from auricle.training.log import LossChange, length_of_run, read_log


def rows(losses):
    return [{"kind": "step", "loss": loss} for loss in losses]


def test_the_headline_starts_where_the_log_starts_and_ends_with_a_mean():
    losses = [1.87, 1.11, 0.8, *[0.6 + 0.02 * (-1) ** i for i in range(97)]]
    change = LossChange.of(rows(losses))
    assert change is not None
    assert (change.first, change.averaged) == (1.87, 10)
    assert change.last == pytest.approx(0.6)
    assert change.sentence("2 epochs") == (
        "Over 2 epochs the loss fell from 1.87 at the first update to 0.6 (mean of the last 10 logged updates)."
    )


@pytest.mark.parametrize(("count", "averaged"), [(1, 1), (2, 1), (3, 1), (4, 2), (9, 4), (10, 5), (60, 6), (5000, 50)])
def test_a_short_run_is_not_judged_by_one_batch(count, averaged):
    change = LossChange.of(rows([2.0] + [1.0] * (count - 1)))
    assert change is not None
    assert change.averaged == averaged


def test_a_loss_within_its_own_noise_did_not_change():
    noisy = LossChange.of(rows([1.0, *[1.0 + 0.4 * (-1) ** i for i in range(40)]]))
    assert noisy is not None
    assert noisy.steady
    assert "hardly changed from 1 in 1 epoch" in noisy.sentence("1 epoch")
    risen = LossChange.of(rows([1.0, *[1.4 + 0.01 * (-1) ** i for i in range(40)]]))
    assert risen is not None
    assert "rose from 1" in risen.sentence("1 epoch")


def test_what_is_not_finite_or_not_logged_counts_for_nothing():
    assert LossChange.of(rows([math.nan, math.inf])) is None
    assert LossChange.of([{"kind": "step"}, {"kind": "step", "loss": "2"}]) is None
    change = LossChange.of(rows([math.nan, 3.0, 1.0]))
    assert change is not None
    assert change.first == 3.0


def test_a_length_is_written_without_zeros():
    assert [length_of_run(e) for e in (1.0, 20.0, 3.28, 0.5)] == ["1 epoch", "20 epochs", "3.28 epochs", "0.5 epochs"]


def test_a_log_that_is_not_there_is_empty(tmp_path):
    assert read_log(tmp_path / "metrics.jsonl") == []
