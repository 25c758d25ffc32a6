"""The medical recipes run on small folders in the official layouts, and patients are scored."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import auricle
from auricle.commands.finetune.finetune import finetune_run
from auricle.core.errors import AuricleError
from auricle.core.options import with_values
from auricle.core.randomness import BatchKey
from auricle.data.manifest.formats import write_manifest
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.frontends.decibel_mel import DecibelMel
from auricle.methods.registry import preset_values
from auricle.methods.supervised.config import AugmentConfig, FinetuneConfig
from auricle.methods.supervised.mixing import noise_and_roll, scale_and_stripe
from auricle.training.log import read_log
from helpers.finetune_runs import weight_file
from helpers.sounds import tone, write_sound

RATE = 8000
SMALL = {"epochs": 2, "batch_size": 4, "seconds": 1.0, "workers": 0, "device": "cpu", "log_interval": 1, "lr": 1e-3}


def table(folder, classes, *, patients=8, seconds=0.7):
    """A recording of each patient, a tone of the class's own pitch; the last quarter of the patients is tested."""
    clips = []
    for patient in range(patients):
        label = classes[patient % len(classes)]
        name = f"{patient}.wav"
        write_sound(folder / name, tone(2 * seconds, RATE, 200.0 + 150 * (patient % len(classes)), seed=patient), RATE)
        part = "test" if patient >= patients * 3 // 4 else "train"
        for k in range(2):
            start = k * seconds
            clips.append(
                Clip(
                    f"{patient}-{k}",
                    name,
                    start=start,
                    end=start + seconds,
                    labels=(label,),
                    split=part,
                    group=f"p{patient}",
                )
            )
    write_manifest(Manifest(tuple(clips), folder, tuple(classes)), folder / "manifest.csv")
    return folder / "manifest.csv"


