"""Two processes under torchrun equal one with the double batch."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from auricle.commands.pretrain import pretrain
from auricle.training.checkpoint import CheckpointStore
from auricle.training.distributed import DistContext
from auricle.training.log import read_log
from helpers import mae_ast_rank_worker
from helpers.paths import TESTS
from helpers.rank_worker import data, network, step
from helpers.torchrun import torchrun
from helpers.training_runs import config, flags, prepared

pytestmark = pytest.mark.slow


def test_two_ranks_pretrain_as_one_with_the_double_batch(tmp_path):
    source = prepared(tmp_path / "data")
    settings = dict(optim="sgd", epochs=2)
    pretrain(config(source, tmp_path / "one", batch_size=8, **settings), quiet=True)
    torchrun("-m", "auricle", *flags(source, tmp_path / "two", batch_size=4, **settings), "--quiet")
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


@pytest.mark.parametrize("kind", ["small", "mn"])
def test_batch_norm_sees_the_batch_of_all_ranks(tmp_path, kind):
    torchrun(str(TESTS / "helpers" / "rank_worker.py"), str(tmp_path / "out.safetensors"), kind)
    two = load_file(tmp_path / "out.safetensors")
    net = network(kind)
    loss = step(net, *data(kind))
    torch.testing.assert_close(two["loss"], loss, rtol=1e-5, atol=0)
    scale = max(float(p.grad.abs().max()) for p in net.parameters() if p.grad is not None)
    for name, parameter in net.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(two[f"grad.{name}"], parameter.grad, rtol=1e-5, atol=1e-5 * scale)
    for name, value in net.named_buffers():
        torch.testing.assert_close(two[f"buffer.{name}"], value.float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("preset", ["patch-chunk", "frame-random", "ssast-patch"])
def test_two_ranks_of_mae_ast_equal_one(tmp_path, preset):
    """With masks per clip, equal lengths and no dropout; the input's statistics are those of both ranks' clips."""
    torchrun(str(TESTS / "helpers" / "mae_ast_rank_worker.py"), str(tmp_path / "out.safetensors"), preset)
    two = load_file(tmp_path / "out.safetensors")
    one = mae_ast_rank_worker.step(preset, DistContext(0, 1, torch.device("cpu")))
    assert two.keys() == one.keys()
    for name, value in one.items():
        if name not in ("log.ppl",):  # a power of the loss: its mean over ranks is not the power of the mean
            scale = 1.0 + float(value.abs().max())
            torch.testing.assert_close(two[name], value, rtol=0, atol=1e-5 * scale, msg=name)


def test_the_error_of_a_failed_rank_ends_the_run(tmp_path):
    """It does not leave the other rank waiting: that would outlast the patience of ``torchrun``."""
    done = torchrun(str(TESTS / "helpers" / "rank_worker.py"), str(tmp_path / "out.safetensors"), "die", expect=None)
    assert done.returncode != 0
    assert "rank 1 has a bad day" in done.stderr
