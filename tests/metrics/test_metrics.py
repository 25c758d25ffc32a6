"""Metrics agree with scikit-learn and are NaN where they have no value."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file
from sklearn import metrics as reference

from auricle.core.errors import AuricleError
from auricle.evaluation.tasks import Task
from auricle.metrics.classification import (
    accuracy,
    average_precision,
    balanced_accuracy,
    confusion,
    d_prime,
    mean_average_precision,
    mean_d_prime,
    recall_per_class,
    roc_auc,
)
from auricle.metrics.table import METRICS, Metric, default_metric, metric
from helpers.paths import GOLDEN

rows = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=40)


@settings(max_examples=60, deadline=None)
@given(rows)
def test_average_precision_and_auc_agree_with_scikit_learn_also_with_ties(pairs):
    scores, targets = np.array([p[0] / 6 for p in pairs]), np.array([p[1] for p in pairs])
    if targets.any():
        assert average_precision(scores, targets) == pytest.approx(reference.average_precision_score(targets, scores))
    if targets.any() and not targets.all():
        assert roc_auc(scores, targets) == pytest.approx(reference.roc_auc_score(targets, scores))


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_scene_scores_are_those_of_hear(kind):
    tables = load_file(GOLDEN / "evaluation/hear_scenes.safetensors")
    expected = json.loads((GOLDEN / "evaluation/hear_scenes.json").read_text())["scene_scores"][kind]
    scores, targets = tables[f"{kind}/score"], tables[f"{kind}/target"]
    names = {"mAP": "mAP", "d_prime": "d_prime", "roc_auc": "aucroc"} | (
        {"accuracy": "top1_acc"} if kind == "multiclass" else {}
    )
    for ours, theirs in names.items():
        assert metric(ours)(scores, targets) == pytest.approx(expected[theirs], rel=1e-12)


def test_a_class_without_positives_is_not_scored():
    targets = np.array([[1, 0], [0, 0], [1, 0]])
    scores = np.random.default_rng(0).random((3, 2))
    assert np.isnan(average_precision(scores[:, 1], targets[:, 1]))
    assert mean_average_precision(scores, targets) == average_precision(scores[:, 0], targets[:, 0])


def test_balanced_accuracy_weighs_classes_not_clips():
    true, predicted = np.array([0, 0, 0, 1]), np.array([0, 0, 0, 0])
    assert accuracy(predicted, true) == 0.75
    assert balanced_accuracy(predicted, true, 3) == 0.5
    assert np.isnan(recall_per_class(predicted, true, 3)[2])


def test_confusion_has_true_classes_in_rows():
    assert confusion(np.array([1, 1, 0]), np.array([0, 1, 0]), 2).tolist() == [[1, 1], [0, 1]]


def test_d_prime_of_known_areas():
    assert d_prime(0.5) == 0.0
    assert d_prime(0.97) == pytest.approx(2.6599, abs=1e-4)
    assert d_prime(1.0) == np.inf
    assert np.isnan(d_prime(float("nan")))


def test_d_prime_of_a_table_is_the_mean_over_its_classes():
    targets = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0]])
    scores = np.array([[0.9, 0.2, 0.1], [0.3, 0.1, 0.2], [0.2, 0.6, 0.3], [0.1, 0.5, 0.4]])
    areas = [roc_auc(scores[:, c], targets[:, c]) for c in range(2)]  # the third class has no positive
    assert mean_d_prime(scores, targets) == pytest.approx(np.mean([d_prime(area) for area in areas]))
    assert mean_d_prime(targets[:, :2] + 0.0, targets[:, :2]) == np.inf
    assert np.isnan(mean_d_prime(np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([[1, 1], [0, 0]])))


@pytest.mark.parametrize(
    "name", [name for name, metric in METRICS.items() if not {"events", "sequence"} & {*metric.kinds}]
)
def test_scores_that_are_nan_are_refused_not_ranked(name):
    scores = np.array([[np.nan, 1.0], [0.2, 0.3], [0.5, 0.1]])
    with pytest.raises(AuricleError, match="1 of [36] scores are NaN"):
        metric(name)(scores, np.array([[1, 0], [0, 1], [1, 0]]))


def test_unknown_and_unfit_metrics_are_refused_with_a_reason():
    with pytest.raises(AuricleError, match="did you mean accuracy"):
        metric("acuracy")
    with pytest.raises(AuricleError, match="exactly one label"):
        metric("accuracy", "multilabel")


@pytest.mark.parametrize(
    ("old", "new"), [("balanced-accuracy", "balanced_accuracy"), ("roc-auc", "roc_auc"), ("d-prime", "d_prime")]
)
def test_the_first_editions_names_are_accepted(old, new):
    assert metric(old).name == new


def top2(scores, targets):
    return float((scores.argsort(1)[:, -2:] == targets.argmax(1)[:, None]).any(1).mean())


def test_a_metric_is_added_by_a_line(monkeypatch):
    monkeypatch.setitem(METRICS, "top2", Metric("top2", top2, ("multiclass",)))
    scores, targets = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2]]), np.eye(3)[[1, 2]]
    assert metric("top2", "multiclass")(scores, targets) == 0.5
    assert "top2" in str(Task("sounds", metric="top2"))
    with pytest.raises(AuricleError, match="use mAP, roc_auc, d_prime"):
        metric("top2", "multilabel")


def test_every_kind_has_a_default_metric_or_raises():
    defaults = {kind: default_metric(kind) for kind in ("multiclass", "multilabel", "pairs", "sequence")}
    assert defaults == {
        "multiclass": "accuracy",
        "multilabel": "mAP",
        "pairs": "roc_auc",
        "sequence": "token_error_rate",
    }
    with pytest.raises(AuricleError, match="no metric for tasks of kind 'retrieval'"):
        default_metric("retrieval")
