"""Breathing cycles are cut, filtered, scaled, masked, learnt and scored as by the published program."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from auricle.audio.resample import resample
from auricle.data.datasets.base import faded_clip
from auricle.frontends.decibel_mel import RANGE, DecibelMel, scaled_by_batch
from auricle.frontends.framing import htk_bank
from auricle.frontends.spec_augment import masked
from auricle.methods.supervised.mixing import batch_loss, cross_entropy, double_softmax, inverse_weights
from auricle.methods.supervised.recipes import RECIPES
from auricle.metrics.medical import respiratory_score_of
from auricle.training.optimizers import make_optimizer
from auricle.training.schedules import cosine_annealing
from helpers.golden_files import close, read_golden, under
from helpers.paths import GOLDEN, SHARED

FOLDER = GOLDEN / "finetune"
DATA = SHARED / "golden" / "finetune" / "icbhi_data.safetensors"
LOSSES = json.loads((FOLDER / "losses.json").read_text())
FIRST_LR = 1e-6  # the rate at the lowest point of the schedule

with_data = pytest.mark.skipif(not DATA.is_file(), reason="the golden recordings stand beside the project only")


# ---- from a recording to the input of the network


@with_data
@pytest.mark.parametrize("cycle", range(4))
def test_a_cycle_is_faded_and_brought_to_one_length(cycle):
    tensors, meta = read_golden(DATA)
    settings = meta["cycle"]
    got = faded_clip(tensors[f"cycle.{cycle}.raw"].numpy(), settings["target"], settings["fade"])
    close(torch.from_numpy(got), tensors[f"cycle.{cycle}.out"], 1e-6)


@with_data
@pytest.mark.parametrize("rate", [4000, 8000, 10000, 44100])
def test_recordings_are_resampled_by_the_windowed_sinc(rate):
    tensors, _ = read_golden(DATA)
    got = resample(tensors[f"resample.{rate}.in"].numpy(), rate, 16000, DecibelMel().resampler)
    close(torch.from_numpy(got), tensors[f"resample.{rate}.out"], 2e-5)


@with_data
def test_the_mel_bank_is_the_published_one():
    tensors, _ = read_golden(DATA)
    close(htk_bank(16000, 400, 80, 50, torch.device("cpu")).T, tensors["mel.matrix"], 2e-5)


@with_data
def test_decibels_scaled_and_striped_are_the_published_input():
    tensors, meta = read_golden(DATA)
    part, facts = {name: value[:, 0] for name, value in under(tensors, "feat.").items()}, meta["feat"]
    values = DecibelMel()(part["wave"])
    torch.testing.assert_close(10 ** (values / 10), part["mel_power"], rtol=1e-3, atol=1e-9)
    low, high = RANGE
    scaled = scaled_by_batch(part["db"])
    close((scaled - low) / (high - low), part["scaled"], 1e-5)
    close((scaled_by_batch(values) - low) / (high - low), part["scaled"], 1e-5)
    mean, std = recipe_stats("icbhi")
    close((scaled - mean) / std, part["eval_out"], 1e-5)
    assert facts["gate_normal_draw"] < 1
    for stripe in facts["intervals_per_item"]:
        spans = np.array([stripe["start"], stripe["end"]], np.int64).T
        scaled = masked(scaled, spans, {"freq": 1, "time": 2}[stripe["axis"]], DecibelMel().silence)
    close((scaled - low) / (high - low), part["augmented"], 1e-5)
    close((scaled - mean) / std, part["train_out"], 1e-5)


def recipe_stats(name):
    return RECIPES[name].values["norm_stats"]


@pytest.mark.parametrize(("name", "published"), [("icbhi", (0.3671, 0.2391)), ("sprsound", (0.2, 0.2094))])
def test_a_recipe_normalises_with_the_published_statistics(name, published):
    low, high = RANGE
    mean, std = recipe_stats(name)
    assert ((mean - low) / (high - low), std / (high - low)) == pytest.approx(published, abs=1e-9)
    assert DecibelMel().silence == low


# ---- one epoch


def epoch_cases():
    _, meta = read_golden(FOLDER / "icbhi_epoch.safetensors")
    return list(enumerate(meta["cases"]))


def number(value):
    return math.nan if value == "nan" else value


def batches_of(part, case):
    return zip(part["x"].split(case["batch"]), part["y"].split(case["batch"]))


def loss_and_hits(model, x, y, part, case):
    """The loss of a batch as the program reports it (NaN where no slice is filled), ours, and the items that count."""
    weights, slices = part["class_weight"], case["slices"]
    targets = torch.eye(case["classes"])[y]
    logits = model(x)
    loss = batch_loss(cross_entropy(logits, targets, weights=weights), targets @ weights, slices)
    kept = len(x) // slices * slices
    return (float(loss.detach()) if kept else math.nan), loss, logits[:kept].argmax(1), y[:kept]


def scores_of(losses, found, true, case):
    score = respiratory_score_of(torch.cat(found).numpy(), torch.cat(true).numpy(), case["classes"])
    return {
        "loss": sum(losses) / len(losses), "se": score.sensitivity, "sp": score.specificity, "score": score.score,
        "acc": score.accuracy,
    }  # fmt: skip


@pytest.mark.parametrize(("index", "case"), epoch_cases())
def test_an_epoch_in_slices_is_the_published_one(index, case):
    tensors, _ = read_golden(FOLDER / "icbhi_epoch.safetensors")
    part = under(tensors, f"{index}.")
    model = torch.nn.Linear(part["x"].shape[1], case["classes"])
    model.load_state_dict({"weight": part["before.l.weight"], "bias": part["before.l.bias"]})
    optimizer = make_optimizer([{"params": list(model.parameters()), "weight_decay": 1e-4}], "adam-l2", case["lr"])
    for name, learns in (("validation", False), ("training_epoch", True)):
        losses, found, true = [], [], []
        for x, y in batches_of(part, case):
            reported, loss, predicted, kept = loss_and_hits(model, x, y, part, case)
            if learns:
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            losses.append(reported)
            found.append(predicted)
            true.append(kept)
        assert sum(map(len, true)) == case["items_used_per_epoch"]
        wanted = {key: number(value) for key, value in case[name].items()}
        assert scores_of(losses, found, true, case) == pytest.approx(wanted, abs=1e-5, nan_ok=True)
    close(model.weight, part["after.l.weight"], 1e-5)
    close(model.bias, part["after.l.bias"], 1e-5)
    assert cosine_annealing(1, case["lr"], FIRST_LR, 40) == pytest.approx(case["lr_after"], abs=1e-12)


def test_class_weights_are_inverse_counts_that_sum_to_one():
    case = LOSSES["icbhi_weights"]
    targets = torch.cat([torch.eye(4)[i].expand(int(count), 4) for i, count in enumerate(case["counts"])])
    assert inverse_weights(targets).tolist() == pytest.approx(case["weights"], rel=1e-5)


def test_a_weighted_batch_is_divided_by_the_weights_of_its_clips():
    tensors, _ = read_golden(FOLDER / "losses.safetensors")
    weights = torch.tensor(LOSSES["icbhi_weights"]["weights"])
    targets = torch.eye(4)[tensors["icbhi.target"].long()]
    losses = cross_entropy(tensors["icbhi.logits"], targets, weights=weights)
    assert float(batch_loss(losses, targets @ weights)) == pytest.approx(LOSSES["icbhi_weighted_ce"], abs=1e-6)


def test_the_loss_of_heart_murmurs_has_the_published_second_softmax():
    tensors, _ = read_golden(FOLDER / "losses.safetensors")
    weights = torch.tensor(LOSSES["class_weights"]["balanced"])
    loss = double_softmax(tensors["circor.logits"], tensors["circor.hard"], weights=weights).mean()
    assert loss.item() == pytest.approx(LOSSES["circor_published_double_softmax"], abs=1e-5)
