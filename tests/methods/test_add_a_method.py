"""A method is a configuration, two functions and one entry of METHODS: a toy method pre-trains through the public paths."""

from __future__ import annotations

import importlib
import json
import sys
import textwrap

import pytest
import torch

import auricle
from auricle.cli.main import main
from auricle.commands.pretrain import continue_run, pretrain
from auricle.core.errors import AuricleError
from auricle.methods.config import TrainConfig
from auricle.methods.m2d.config import M2DPretrain
from auricle.methods.registry import METHODS, method_of
from auricle.training.log import read_log
from auricle.training.run import dry_run
from helpers.training_runs import prepared

TOY = '''
"""A toy method: predict the mean of the crop from the mean of its tokens."""

from dataclasses import dataclass

from auricle.core.options import option
from auricle.methods.config import Method
from auricle.methods.m2d.config import ViTPretrain
from auricle.methods.m2d.config import open_data


@dataclass(frozen=True)
class ToyConfig:
    weight: float = option(1.0, "weight of the loss")

    def visible(self, grid):
        return grid[0] * grid[1]


@dataclass(frozen=True)
class ToyPretrain(ViTPretrain):
    objective: ToyConfig = option(factory=ToyConfig)


def build(config, data):
    from torch import nn

    from auricle.methods.base import Objective, spectrogram_of
    from auricle.models.m2d.encoder import M2DEncoder

    class Toy(Objective):
        def __init__(self):
            super().__init__()
            self.online = M2DEncoder(config.model, stats=data.statistics, seed=config.train.seed, name="toy")
            self.head = nn.Linear(config.model.embed_dim, 1)
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)

        def encoder(self):
            return self.online

        def forward(self, batch, progress, key):
            spec = self.online.normalise(spectrogram_of(batch, self.online).values)
            tokens = self.online.transformer(self.online.embed(self.online.patch_embed.cut(spec)))
            error = (self.head(tokens.mean(dim=1))[:, 0] - spec.mean(dim=(1, 2))).square().mean()
            loss = config.objective.weight * error.float()
            return loss, {"loss": loss.detach()}

    return Toy()


METHOD = Method(ToyPretrain, build, open_data)
'''
SIZES = ["--input-size", "80x40", "--patch-size", "16x8", "--embed-dim", "16", "--depth", "2", "--num-heads", "2"]
LENGTH = ["--batch-size", "4", "--max-updates", "2", "--warmup-updates", "1", "--log-interval", "1"]
HERE = ["--workers", "0", "--device", "cpu", "--precision", "float32"]


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The toy method from a module of its own, with one entry of the table."""
    (tmp_path / "toy_method.py").write_text(textwrap.dedent(TOY))
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("toy_method")
    monkeypatch.setitem(METHODS, "toy", module.METHOD)
    yield module
    sys.modules.pop("toy_method")


def small(toy, source, out):
    from auricle.models.m2d.config import ViTConfig

    train = TrainConfig(
        batch_size=4, max_updates=2, warmup_updates=1, log_interval=1, workers=0, device="cpu", precision="float32"
    )
    model = ViTConfig("80x40", "16x8", embed_dim=16, depth=2, num_heads=2)
    return toy.ToyPretrain("toy", str(source), str(out), train=train, model=model)


def test_a_toy_method_is_rehearsed_trained_and_continued(toy, tmp_path):
    source = prepared(tmp_path / "data", clips=8)
    config = small(toy, source, tmp_path / "run")
    assert dry_run(config).steps == 2
    assert pretrain(config, quiet=True).steps == 2
    losses = [row["loss"] for row in read_log(tmp_path / "run" / "metrics.jsonl", "step")]
    assert len(losses) == 2
    assert all(loss >= 0 for loss in losses)
    assert continue_run(tmp_path / "run", quiet=True).already
    encoder = auricle.load(tmp_path / "run")
    assert encoder(torch.zeros(1, 16000)).clip.shape == (1, 5 * 16)


def test_a_toy_method_trains_from_the_command_line(toy, tmp_path, capsys):
    source = prepared(tmp_path / "data", clips=8)
    line = [
        "pretrain",
        str(source),
        "--method",
        "toy",
        "--out",
        str(tmp_path / "run"),
        *SIZES,
        *LENGTH,
        *HERE,
        "--weight",
        "2",
    ]
    assert main([*line, "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 2


def test_a_configuration_of_another_method_is_refused():
    with pytest.raises(AuricleError, match="the settings of 'msm-mae' are MsmMaePretrain, not M2DPretrain"):
        method_of(M2DPretrain("msm-mae", "data"))
