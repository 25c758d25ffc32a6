"""Losses, mixing, sampling weights and metrics agree with the numbers of EfficientAT's programs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from auricle.data.augment.mixing import Mix, mixstyle
from auricle.data.augment.waveform import mixed_waves, rolled, with_gain
from auricle.methods.supervised.data import balanced_clip_weights
from auricle.methods.supervised.mixing import bce, cross_entropy, teacher_bce
from auricle.metrics.classification import average_precision_per_class, roc_auc_per_class
from helpers.golden_files import close, read_golden
from helpers.paths import GOLDEN

TENSORS, _ = read_golden(GOLDEN / "efficientat" / "training_math.safetensors")
MIX = Mix(TENSORS["lam"], TENSORS["perm"])


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("mixup", [0, 1])
@pytest.mark.parametrize("weight", [0.0, 0.1, 1.0])
def test_label_loss_and_distillation_loss_are_weighted_as_published(temperature, mixup, weight):
    logits, target, index = TENSORS["y_hat"], TENSORS["y"], TENSORS["teacher_index"]
    teacher = TENSORS["teacher_logits"][index]  # -1, no teacher: the last row, which a partner reads as published
    label = bce(logits, MIX(target) if mixup else target).mean()
    soft = teacher_bce(logits, teacher, temperature)
    if mixup:
        soft = MIX.share * soft + (1 - MIX.share) * teacher_bce(logits, teacher[MIX.partner], temperature)
    soft = (soft * (index >= 0)).mean()
    wanted = TENSORS[f"kd.T{temperature}.mixup{mixup}.lambda{weight}"]
    if weight:
        close(torch.stack([weight * label, (1 - weight) * soft, weight * label + (1 - weight) * soft]), wanted, 1e-6)
    else:  # 0 switches distillation off in the program
        close(label, wanted[2], 1e-6)


def test_spectrograms_are_mixed():
    close(MIX(TENSORS["spec"]), TENSORS["spec_mixed"], 1e-6)


def test_cross_entropy_of_mixed_labels_is_the_mixture_of_two_losses():
    logits, target = TENSORS["ce_logits"], TENSORS["ce_soft_target"]
    close(cross_entropy(logits, target).mean(), TENSORS["ce_loss"], 1e-6)
    close(cross_entropy(logits, MIX(target)).mean(), TENSORS["ce_mixup_loss"], 1e-6)


def test_the_masked_loss_of_openmic_keeps_all_classes_in_its_denominator():
    raw = TENSORS["openmic_target_raw"]
    target, mask = (raw[:, :20] > 0.5).float(), raw[:, 20:]
    close(bce(TENSORS["openmic_logits"], target, mask=mask).mean(), TENSORS["openmic_loss"], 1e-6)
    close(bce(TENSORS["openmic_logits"], MIX(target), mask=mask).mean(), TENSORS["openmic_loss_mixup"], 1e-6)


def test_mixstyle_mixes_mean_and_deviation_of_each_band():
    out = mixstyle(TENSORS["mixstyle_in"][:, 0], TENSORS["mixstyle_lam"].flatten(), TENSORS["mixstyle_perm"])
    close(out, TENSORS["mixstyle_out"][:, 0], 1e-5)


def test_waveforms_are_mixed_shifted_and_amplified():
    one, other = (TENSORS[name][0].numpy() for name in ("wav1", "wav2"))
    share = float(TENSORS["wavmix_beta"])
    close(torch.from_numpy(mixed_waves(one, other, max(share, 1 - share))), TENSORS["wavmix_out"][0], 1e-6)
    close(torch.from_numpy(rolled(one, 13)), TENSORS["roll_13"][0], 0.0)
    close(torch.from_numpy(with_gain(one, -7)), TENSORS["gain_-7dB"][0], 1e-6)


def test_rare_classes_are_drawn_more_often():
    targets = np.unpackbits(TENSORS["sampler_targets_packed"].numpy(), axis=1)[:, :527]
    weights = balanced_clip_weights(targets.astype(np.float32), 100.0)
    close(torch.from_numpy(weights).float(), TENSORS["sampler_weights"], 1e-4)


def test_metrics_are_those_of_scikit_learn_with_and_without_a_mask():
    scores, targets, mask = (TENSORS[f"metric_{name}"].numpy() for name in ("scores", "targets", "mask"))
    for truth, suffix in ((targets, ""), (np.where(mask > 0, targets, np.nan), "_masked")):
        close(torch.from_numpy(average_precision_per_class(scores, truth)), TENSORS[f"metric_ap{suffix}"], 1e-9)
        close(torch.from_numpy(roc_auc_per_class(scores, truth)), TENSORS[f"metric_auc{suffix}"], 1e-9)
