"""Runs that learn labels say in words what goes wrong: overfitting, a class never predicted, labels that contradict."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from auricle.commands.finetune.finetune import finetune_run
from auricle.data.manifest.formats import read_manifest
from auricle.methods.supervised.labelled_clips.doubts import doubts
from auricle.methods.supervised.objective import never_predicted, never_predicted_text
from auricle.training.health import Health, overfit_warnings
from auricle.training.log import read_log
from helpers.finetune_runs import RATE, config, labelled_sounds, weight_file
from helpers.sounds import write_sound


def words_of(run) -> list[str]:
    return [message for row in read_log(run / "metrics.jsonl", "health") for message in row["warnings"]]


def test_a_validation_loss_that_rises_while_training_gets_better_is_overfitting():
    falling = [(float(i), 1.0 / (i + 1), 0.9 / (i + 1)) for i in range(8)]
    assert overfit_warnings(falling) == []
    rising = [*falling, *((8.0 + i, 0.1 / (i + 1), 0.2 + 0.1 * i) for i in range(3))]
    [(kind, text)] = overfit_warnings(rising)
    assert kind == "overfit"
    assert "from 0.113 (epoch 7) to 0.4" in text
    assert "--early-stop-epochs" in text
    both = [*falling, *((8.0 + i, 2.0, 0.2 + 0.1 * i) for i in range(3))]  # training is lost too: no overfitting
    assert overfit_warnings(both) == []


def test_health_continues_with_the_validations_that_it_saw():
    one, other = Health(), Health()
    for epoch in range(7):
        for health in (one, other):
            health.add_loss(1.0 - 0.1 * epoch)
            health.check_validation(float(epoch), 0.5 + 0.2 * abs(epoch - 3), [])
        fresh = Health()
        fresh.restore(other.state())
        other = fresh
    assert one.validations == other.validations
    assert one.warned == other.warned
    assert "overfit" in one.warned


def test_a_run_that_learns_its_few_clips_by_heart_is_told(tmp_path):
    """Labels at random: what is learnt of them does not hold for other clips."""
    draw = np.random.default_rng(0)
    for i in range(16):
        wave = draw.normal(0, 0.1, RATE // 2).astype(np.float32)
        write_sound(tmp_path / "sounds" / ("a" if draw.random() < 0.5 else "b") / f"{i}.wav", wave, RATE)
    settings = config(
        tmp_path / "sounds", tmp_path / "run", weight_file(tmp_path, "m2d"), epochs=40, lr=3e-3, batch_size=6
    )
    finetune_run(settings, quiet=True)
    assert any("the run overfits" in text for text in words_of(tmp_path / "run"))


def test_a_class_that_is_never_predicted_is_named():
    logits = np.array([[2.0, 1.0, 0.0], [1.0, 0.5, 0.0]])
    labels = np.array([[1, 0, 0], [0, 1, 0]])
    assert never_predicted(logits, labels, ("a", "b", "c"), multiclass=True) == ("b",)
    assert never_predicted(logits - 0.7, labels, ("a", "b", "c"), multiclass=False) == ()
    assert never_predicted(logits - 1.5, labels, ("a", "b", "c"), multiclass=False) == ("b",)
    assert "2 classes of the validation part are never predicted: a, b" in never_predicted_text(("a", "b"))


def test_a_run_names_the_class_that_it_never_predicts(tmp_path):
    for i in range(24):  # six classes of the same noise, of which a network that learns nothing finds one or two
        wave = np.random.default_rng(i).normal(0, 0.1, RATE // 2).astype(np.float32)
        write_sound(tmp_path / "sounds" / "abcdef"[i % 6] / f"{i}.wav", wave, RATE)
    settings = config(tmp_path / "sounds", tmp_path / "run", weight_file(tmp_path), lr=0.0, epochs=2)
    finetune_run(settings, quiet=True)
    assert any("never predicted: " in text for text in words_of(tmp_path / "run"))


@pytest.fixture
def doubled(tmp_path):
    sounds = labelled_sounds(tmp_path / "sounds", clips=4)
    shutil.copyfile(sounds / "tone" / "0.wav", sounds / "noise" / "copy of a tone.wav")
    shutil.copyfile(sounds / "tone" / "1.wav", sounds / "tone" / "copy with its label.wav")
    return sounds


def test_the_same_recording_with_two_labels_is_named(doubled):
    [text] = doubts({"": read_manifest(doubled)})
    assert "noise/copy of a tone.wav (noise) and tone/0.wav (tone)" in text
    assert "its label" not in text


def test_recordings_of_one_length_are_compared_by_their_content(tmp_path):
    assert doubts({"": read_manifest(labelled_sounds(tmp_path / "sounds", clips=6))}) == []


def test_a_run_points_at_labels_that_contradict(doubled, tmp_path):
    settings = config(doubled, tmp_path / "run", weight_file(tmp_path), epochs=1, valid_ratio=0.0)
    finetune_run(settings, quiet=True)
    assert any("the same audio has different labels" in text for text in words_of(tmp_path / "run"))
