"""Patients are scored from windows of their recordings as by the published program."""

from __future__ import annotations

import json

import numpy as np
import pytest

from auricle.core.errors import AuricleError
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.methods.supervised.clips import WINDOW_MARK, num_windows
from auricle.methods.supervised.config import LabelConfig
from auricle.methods.supervised.groups import Groups, groups_of
from auricle.methods.supervised.objective import by_clip
from auricle.metrics.table import metric
from auricle.models.label_space import LabelSpace
from helpers.paths import GOLDEN

CIRCOR = json.loads((GOLDEN / "finetune" / "circor_patients.json").read_text())
CLASSES = ("Absent", "Present", "Unknown")
SPACE = LabelSpace("multiclass", CLASSES)
PRIORITY = ("Present", "Unknown", "Absent")


def recordings():
    """The recordings of all patients as clips, and the windows of each as ``validate`` returns them."""
    clips, outputs = [], []
    for patient in CIRCOR["patients"]:
        label = patient["murmur"] if patient["murmur"] in CLASSES else "Present"
        for recording in patient["recordings"]:
            id = f"{patient['id']}_{recording['location']}_{len(clips)}"
            clips.append(Clip(id, labels=(label,), group=patient["id"]))
            logits = np.array(recording["window_logits_absent_present_unknown"], np.float32)
            truth = np.tile([name == label for name in CLASSES], (len(logits), 1)).astype(np.float32)
            ids = tuple(f"{id}{WINDOW_MARK}{k}" for k in range(len(logits)))
            outputs.append((ids, logits, truth, np.ones_like(truth)))
    return Manifest(clips), outputs


def scores(priority):
    manifest, outputs = recordings()
    config = LabelConfig(scored_by="both", priority=priority, group_metric="murmur_accuracy")
    groups = groups_of([manifest], SPACE, config, "accuracy")
    ids, logits, labels, _ = by_clip(outputs)
    return groups.scores(ids, logits, labels)


@pytest.mark.parametrize(("rule", "priority"), [("rule", PRIORITY), ("normal", ())])
def test_patients_are_decided_and_scored_as_published(rule, priority):
    got, wanted = scores(priority), CIRCOR[rule]
    assert got["groups"] == len(CIRCOR["patients"])
    assert got["group_murmur_accuracy"] == pytest.approx(wanted["weighted_accuracy"], abs=1e-9)
    assert got["group_uar"] == pytest.approx(wanted["uar"], abs=1e-9)


def test_recordings_have_the_published_number_of_full_windows():
    for patient in CIRCOR["patients"]:
        for recording in patient["recordings"]:
            seconds = recording["samples_at_16k"] / 16000
            assert num_windows(seconds, 5.0, full=True) == recording["windows"]


def test_a_clip_without_a_group_is_scored_alone():
    groups = Groups({"a": "one", "b": "one"}, (), metric("accuracy"), choose=False)
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    decided, truth = groups.decide(["a", "b", "c"], logits, np.array([[1, 0], [1, 0], [0, 1]]))
    assert decided.argmax(1).tolist() == [0, 1]
    assert truth.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("changes", "clips", "message"),
    [
        ({"priority": ("Loud",)}, [Clip("a", labels=("Present",), group="1")], "no class 'Loud'"),
        ({}, [Clip("a", labels=("Present",))], "no scored clip has a group"),
        (
            {},
            [Clip("a", labels=("Present",), group="1"), Clip("b", labels=("Absent",), group="1")],
            "the group '1' has clips of Present and of Absent",
        ),
    ],
)
def test_groups_that_cannot_be_scored_are_refused_in_words(changes, clips, message):
    with pytest.raises(AuricleError, match=message):
        groups_of([Manifest(clips)], SPACE, LabelConfig(scored_by="group", **changes), "accuracy")
