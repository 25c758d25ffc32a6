"""Scores of respiratory and heart sounds agree with the scoring programs."""

from __future__ import annotations

import json

import numpy as np
import pytest

from auricle.core.errors import AuricleError
from auricle.evaluation.targets import ClassTargets
from auricle.metrics.classification import average_precision_per_class, roc_auc_per_class
from auricle.metrics.medical import (
    MURMUR_CLASSES,
    murmur_score,
    patient_by_mean,
    patient_by_rule,
    respiratory_score,
    respiratory_score_of,
)
from auricle.metrics.table import METRICS
from helpers.paths import GOLDEN

FOLDER = GOLDEN / "finetune"


@pytest.mark.parametrize("case", json.loads((FOLDER / "respiratory_scores.json").read_text()))
def test_breathing_cycles_are_scored_as_by_the_program(case):
    got = respiratory_score(case["correct_per_class"], case["items_per_class"])
    wanted = case["sp"], case["se"], case["score"], case["harmonic_challenge_definition"], case["accuracy"]
    assert got == pytest.approx(wanted, abs=1e-12)


def test_class_indices_give_the_same_score_as_their_counts():
    true, predicted = np.array([0, 0, 1, 2, 1]), np.array([0, 1, 1, 1, 2])
    assert respiratory_score_of(predicted, true, 3) == respiratory_score([1, 1, 0], [2, 2, 1])


def test_a_test_part_without_normal_cycles_has_no_score():
    with pytest.raises(AuricleError, match="normal and abnormal"):
        respiratory_score([0, 1], [0, 1])


@pytest.mark.parametrize("case", json.loads((FOLDER / "circor_metrics.json").read_text())["confusions"])
def test_patients_are_scored_as_by_the_program(case):
    got = murmur_score(np.array(case["rows_are_predicted_columns_true_present_unknown_absent"]))
    for name in ("weighted_accuracy", "uar", "recalls", "accuracy", "f_measure", "f_per_class"):
        wanted = np.array(case[name], dtype=float)
        np.testing.assert_allclose(getattr(got, name), wanted, atol=1e-9)


def test_areas_of_patients_are_those_of_the_program():
    case = json.loads((FOLDER / "circor_metrics.json").read_text())["auc"]
    scores, truth = np.array(case["probabilities"]), np.array(case["truth_one_hot"])
    np.testing.assert_allclose(roc_auc_per_class(scores, truth), case["auroc"], atol=1e-9)
    np.testing.assert_allclose(average_precision_per_class(scores, truth), case["auprc"], atol=1e-9)


def test_patients_are_decided_by_both_rules_as_by_the_program():
    content = json.loads((FOLDER / "circor_patients.json").read_text())
    for name, decide in (("rule", patient_by_rule), ("normal", patient_by_mean)):
        decided = []
        for patient in content["patients"]:
            logits = [np.array(logits_of(recording)) for recording in patient["recordings"]]
            probabilities = [
                np.array(recording["probability_present_unknown_absent"]) for recording in patient["recordings"]
            ]
            decided.append(decide(probabilities if name == "rule" else logits))
        assert decided == [row.index(1) for row in content[name]["patient_labels_one_hot"]]
        counts = np.zeros((3, 3))
        for patient, label in zip(content["patients"], decided):
            truth = patient["murmur"] if patient["murmur"] in MURMUR_CLASSES else "Present"
            counts[label, MURMUR_CLASSES.index(truth)] += 1
        assert murmur_score(counts).weighted_accuracy == pytest.approx(content[name]["weighted_accuracy"], abs=1e-9)


def logits_of(recording):
    """Mean logits of the windows, in the order Present, Unknown, Absent."""
    absent, present, unknown = np.mean(recording["window_logits_absent_present_unknown"], axis=0)
    return [present, unknown, absent]


@pytest.mark.parametrize(
    ("name", "classes"),
    [("respiratory_score", ("both", "normal")), ("murmur_accuracy", ("Present", "Unknown", "Absent"))],
)
def test_classes_in_another_order_are_refused_instead_of_scored(name, classes):
    with pytest.raises(AuricleError, match="give the class list in that order"):
        METRICS[name].for_classes(classes)
    values = np.eye(len(classes), dtype=np.float32)
    with pytest.raises(AuricleError, match="is about classes that begin with"):
        ClassTargets(classes, values, metric=name)


def test_a_part_without_abnormal_cycles_has_a_score_that_is_no_number():
    parts = METRICS["respiratory_score"].with_parts(np.eye(2), np.array([[1.0, 0.0], [1.0, 0.0]]))
    assert np.isnan([parts["respiratory_score"], parts["sensitivity"], parts["score"]]).all()
    assert parts["accuracy"] == 0.5


def test_the_metric_of_murmurs_is_the_score_of_the_program():
    case = json.loads((FOLDER / "circor_metrics.json").read_text())["confusions"][0]
    table = np.array(case["rows_are_predicted_columns_true_present_unknown_absent"])
    pairs = [(i, j) for i in range(3) for j in range(3) for _ in range(table[i, j])]
    columns = [1, 2, 0]  # Present, Unknown, Absent among the sorted classes
    predicted, true = (np.eye(3)[[columns[pair[side]] for pair in pairs]] for side in (0, 1))
    parts = METRICS["murmur_accuracy"].with_parts(predicted, true)
    assert parts["murmur_accuracy"] == pytest.approx(case["weighted_accuracy"], abs=1e-9)
    assert [parts[f"recall_{name}"] for name in ("present", "unknown", "absent")] == pytest.approx(
        case["recalls"], abs=1e-9
    )
