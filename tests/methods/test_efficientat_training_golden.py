"""Losses, mixing and waveform augmentation agree with EfficientAT's training programs of both generations."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from auricle.data.augment.mixing import Mix, mixstyle
from auricle.data.augment.waveform import convolved, mixed_waves, rolled, with_gain
from auricle.data.datasets.base import fit_length
from auricle.methods.supervised.mixing import bce, cross_entropy, teacher_bce
from helpers.golden_files import close, read_golden
from helpers.paths import SHARED

FOLDER = SHARED / "golden" / "efficientat_training"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the golden vectors stand beside the project only")


def cases(file, *prefixes):
    content = json.loads((FOLDER / file).read_text()) if FOLDER.is_dir() else {}
    return [name for name in content if name.startswith(prefixes) and isinstance(content[name], dict)]


def drawn(case, function):
    return [value for name, value in case["draws"] if name == function]


def mix_of(case):
    """The mixture that the program drew, or None."""
    if not drawn(case, "torch.randperm"):
        return None
    share = np.array(drawn(case, "np.beta")[0], np.float32)
    return Mix(torch.from_numpy(np.maximum(share, 1 - share)), torch.tensor(drawn(case, "torch.randperm")[0]))


LOSS_CASES = [
    name for name in cases("losses.json", "gen") if name.count(".") == 2 and ".kd." not in name and name[-1].isdigit()
]


@pytest.mark.parametrize("name", LOSS_CASES)
def test_the_loss_of_labels_is_that_of_the_program(name):
    tensors, _ = read_golden(FOLDER / "losses.safetensors")
    case, group = json.loads((FOLDER / "losses.json").read_text())[name], name.rpartition(".")[0]
    logits = tensors[f"{group}.logits"].clone().requires_grad_(True)
    key = next(
        key for key in ("target", "labels") if f"{group}.{key}" in tensors and matches(case, tensors, group, key)
    )
    value = label_loss(logits, target_of(tensors, group, key), group, mix_of(case))
    value.backward()
    assert value.item() == pytest.approx(case["log"]["train_loss"], rel=1e-6)
    wanted = tensors[f"{name}.grad_logits"].float()
    assert logits.grad is not None
    close(logits.grad, wanted, 1e-5 * float(wanted.abs().max()))


def target_of(tensors, group, key):
    """Labels as probabilities (B, C): stored so, or as integers."""
    target = tensors[f"{group}.{key}"]
    classes = tensors[f"{group}.logits"].shape[1]
    return torch.nn.functional.one_hot(target.long(), classes).float() if target.ndim == 1 else target.float()


def label_loss(logits, target, group, mix):
    mask = None
    if group.endswith("openmic"):
        target, mask = (target[:, :20] > 0.5).float(), target[:, 20:]
    target = target if mix is None else mix(target)
    multiclass = group.endswith(("esc50", "dcase20"))
    return (cross_entropy(logits, target) if multiclass else bce(logits, target, mask=mask)).mean()


def matches(case, tensors, group, key):
    """Return True if the case was computed with these targets."""
    value = label_loss(tensors[f"{group}.logits"], target_of(tensors, group, key), group, mix_of(case))
    return abs(value.item() - case["log"]["train_loss"]) < 1e-4


@pytest.mark.parametrize("number", range(6))
def test_the_loss_of_distillation_is_that_of_the_program(number):
    content = json.loads((FOLDER / "losses.json").read_text())
    tensors, _ = read_golden(FOLDER / "losses.safetensors")
    case = content[f"gen24.kd.{number}"]
    weight, temperature, mix = case["arguments"]["kd_lambda"], case["arguments"]["temperature"], mix_of(case)
    logits, target = tensors["gen24.kd.logits"].clone().requires_grad_(True), tensors["gen24.kd.target"]
    rows = [content["gen24.kd.fname_to_index"].get(id) for id in content["gen24.kd.names"]]
    known = torch.tensor([float(row is not None) for row in rows])
    teacher = torch.stack([tensors["gen24.kd.teacher_logits_f16"][row or 0].float() for row in rows])
    label = bce(logits, target if mix is None else mix(target)).mean()
    own = teacher_bce(logits, teacher, temperature)
    if mix is not None:
        other = teacher_bce(logits, teacher[mix.partner], temperature)
        own = mix.share * own + (1 - mix.share) * other * known[mix.partner]
    distilled = (own * known).mean()
    loss = (
        label if weight == 0 else weight * label + (1 - weight) * distilled
    )  # 0 switches distillation off, as published
    loss.backward()
    assert loss.item() == pytest.approx(case["log"]["train_loss"], rel=1e-6)
    if weight:
        assert (1 - weight) * distilled.item() == pytest.approx(case["log"]["distillation_loss"], rel=1e-5, abs=1e-9)
    wanted = tensors[f"gen24.kd.{number}.grad_logits"]
    assert logits.grad is not None
    close(logits.grad, wanted, 1e-5 * float(wanted.abs().max()))


@pytest.fixture(scope="module")
def augment():
    tensors, _ = read_golden(FOLDER / "augment.safetensors")
    return json.loads((FOLDER / "augment.json").read_text()), tensors


@pytest.mark.parametrize("name", cases("augment.json", "mixup."))
def test_mixup_of_spectrograms_is_that_of_the_program(name, augment):
    content, tensors = augment
    mix = mix_of(content[name])
    close(mix.share, tensors[f"{name}.lam"], 1e-7)
    close(mix(tensors[f"{name}.x"]), tensors[f"{name}.out"], 1e-6)
    close(mix(tensors[f"{name}.y"]), tensors[f"{name}.y_out"], 1e-6)


@pytest.mark.parametrize("name", cases("augment.json", "mixstyle."))
def test_mixstyle_and_its_gradient_are_those_of_the_program(name, augment):
    content, tensors = augment
    case = content[name]
    x = tensors[f"{name}.x"][:, 0].clone().requires_grad_(True)
    out = x
    if case["applied"]:
        share = torch.tensor(drawn(case, "Beta.sample")[0]).flatten()
        out = mixstyle(x, share, torch.tensor(drawn(case, "torch.randperm")[0]))
    (out * tensors[f"{name}.w"][:, 0]).sum().backward()
    close(out, tensors[f"{name}.out"][:, 0], 1e-5)
    assert x.grad is not None
    close(x.grad, tensors[f"{name}.grad_x"][:, 0], 1e-5)


ORDERS = {"dcase20": "roll gain", "gain_only": "gain"}
GAIN, LENGTH = 12, 600


class Draws:
    """The recorded draws of one item, taken in order."""

    def __init__(self, case):
        self.rest = list(case["draws"])

    def next(self):
        return self.rest.pop(0)[1]


def one_clip(base, order, draws):
    """A clip after gain and roll, in the order of the program's draws."""
    wave = fit_length(base, LENGTH)
    for step in order.split():
        wave = with_gain(wave, draws.next()[0] - GAIN) if step == "gain" else rolled(wave, draws.next())
    return wave


