"""Two processes under torchrun equal one with the double batch."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

import auricle
from auricle.commands.finetune.finetune import finetune_run
from auricle.commands.pretrain import pretrain
from auricle.core.options import option_arguments
from auricle.methods.supervised.config import FinetuneConfig
from auricle.training.checkpoint import CheckpointStore
from auricle.training.distributed import DistContext
from auricle.training.log import read_log
from helpers import mae_ast_rank_worker
from helpers.finetune_runs import config as finetune_config
from helpers.finetune_runs import labelled_sounds, weight_file
from helpers.paths import TESTS
from helpers.rank_worker import data, network, step
from helpers.torchrun import torchrun
from helpers.training_runs import config, flags, prepared

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ranks")]  # each program is launched once

WORKER, MAE_AST_WORKER = (str(TESTS / "helpers" / f"{name}.py") for name in ("rank_worker", "mae_ast_rank_worker"))
KINDS = ("small", "mn", "standardised")
PRESETS = ("patch-chunk", "frame-random", "ssast-patch")


@pytest.fixture(scope="module")
def steps(tmp_path_factory, programs):
    """What two ranks found of each of ``KINDS``, in files."""
    folder = tmp_path_factory.mktemp("steps")
    torchrun(programs, WORKER, str(folder), *KINDS)
    return folder


@pytest.fixture(scope="module")
def mae_ast_steps(tmp_path_factory, programs):
    """What two ranks found of each of ``PRESETS``, in files."""
    folder = tmp_path_factory.mktemp("presets")
    torchrun(programs, MAE_AST_WORKER, str(folder), *PRESETS)
    return folder


def test_two_ranks_pretrain_as_one_with_the_double_batch(tmp_path, programs):
    source = prepared(tmp_path / "data")
    settings = dict(optim="sgd", epochs=2)
    pretrain(config(source, tmp_path / "one", batch_size=8, **settings), quiet=True)
    torchrun(programs, "-m", "auricle", *flags(source, tmp_path / "two", batch_size=4, **settings), "--quiet")
    one, two = (
        load_file(CheckpointStore(tmp_path / name / "checkpoints").checkpoints()[0] / "weights.safetensors")
        for name in ("one", "two")
    )
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-6, rtol=1e-5)
    rows = [read_log(tmp_path / name / "metrics.jsonl", "step") for name in ("one", "two")]
    for a, b in zip(*rows, strict=True):
        assert b["loss"] == pytest.approx(a["loss"], rel=1e-5)
        assert b["grad_norm"] == pytest.approx(a["grad_norm"], rel=1e-5)


def test_two_ranks_learn_labels_as_one_with_the_double_batch(tmp_path, programs):
    """A run of an MN: batch norms see the batch of both ranks, and their scales and shifts learn too.

    The sums of two ranks round differently, which at a kink of an activation is more than rounding in the updates that follow.
    """
    sounds, model = labelled_sounds(tmp_path / "sounds"), weight_file(tmp_path)
    changes = dict(optim="sgd", epochs=1, lr=1e-3, head="linear", fmin_range=1, fmax_range=1, wave_mixup=0.5, gain=6)
    finetune_run(finetune_config(sounds, tmp_path / "one", model, batch_size=6, **changes), quiet=True)
    two = finetune_config(sounds, tmp_path / "two", model, batch_size=3, **changes)
    plain = option_arguments(two, FinetuneConfig("supervised", str(sounds)))
    torchrun(programs, "-m", "auricle", "finetune", str(sounds), *plain, "--quiet")
    first, second = (read_log(tmp_path / name / "metrics.jsonl", "step")[0] for name in ("one", "two"))
    assert second["loss"] == pytest.approx(first["loss"], rel=1e-5)
    assert second["grad_norm"] == pytest.approx(first["grad_norm"], rel=2e-4)
    one, two = (auricle.load(tmp_path / name / "encoder-last.safetensors").state_dict() for name in ("one", "two"))
    start = auricle.load(model).state_dict()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=5e-5, rtol=2e-4, msg=name)
    scales = [name for name, value in start.items() if name.endswith(".1.weight") and value.ndim == 1]
    assert all(not torch.equal(two[name], start[name]) for name in scales)
    scores = [read_log(tmp_path / name / "metrics.jsonl", "validation")[-1]["val_loss"] for name in ("one", "two")]
    assert scores[1] == pytest.approx(scores[0], rel=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_batch_norm_and_standardised_features_see_the_batch_of_all_ranks(steps, kind):
    two = load_file(steps / f"{kind}.safetensors")
    net = network(kind)
    loss = step(net, *data(kind))
    torch.testing.assert_close(two["loss"], loss, rtol=1e-5, atol=0)
    scale = max(float(p.grad.abs().max()) for p in net.parameters() if p.grad is not None)
    for name, parameter in net.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(two[f"grad.{name}"], parameter.grad, rtol=1e-5, atol=1e-5 * scale)
    for name, value in net.named_buffers():
        torch.testing.assert_close(two[f"buffer.{name}"], value.float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("preset", PRESETS)
def test_two_ranks_of_mae_ast_equal_one(mae_ast_steps, preset):
    """With masks per clip, equal lengths and no dropout; the input's statistics are those of both ranks' clips."""
    two = load_file(mae_ast_steps / f"{preset}.safetensors")
    one = mae_ast_rank_worker.step(preset, DistContext(0, 1, torch.device("cpu")))
    assert two.keys() == one.keys()
    for name, value in one.items():
        if name not in ("log.ppl",):  # a power of the loss: its mean over ranks is not the power of the mean
            scale = 1.0 + float(value.abs().max())
            torch.testing.assert_close(two[name], value, rtol=0, atol=1e-5 * scale, msg=name)


def test_the_error_of_a_failed_rank_ends_the_run(tmp_path, programs):
    """It does not leave the other rank waiting: that would outlast the patience of ``torchrun``."""
    done = torchrun(programs, WORKER, str(tmp_path), "die", expect=None)
    assert done.returncode != 0
    assert "rank 1 has a bad day" in done.stderr