def run(source, out, recipe, model, **changes):
    made = FinetuneConfig("supervised", str(source), str(out), model=str(model))
    return finetune_run(with_values(made, {**preset_values("supervised", recipe), **SMALL, **changes}), quiet=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return weight_file(tmp_path_factory.mktemp("models"), "m2d")


@pytest.fixture(scope="module")
def breathing(tmp_path_factory):
    return table(tmp_path_factory.mktemp("breathing"), ("normal", "crackle"))


@pytest.mark.parametrize("recipe", ["icbhi", "icbhi-published", "sprsound"])
def test_breathing_cycles_are_learnt_on_decibels_and_scored(recipe, breathing, model, tmp_path):
    result = run(breathing, tmp_path / "run", recipe, model)
    assert {"respiratory_score", "sensitivity", "specificity", "harmonic", "accuracy"} <= result.test.keys()
    encoder = auricle.load(result.run)
    assert encoder.info.front_end == "decibel-mel/16k"
    assert encoder.statistics() == pytest.approx(preset_values("supervised", recipe)["norm_stats"], abs=1e-3)
    assert encoder.info.label_space.ids == ("normal", "crackle")
    tagged = auricle.tag(breathing.parent / "0.wav", model=encoder).results[0]
    assert {tag.label for tag in tagged.tags} == {"normal", "crackle"}


def test_the_published_recipe_chooses_the_best_epoch_on_the_test_part(breathing, model, tmp_path):
    result = run(breathing, tmp_path / "run", "icbhi-published", model)
    rows = read_log(result.run / "metrics.jsonl", "validation")
    best = max(row["val_respiratory_score"] for row in rows if "val_respiratory_score" in row)
    assert result.validation["respiratory_score"] == best


def test_patients_are_scored_beside_their_recordings(model, tmp_path):
    source = table(tmp_path / "hearts", ("Absent", "Present", "Unknown"), patients=12)
    result = run(source, tmp_path / "run", "m2d-circor", model)
    assert result.test["groups"] == 3
    assert result.test["classes_scored"] == 3
    assert 0 <= result.test["group_murmur_accuracy"] <= 1
    assert {"accuracy", "group_uar", "group_recall_present"} <= result.test.keys()


def test_groups_choose_the_best_epoch_where_that_is_asked_for(breathing, model, tmp_path):
    changes = {"scored_by": "group", "priority": ("crackle", "normal"), "metric": "accuracy"}
    result = run(breathing, tmp_path / "run", "icbhi-published", model, **changes)
    assert "group_accuracy" in result.validation
    best = json.loads((result.run / "checkpoints" / "best.json").read_text())
    assert best["score"] == pytest.approx(result.validation["group_accuracy"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": "murmur_accuracy"}, "begin with absent, present, unknown; these are normal, crackle"),
        ({"front_end": None, "norm_stats": (-7.0, 4.0), "batch_range": True}, "--batch-range is about decibels"),
        ({"front_end": "m2d-logmel/32k"}, "this network takes 16000 Hz"),
        ({"scored_by": "group", "priority": ("loud",)}, "no class 'loud'"),
        ({"slices": 8}, "a batch of 4 clips does not fill --slices 8"),
    ],
)
def test_settings_that_do_not_fit_are_refused_in_words(changes, message, breathing, model, tmp_path):
    with pytest.raises(AuricleError, match=message):
        run(breathing, tmp_path / "run", "icbhi", model, **changes)
    assert not (tmp_path / "run").exists()


def test_another_front_end_needs_its_statistics():
    with pytest.raises(AuricleError, match="needs --norm-stats"):
        with_values(FinetuneConfig("supervised", "data"), {"front_end": "decibel-mel/16k"})


def test_a_priority_without_groups_is_refused_instead_of_ignored():
    with pytest.raises(AuricleError, match="set --scored-by both or group"):
        with_values(FinetuneConfig("supervised", "data"), {"priority": ("crackle",)})


def test_a_network_with_one_front_end_refuses_another(breathing, tmp_path):
    with pytest.raises(AuricleError, match="leave --front-end out"):
        run(breathing, tmp_path / "run", "icbhi", weight_file(tmp_path, "mn"))


# ---- what the augmentations of these recipes do

KEY = BatchKey(0, 0, (0, 1, 2))


def spectrograms():
    return torch.from_numpy(np.random.default_rng(0).uniform(-90, 0, (3, 80, 60)).astype(np.float32))


def test_stripes_are_silence_and_differ_between_clips():
    values, config = spectrograms(), AugmentConfig(freq_stripes=20, time_stripes=40)
    striped = scale_and_stripe(values, DecibelMel(), config, KEY)
    hidden = striped != values
    assert (striped[hidden] == DecibelMel().silence).all()
    assert not torch.equal(hidden[0], hidden[1])
    assert torch.equal(scale_and_stripe(values, DecibelMel(), config, None), values)


def test_a_batch_fills_the_range_of_the_front_end():
    values = scale_and_stripe(spectrograms(), DecibelMel(), AugmentConfig(batch_range=True), None)
    assert (float(values.min()), float(values.max())) == pytest.approx((-100.0, 40.0), abs=1e-4)


def test_published_stripes_leave_some_batches_out():
    values, config = spectrograms(), AugmentConfig(freq_stripes=20, published_stripes=True)
    changed = [
        not torch.equal(scale_and_stripe(values, DecibelMel(), config, BatchKey(seed, 0, (0, 1, 2))), values)
        for seed in range(60)
    ]
    assert 0.7 < np.mean(changed) < 0.97  # 84 % of normal draws are below 1


def test_noise_is_positive_and_the_shift_is_circular():
    values = spectrograms()
    noisy = noise_and_roll(values, AugmentConfig(spectrogram_noise=0.1), KEY) - values
    assert 0 <= float(noisy.min()) < float(noisy.max()) <= 0.1001
    rolled = noise_and_roll(values, AugmentConfig(time_roll=10), KEY)
    torch.testing.assert_close(rolled.sort(dim=2).values, values.sort(dim=2).values)
