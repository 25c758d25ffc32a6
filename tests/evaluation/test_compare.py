"""One module of statistics: the results command and the report call the same difference of the same scores the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t, ttest_rel

from auricle.core.errors import AuricleError
from auricle.evaluation.compare import compare, corrected_t_test, paired_difference, score_difference, wilcoxon_test
from auricle.evaluation.evaluation import Coverage, Evaluation, Score
from auricle.evaluation.results import Result, ResultsStore, record
from auricle.evaluation.scoring import FewShotPoint, FoldScore, mean_and_std
from auricle.metrics.table import METRICS, Metric


def row(model="a", scores=None, **change):
    scores = scores or {"fold 1 / 0": 0.5, "fold 2 / 0": 0.5}
    values = {"checksum": "c", "task": "tones", "protocol": "logistic", "metric": "accuracy", "std": 0.1, "id": None}
    return Result(
        **{**values, "model": model, "score": float(np.mean(list(scores.values()))), "scores": scores, **change}
    )


def score(model, values, seed=0, train=80, test=20):
    scores = tuple(FoldScore(f"fold {i}", seed, v, train, 0, test, 3) for i, v in enumerate(values))
    return Score(model, *mean_and_std(scores), scores)


def evaluation(own, *baselines):
    return Evaluation(
        "tones", "logistic", "accuracy", own, baselines, ("a", "b"), 2, False, Coverage(10, 0, 0, 0, 10), ()
    )


A = [0.80, 0.90, 0.85, 0.83, 0.87]
B = [0.70, 0.86, 0.84, 0.80, 0.79]


def test_the_results_command_and_the_report_agree(tmp_path):
    a, b = score("a", A), score("b", B)
    store = ResultsStore(tmp_path / "results.sqlite")
    record(evaluation(a, b), store)
    (compared,) = compare(store.select(), "b", "a")
    shown = score_difference(a, b)
    assert (compared.difference, compared.std) == (shown.mean, shown.std)
    assert (compared.t_test, compared.wilcoxon, compared.pairs) == (shown.p_value, shown.wilcoxon, shown.pairs)


def few_shot(model, values, folds):
    """A 1-shot point of two draws per fold: 3 clips drawn of 80, 20 tested."""
    scores = tuple(FoldScore(f"fold {i % folds}", i // folds, v, 3, 0, 20, 3) for i, v in enumerate(values))
    return replace(score(model, values[:folds]), few_shot=(FewShotPoint(1, *mean_and_std(scores), scores),))


@pytest.mark.parametrize("folds", [1, 2, 5])
def test_few_shot_scores_are_compared_with_the_ratio_of_the_part_they_are_drawn_from(tmp_path, folds):
    a, b = (0.5 + 0.01 * np.arange(1, 2 * folds + 1) ** power for power in (1.0, 1.5))
    store = ResultsStore(tmp_path / "results.sqlite")
    record(evaluation(few_shot("a", a, folds), few_shot("b", b, folds)), store)
    assert {row.protocol: row.test_ratio for row in store.select()} == {"logistic": 0.25, "1-shot": 0.25}
    (compared,) = [c for c in compare(store.select(), "b", "a") if c.protocol == "1-shot"]
    assert compared.pairs == 2 * folds
    assert compared.t_test == pytest.approx(corrected_t_test(a - b, 0.25))
    assert compared.t_test > corrected_t_test(a - b, 0.0)


def test_the_corrected_test_is_less_sure_than_students_by_the_shared_training_clips():
    differences = np.array(A) - np.array(B)
    plain = float(ttest_rel(A, B).pvalue)
    assert corrected_t_test(differences, 0.0) == pytest.approx(plain)
    assert corrected_t_test(differences, 0.25) > plain
    statistic = differences.mean() / np.sqrt(
        differences.var(ddof=1) * (1 / 5 + 1 / 4)
    )  # 1/n + test clips per training clip
    assert corrected_t_test(differences, 0.25) == pytest.approx(2 * t.sf(statistic, 4))


def test_without_a_ratio_it_is_that_of_cross_validation():
    scores = {f"fold {i} / 0": value for i, value in enumerate(A)}
    reference = {f"fold {i} / 0": value for i, value in enumerate(B)}
    assert paired_difference(scores, reference).p_value == paired_difference(scores, reference, 0.25).p_value


def test_a_comparison_pairs_folds_and_seeds():
    a = row("a", {f"fold {i} / {s}": 0.5 + 0.01 * i for i in range(5) for s in (1, 2)})
    b = row("b", {f"fold {i} / {s}": 0.6 + 0.011 * i for i in range(5) for s in (2, 3)})
    (compared,) = compare([a, b], "a", "b")
    assert compared.pairs == 5
    assert compared.difference == pytest.approx(0.102)
    assert compared.t_test < 0.001
    assert compared.wilcoxon == pytest.approx(0.0625)


def test_other_seeds_are_paired_by_fold():
    a = row("a", {"fold 1 / 0": 0.4, "fold 2 / 0": 0.6})
    b = row("b", {"fold 1 / 42": 0.5, "fold 1 / 43": 0.7, "fold 2 / 42": 0.6, "fold 2 / 43": 0.6})
    (compared,) = compare([a, b], "a", "b")
    assert compared.pairs == 2
    assert compared.difference == pytest.approx(0.1)


def test_scores_of_other_folds_are_not_paired():
    difference = paired_difference({"fold 1 / 0": 0.4, "fold 2 / 0": 0.6}, {"test / 0": 0.4})
    assert (difference.pairs, difference.p_value, difference.verdict("accuracy")) == (0, None, "unsure")
    assert difference.mean == pytest.approx(0.1)


def test_tests_give_no_p_value_where_there_is_none():
    one, none, same = np.array([0.0]), np.zeros(2), np.full(2, 0.1)
    assert corrected_t_test(one, 0.25) is None
    assert wilcoxon_test(one) is None
    assert corrected_t_test(none, 0.25) == wilcoxon_test(none) == 1.0
    assert corrected_t_test(same, 0.25) == 0.0


def test_a_lower_error_rate_is_better(monkeypatch):
    monkeypatch.setitem(METRICS, "error", Metric("error", lambda s, t: 0.0, ("multiclass",), higher_is_better=False))
    difference = score_difference(score("a", A), score("b", [v - 0.5 for v in A]))
    assert (difference.verdict("accuracy"), difference.verdict("error")) == ("better", "worse")


def test_the_latest_measurement_counts_and_unknown_names_are_refused(tmp_path):
    store = ResultsStore(tmp_path / "results.sqlite")
    store.append([row("a", score=0.1), row("a", score=0.9), row("b"), row("c", task="other")])
    rows = store.select()
    assert compare(rows, "a", "b")[0].a.score == 0.9
    assert compare(rows, "1", "b")[0].a.score == 0.1
    with pytest.raises(AuricleError, match="no result of 'd'"):
        compare(rows, "a", "d")
    with pytest.raises(AuricleError, match="not measured on the same task"):
        compare(rows, "a", "c")
