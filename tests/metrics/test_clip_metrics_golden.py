"""Metrics of fine-tuning agree with EVAR's program, but for a class without a positive, which it counts as 0."""

from __future__ import annotations

import json

import numpy as np
import pytest

from auricle.metrics.classification import average_precision_per_class, roc_auc_per_class
from auricle.metrics.table import METRICS
from helpers.paths import GOLDEN

CASE = json.loads((GOLDEN / "finetune" / "clip_metrics.json").read_text())
SCORES = np.array(CASE["scores"])


def test_areas_and_their_means_are_those_of_the_program():
    targets = np.array(CASE["multi_label"])
    np.testing.assert_allclose(average_precision_per_class(SCORES, targets), CASE["ap"], atol=1e-9)
    np.testing.assert_allclose(roc_auc_per_class(SCORES, targets), CASE["auc"], atol=1e-9)
    assert METRICS["mAP"](SCORES, targets) == pytest.approx(CASE["mAP"], abs=1e-9)


def test_accuracy_is_that_of_the_program():
    targets = np.array(CASE["one_hot"])
    assert METRICS["accuracy"](SCORES, targets) == pytest.approx(CASE["accuracy"], abs=1e-9)
    assert [CASE["classes"][i] for i in SCORES.argmax(1)] == CASE["predictions"]


def test_a_class_without_a_positive_is_left_out_where_the_program_counts_it_as_zero():
    case = CASE["class_without_positives"]
    targets = np.array(case["multi_label"])
    precisions = average_precision_per_class(SCORES, targets)
    np.testing.assert_allclose(np.nan_to_num(precisions), case["ap"], atol=1e-9)
    np.testing.assert_allclose(roc_auc_per_class(SCORES, targets), np.array(case["auc"], float), atol=1e-9)
    assert METRICS["mAP"](SCORES, targets) * 3 / 4 == pytest.approx(case["mAP"], abs=1e-9)
