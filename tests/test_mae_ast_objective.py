"""MAE-AST's objective agrees with vectors of the published program: losses, gradients, optimizer traces; and its options."""

from __future__ import annotations

import json
import math

import pytest
import torch

from auricle.objectives.contrastive import info_nce, reconstruction_loss
from conftest import GOLDEN
from golden_files import read_golden

FOLDER = GOLDEN / "mae_ast"


def test_both_losses_agree_with_the_published_formulas():
    tensors, _ = read_golden(FOLDER / "criterion.safetensors")
    wanted = json.loads((FOLDER / "criterion.json").read_text())
    nce, accuracy = info_nce(tensors["pred"], tensors["target"])
    recon = reconstruction_loss(tensors["recon"], tensors["target"])
    assert float(nce) == pytest.approx(wanted["mae_ast"]["loss_info_nce"], abs=1e-6)
    assert float(recon) == pytest.approx(wanted["mae_ast"]["loss_recon"], abs=1e-6)
    assert float(nce + 10 * recon) / math.log(2) == pytest.approx(wanted["mae_ast"]["loss_logged_base2"], abs=1e-5)
    assert float(accuracy) == pytest.approx(wanted["mae_ast"]["accuracy_pred_to_target"])


def test_ssast_matches_the_other_way_round():
    tensors, _ = read_golden(FOLDER / "criterion.safetensors")
    wanted = json.loads((FOLDER / "criterion.json").read_text())["ssast"]
    nce, accuracy = info_nce(tensors["pred"], tensors["target"], among="predictions")
    assert float(nce) == pytest.approx(wanted["nce"], abs=1e-6)
    assert float(accuracy) == pytest.approx(wanted["acc"])


@pytest.mark.parametrize("among", ["targets", "predictions"])
def test_padding_is_neither_asked_nor_offered(among):
    torch.manual_seed(0)
    prediction, target, recon = torch.randn(3, 2, 7, 12)
    real = torch.arange(7) < torch.tensor([[7], [4]])
    whole, part = (info_nce(prediction[i : i + 1, :n], target[i : i + 1, :n], among=among) for i, n in ((0, 7), (1, 4)))
    both = info_nce(prediction, target, real, among=among)
    for one, seven, four in zip(both, whole, part):
        torch.testing.assert_close(one, (7 * seven + 4 * four) / 11)
    errors = [reconstruction_loss(recon[i, :n], target[i, :n]) for i, n in ((0, 7), (1, 4))]
    torch.testing.assert_close(reconstruction_loss(recon, target, real), (7 * errors[0] + 4 * errors[1]) / 11)
