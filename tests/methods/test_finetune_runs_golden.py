"""Whole fine-tuning runs of EVAR's program are repeated with its recorded draws: inputs, logits, losses, weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from auricle.data.augment.mixing import Mix
from auricle.data.augment.resize_crop import Box, resize_crop
from auricle.frontends.spec_augment import masked
from auricle.hub.convert import m2d as published
from auricle.methods.supervised.mixing import LOSSES
from auricle.models.m2d.config import ViTConfig
from auricle.models.m2d.encoder import M2DEncoder
from auricle.models.outputs import Spectrogram
from auricle.training.optimizers import make_optimizer
from auricle.training.schedules import evar_cosine
from helpers.golden_files import close, read_golden, under
from helpers.paths import SHARED

FOLDER = SHARED / "golden" / "finetune"
LOSS_NAMES = {"bce": "bce", "nll_divided_by_C": "nll"}
RUNS = ("flat_masked_sgd", "flat_masked_chunks_sgd", "stacked_chunks_adamw", "frozen_encoder_sgd")
NOISE = ("transformer.norm.bias", "qkv.bias")  # gradients that are rounding noise, which AdamW turns into steps

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the golden runs stand beside the project only")


def encoder_of(tensors: dict[str, Tensor], meta: dict) -> M2DEncoder:
    """The encoder with its head, as a file of this state would be read."""
    size = meta["name"].split("-")[1].split("p")[0]
    config = ViTConfig(size, "16x16", embed_dim=meta["D"], depth=meta["depth"], num_heads=meta["heads"])
    state = published.published_tensors({"model": under(tensors, "before.")}, Path("run.pth"))
    encoder = published.build(state, config, Path("run.pth"))
    frames = meta["configuration"].get("dur_frames")
    return encoder if frames is None else encoder.with_duration(frames)


def network_input(step: dict, part: dict[str, Tensor], encoder: M2DEncoder) -> tuple[Tensor, Tensor]:
    """The augmented, normalised input (B, F, T) and the mixed targets."""
    x, y = part["x"][:, 0], part["y"]
    if "lambda" in part:
        mix = Mix(part["lambda"], part["partner"].long())
        x, y = mix(x), mix(y)
    x = encoder.normalise(x)
    for name, start, end in step["intervals"]:
        spans = np.repeat(np.array([[start, end]], np.int64), len(x), 0)
        x = masked(x, spans, {"freq": 1, "time": 2}[name], 0.0)
    boxes = [Box(*values) for values in step["crops_i_j_h_w"]]
    return (resize_crop(x, boxes) if boxes else x), y


def logits_of(encoder: M2DEncoder, values: Tensor, ids_keep: Tensor | None) -> Tensor:
    front = encoder.front
    lengths = torch.full((len(values),), values.shape[2])
    spec = Spectrogram(values, lengths, front.hop_seconds, front.id, normalised=True)
    logits = encoder.encode(spec, ids_keep=ids_keep, padding="published").logits
    assert logits is not None
    return logits


def visible_tokens(step: dict, part: dict[str, Tensor]) -> Tensor | None:
    """The tokens that each chunk keeps, numbered through all chunks."""
    visible, first = [], 0
    for chunk, (kept, (_, rows, columns)) in enumerate(zip(step["len_keep"], step["mask_grids"])):
        visible.append(part[f"ids_shuffle.{chunk}"].long()[:, :kept] + first)
        first += rows * columns
    return torch.cat(visible, dim=1) if visible else None


@pytest.mark.parametrize("name", RUNS)
def test_a_published_run_is_repeated_step_by_step(name):
    tensors, meta = read_golden(FOLDER / f"finetune_{name}.safetensors")
    encoder = encoder_of(tensors, meta)
    if meta["configuration"].get("freeze_embed"):
        encoder.freeze_embed()
    if meta["freeze_ar"]:
        encoder.requires_grad_(False)
        encoder.head.requires_grad_(True)
    trained = [parameter for parameter in encoder.parameters() if parameter.requires_grad]
    assert len(trained) == len(meta["trained"])
    groups = [{"params": trained, "weight_decay": 1e-4 if meta["optimizer"] == "adamw" else 0.0}]
    optimizer = make_optimizer(groups, meta["optimizer"], 0.0, amsgrad=meta["optimizer"] == "adamw")
    loss_of = LOSSES[LOSS_NAMES[meta["loss"]]]
    for number, step in enumerate(meta["steps"]):
        part = under(tensors, f"{number}.")
        rate = evar_cosine(number, meta["iterations_per_epoch"], meta["peak_lr"], meta["warmup_epochs"], meta["epochs"])
        assert rate == pytest.approx(step["lr"], abs=1e-9)
        values, targets = network_input(step, part, encoder)
        close(values, part["encoder_input"][:, 0], 1e-5)
        close(targets, part["y_mixed"], 1e-6)
        ids = visible_tokens(step, part)
        encoder.train()
        logits = logits_of(encoder, values, ids)
        close(logits, part["logits"], 1e-4)
        loss = loss_of(logits, targets).mean()
        assert loss.item() == pytest.approx(step["loss"], abs=2e-5)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    encoder.eval()
    last = tensors | {f"before.{key}": value for key, value in under(tensors, "final.").items()}
    final = encoder_of(last, meta).state_dict()
    for key, value in encoder.state_dict().items():
        if meta["optimizer"] == "adamw" and (key.endswith(NOISE) or "running" in key):
            continue
        close(value, final[key], 1e-4)
    values = encoder.normalise(tensors["eval.x"][:, 0])
    close(logits_of(encoder, values, None), tensors["eval.logits"], 2e-3 if meta["optimizer"] == "adamw" else 2e-4)
