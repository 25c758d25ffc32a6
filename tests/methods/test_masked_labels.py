"""Classes that were not annotated count neither in the loss nor in the score (the column ``known``; OpenMIC)."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from auricle.commands.finetune.finetune import finetune_run
from auricle.methods.supervised.clips import clip_of
from auricle.methods.supervised.config import AugmentConfig, LearningConfig
from auricle.methods.supervised.objective import Supervised
from auricle.metrics.classification import mean_average_precision
from auricle.models.efficientat.config import MNConfig
from auricle.models.efficientat.mn import MN
from helpers.finetune_runs import config, labelled_sounds, weight_file


@pytest.fixture(scope="module")
def objective():
    return Supervised(MN(MNConfig(width=0.1, num_classes=2)), LearningConfig(), AugmentConfig(), lr=0.1)


def test_what_was_not_annotated_is_left_out_of_loss_and_score(objective):
    logits = np.array([[2.0, -1.0], [1.0, 3.0], [-1.0, 0.5], [0.5, 2.0]], np.float32)
    labels = np.array([[1, 0], [0, 1], [1, 0], [0, 0]], np.float32)
    mask = np.array([[1, 1], [1, 0], [0, 1], [1, 1]], np.float32)
    ids = ("a", "b", "c", "d")
    one = objective.summarise([(ids, logits, labels, mask)])
    other = objective.summarise([(ids, np.where(mask > 0, logits, 9.0).astype(np.float32), labels, mask)])
    assert one == other
    truth = np.where(mask > 0, labels, np.nan)
    assert one["mAP"] == mean_average_precision(logits, truth)
    assert one["mAP"] == pytest.approx(1.0)  # class 1: a is above b and d; class 2 has no annotated positive
    assert one["classes_scored"] == 1.0


def test_a_table_with_known_classes_is_learnt(tmp_path):
    sounds = labelled_sounds(tmp_path / "sounds", clips=6)
    with (sounds / "table.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "known"])
        for kind, other in (("tone", "noise"), ("noise", "tone")):
            for i in range(6):
                table.writerow([f"{kind}/{i}.wav", kind, kind if i % 2 else f"{kind},{other}"])
    settings = config(
        sounds / "table.csv",
        tmp_path / "run",
        weight_file(tmp_path),
        epochs=1,
        class_weights="balanced",
        kind="multilabel",
        background=("none",),
    )
    result = finetune_run(settings, quiet=True)
    assert np.isfinite(result.validation["loss"])
    assert result.validation["classes_scored"] == 2


def test_windows_belong_to_the_clip_before_their_number():
    assert clip_of("take #1.wav#window=12") == "take #1.wav"
    assert clip_of("take #1.wav") == "take #1.wav"
    assert clip_of("#window=.wav") == "#window=.wav"
