"""``--compile`` captures a training step as it is. The graphs run uncompiled here: a compiler takes minutes on a CPU."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from auricle.commands.pretrain import pretrain
from auricle.training.log import read_log
from helpers.training_runs import config, prepared


@pytest.mark.slow
def test_captured_steps_learn_the_same(tmp_path, monkeypatch):
    source, losses = prepared(tmp_path / "data"), []
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    for captured in (False, True):
        out = tmp_path / str(captured)
        pretrain(config(source, out, epochs=2, accum_iter=2, health_interval=1000, compile=captured), quiet=True)
        losses.append([row["loss"] for row in read_log(out / "metrics.jsonl", "step")])
    assert len(losses[0]) == 6
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert torch._dynamo.utils.counters["frames"]["ok"] > 0
