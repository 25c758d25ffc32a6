"""Running statistics of SUPERB's upstream agree with the published ones."""

from __future__ import annotations

import torch

from auricle.frontends.running_norm import RunningNorm
from helpers.golden_files import close, read_golden
from helpers.paths import GOLDEN


def batches():
    tensors, _ = read_golden(GOLDEN / "m2d" / "superb_running_norm.safetensors")
    return tensors, [tensors[f"batch.{i}"] for i in range(4)]


def test_mean_deviation_and_output_agree_after_every_batch():
    tensors, given = batches()
    norm = RunningNorm()
    for i, batch in enumerate(given):
        close(norm(batch), tensors[f"normalised.{i}"], 1e-4)
        close(norm.mean, tensors[f"mean.{i}"], 1e-4)
        close(norm.std, tensors[f"std.{i}"], 1e-4)


def test_the_statistics_stay_after_the_last_batch_that_counts():
    _, given = batches()
    norm = RunningNorm(updates=2)
    for batch in given[:2]:
        assert not norm.finished
        norm(batch)
    mean = norm.mean.clone()
    close(norm(given[3]), (given[3] - mean) / norm.std, 0)
    assert norm.finished
    assert norm.mean == mean
    assert "after 2 of 2 batches" in str(norm)


def test_a_constant_batch_is_not_divided_by_zero():
    assert torch.isfinite(RunningNorm()(torch.full((1, 80, 5), -15.9))).all()