@pytest.mark.parametrize(
    "name", [name for name in cases("augment.json", "gen24.", "gen23.") if "gain_only" not in name]
)
def test_a_waveform_is_augmented_as_by_the_program(name, augment):
    content, tensors = augment
    case, group = content[name], name.split(".")[1]
    order, draws = ORDERS.get(group, "gain roll"), Draws(case)
    coin = None if group in ("dcase20", "openmic") else draws.next()[0]
    wave = one_clip(tensors[f"base.wave.{case['index']}"].numpy(), order, draws)
    coin = draws.next()[0] if coin is None else coin
    if coin < 0.5:
        partner = draws.next()[0]
        other = one_clip(tensors[f"base.wave.{partner}"].numpy(), order, draws)
        share = draws.next()
        wave = mixed_waves(wave, other, max(share, 1 - share))
    assert not draws.rest
    close(torch.from_numpy(wave), tensors[f"{name}.wave"][0], 1e-6)


@pytest.mark.parametrize("number", range(6))
def test_device_impulse_responses_are_convolved_causally(number, augment):
    content, tensors = augment
    case = content[f"dir.{number}"]
    wave = tensors[f"base.wave.{case['base']}"].numpy()
    which = drawn(case, "np.randint")
    if which:
        wave = convolved(wave, tensors[f"dir.ir.{int(which[0])}"][0].numpy())
    close(torch.from_numpy(wave), tensors[f"dir.{number}.out"][0], 1e-5)
