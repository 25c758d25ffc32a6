"""Augmentations, losses and the head of fine-tuning agree with the original programs."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from auricle.data.augment.mixing import Mix
from auricle.data.augment.resize_crop import Box, canvas_width, resize_crop
from auricle.frontends.spec_augment import mask_spans, masked
from auricle.methods.supervised.mixing import balanced_weights, bce, cross_entropy, nll, smoothed
from auricle.models.heads.base import HeadInputs
from auricle.models.heads.vector import NormLinearHead
from auricle.models.masking.patches import structured_counts
from helpers.golden_files import close, read_golden, under
from helpers.paths import GOLDEN

FOLDER = GOLDEN / "finetune"
VALUES = json.loads((FOLDER / "losses.json").read_text())


@pytest.mark.parametrize("case", ["wave", "logmel", "pair"])
def test_mixup_mixes_inputs_and_targets_with_one_share(case):
    tensors, _ = read_golden(FOLDER / "mixup.safetensors")
    part = under(tensors, f"{case}.")
    mix = Mix(part["lambda"], part["partner"].long())
    close(mix(part["x"]), part["x_mixed"], 1e-6)
    close(mix(part["y"]), part["y_mixed"], 1e-6)


def augment_cases(prefix):
    _, meta = read_golden(FOLDER / "augment.safetensors")
    return sorted((name, case) for name, case in meta.items() if name.startswith(prefix))


def as_batch(x):
    """(B, F, T) of (B, 1, F, T)."""
    return x[:, 0] if x.ndim == 4 else x


def with_masks(x, case):
    for axis, name in ((1, "freq_interval"), (2, "time_interval")):
        if case[name] is not None:
            spans = np.repeat(np.array([case[name]], np.int64), len(x), 0)
            x = masked(x, spans, axis, 0.0)
    return x


def cropped(x, case):
    boxes = [Box(*values) for values in case["crops_i_j_h_w"]]
    if boxes and len(boxes) < len(
        x
    ):  # input of three axes: the original takes the batch for one image of several channels
        boxes = boxes * len(x)
    return resize_crop(x, boxes) if boxes else x


@pytest.mark.parametrize(("name", "case"), augment_cases("mask."))
def test_masks_cover_the_published_intervals(name, case):
    tensors, _ = read_golden(FOLDER / "augment.safetensors")
    close(with_masks(as_batch(tensors[f"{name}.x"]), case), as_batch(tensors[f"{name}.out"]), 0.0)


@pytest.mark.parametrize(("name", "case"), augment_cases("mask."))
def test_mask_intervals_follow_from_two_uniform_numbers(name, case):
    generator = torch.Generator().manual_seed(case["torch_seed"])
    tensors, _ = read_golden(FOLDER / "augment.safetensors")
    sizes = as_batch(tensors[f"{name}.x"]).shape[1:]
    for size, longest, interval in zip(
        sizes, (case["freq_mask"], case["time_mask"]), ("freq_interval", "time_interval")
    ):
        if case[interval] is None:
            continue
        uniform = np.array([[torch.rand(1, generator=generator).item() for _ in range(2)]], np.float32)
        start, end = mask_spans(uniform, longest, size)[0]
        assert [start, end] == case[interval]


@pytest.mark.parametrize(("name", "case"), augment_cases("rrc."))
def test_resize_crop_cuts_the_published_boxes(name, case):
    tensors, _ = read_golden(FOLDER / "augment.safetensors")
    x = as_batch(tensors[f"{name}.x"])
    assert case["canvas"] == [x.shape[1], canvas_width(x.shape[2])]
    close(cropped(x, case), as_batch(tensors[f"{name}.out"]), 1e-5)


@pytest.mark.parametrize(("name", "case"), augment_cases("both."))
def test_masks_come_before_the_resize_crop(name, case):
    tensors, _ = read_golden(FOLDER / "augment.safetensors")
    x = with_masks(as_batch(tensors[f"{name}.x"]), case)
    close(cropped(x, case), as_batch(tensors[f"{name}.out"]), 1e-5)


LOSSES = {
    "nll_hard": (nll, "hard"),
    "nll_soft": (nll, "soft"),
    "bce_multi": (bce, "multi"),
    "bce_mixed": (bce, "multi_mixed"),
}
LOSSES |= {"soft_target_ce": (cross_entropy, "soft")}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_and_its_gradient_are_the_published_ones(name):
    tensors, _ = read_golden(FOLDER / "losses.safetensors")
    loss, targets = LOSSES[name]
    logits = tensors["logits"].clone().requires_grad_(True)
    result = loss(logits, tensors[targets]).mean()
    result.backward()
    assert result.item() == pytest.approx(VALUES[name], abs=1e-6)
    assert logits.grad is not None
    close(logits.grad, tensors[f"grad.{name}"], 1e-6)


def test_label_smoothing_spreads_the_target_over_all_classes():
    tensors, _ = read_golden(FOLDER / "losses.safetensors")
    targets = smoothed(tensors["hard"], 0.1, multiclass=True)
    loss = cross_entropy(tensors["logits"], targets).mean()
    assert loss.item() == pytest.approx(VALUES["label_smoothing_0.1"], abs=1e-6)


def test_balanced_class_weights_are_n_over_c_times_the_count():
    values = VALUES["class_weights"]
    counts = values["counts_absent_present_unknown"]
    targets = torch.cat([torch.eye(3)[i].expand(n, 3) for i, n in enumerate(counts)])
    assert balanced_weights(targets).tolist() == pytest.approx(values["balanced"], rel=1e-6)


def test_weighted_cross_entropy_of_probabilities_is_divided_by_the_batch():
    tensors, _ = read_golden(FOLDER / "losses.safetensors")
    values = VALUES
    weights = torch.tensor(values["class_weights"]["balanced"])
    loss = cross_entropy(tensors["circor.logits"], tensors["circor.hard"], weights=weights).mean()
    assert loss.item() == pytest.approx(values["circor_plain"], abs=1e-5)


@pytest.mark.parametrize("case", json.loads((FOLDER / "training_mask.json").read_text()), ids=lambda case: case["what"])
def test_a_training_mask_has_the_published_outcomes(case):
    grid = tuple(case["grid"])
    draws = 20_000
    seen = {}
    for u in (np.arange(draws) + 0.5) / draws:
        counts = structured_counts(grid, case["ratio"], float(u))
        seen[counts] = seen.get(counts, 0) + 1 / draws
    for outcome in case["outcomes"]:
        assert seen.pop((outcome["NF"], outcome["NT"])) == pytest.approx(outcome["probability"], abs=1e-3)
    assert not seen


@pytest.mark.parametrize("case", ["linear", "hidden"])
def test_the_norm_linear_head_trains_as_evars(case):
    tensors, meta = read_golden(FOLDER / "head.safetensors")
    part = under(tensors, f"{case}.")
    settings = meta[case]
    head = NormLinearHead(settings["D"], settings["C"], hidden=settings["hidden"], dropout=0.0)
    load(head, under(part, "before."))
    optimizer = torch.optim.SGD(head.parameters(), lr=0.5, momentum=0.9)
    for step in range(2):
        dropout = part.get(f"{step}.dropout.0")
        handle = head.mlp[1].register_forward_hook(lambda m, i, o, d=dropout: o * d) if dropout is not None else None
        logits = head(HeadInputs(part[f"{step}.x"], part[f"{step}.x"][:, None], torch.ones(len(part[f"{step}.x"]))))
        loss = nll(logits, part[f"{step}.y"]).mean()
        close(logits, part[f"{step}.logits"], 1e-5)
        close(loss, part[f"{step}.loss"], 1e-5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if handle is not None:
            handle.remove()
        for name, value in head.state_dict().items():
            close(value, under(part, f"after{step}.")[published_name(name)], 1e-5)


def published_name(name):
    return name if name.startswith("norm.") else f"mlp.{name}"


def load(head, state):
    head.load_state_dict({name: state[published_name(name)] for name in head.state_dict()})
