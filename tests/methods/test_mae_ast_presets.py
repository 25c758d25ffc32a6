"""The published recipes of MAE-AST: what they set, what they hide, and that each of them learns."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from auricle.cli.main import main
from auricle.commands.pretrain import continue_run, pretrain
from auricle.core.errors import AuricleError
from auricle.core.options import with_values
from auricle.core.randomness import BatchKey
from auricle.methods.base import TrainProgress
from auricle.methods.mae_ast.config import PRESETS, MAEASTPretrain
from auricle.methods.mae_ast.masks import draw_mask
from auricle.methods.registry import preset_values
from auricle.training.checkpoint import CheckpointStore
from auricle.training.loop import Trainer
from auricle.training.optimizers import make_optimizer
from helpers.mae_ast_runs import config, flags, lists
from helpers.mae_ast_tiny import batch, clips, tiny

PLACE = TrainProgress(0, 1, 0, 1, 0.0, None)
# Updates after which each recipe is far past the bars below: rounding alone moves the end of a short run. With initial
# weights changed by 1e-6, patch-chunk's accuracy was 0.30 to 0.43 after 600 updates and 0.72 to 0.83 after 1000.
STEPS = {"patch-chunk": 1000, "frame-random": 200, "frame-spans": 200, "ssast-patch": 250, "ssast-frame": 250}


def settings(name: str) -> MAEASTPretrain:
    return with_values(MAEASTPretrain("mae-ast", "x"), preset_values("mae-ast", name))


@pytest.mark.parametrize("name", PRESETS)
def test_each_recipe_overfits_ten_clips(name):
    size = dict(embed_dim=64, decoder_embed_dim=64, ffn_dim=128, depth=1)
    built, values, steps, logs = tiny(name, **size), clips(10, frames=50), STEPS[name], []
    optimizer = make_optimizer(built.param_groups(0.01), "adam", 0.0)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 5e-3 * min(1.0, step / 20) * (1 - step / steps)
        optimizer.zero_grad()
        given = batch(values, epoch=step)
        loss, log = built(given, PLACE, BatchKey(0, step, given.positions))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 10.0)
        optimizer.step()
        logs.append({key: float(value) for key, value in log.items()})
    last = {key: statistics.mean(log[key] for log in logs[-10:]) for key in logs[0]}
    assert last["accuracy"] > 0.35, last  # one in 18 or 19 by chance
    assert last["loss_recon"] < 0.5 * 0.36, last  # the variance of the masked values, 0.25, in bits
    assert last["loss"] < logs[0]["loss"] / 3, last


@pytest.mark.parametrize("name", ["patch-chunk", "frame-random", "frame-spans"])
def test_each_recipe_hides_about_three_quarters(name):
    config, clips_of_batch = settings(name), 32
    grid, shares = (config.model.rows, 998 // config.model.patch[1]), []
    for epoch in range(30):
        mask = draw_mask(config.objective, grid, BatchKey(0, epoch, tuple(range(clips_of_batch))))
        shares.append(1 - mask.len_keep / (grid[0] * grid[1]))
    assert statistics.mean(shares) == pytest.approx(0.75, abs=0.01)


def test_the_recipes_are_the_published_ones():
    patch, frame, spans = (settings(name) for name in ("patch-chunk", "frame-random", "frame-spans"))
    assert (patch.model.patch_size, patch.objective.mask_type, patch.objective.random_mask_prob) == (
        "16x16",
        "chunk_mask",
        0.75,
    )
    assert (frame.model.patch_size, frame.objective.mask_type, frame.objective.random_mask_prob) == (
        "128x2",
        "random_mask",
        0.75,
    )
    assert (spans.model.patch_size, spans.objective.mask_type) == ("128x2", "mask_spans")
    for one in (patch, frame, spans):
        assert (one.objective.classification_weight, one.objective.reconstruction_weight) == (1, 10)
        assert (one.model.depth, one.model.decoder_depth, one.data.max_tokens) == (12, 2, 8388608)


def test_a_preset_is_the_default_and_flags_win(tmp_path):
    source = lists(tmp_path / "data", train=4, valid=0)
    words = flags(source, tmp_path / "run", max_updates=2, warmup_updates=1)
    assert main([*words, "--preset", "frame-spans", "--random-mask-prob", "1.45", "--quiet"]) == 0
    saved = yaml.safe_load((tmp_path / "run/config.yaml").read_text())
    assert saved["model"]["patch_size"] == "128x2"
    assert (saved["objective"]["mask_type"], saved["objective"]["random_mask_prob"]) == ("mask_spans", 1.45)


def test_unknown_presets_are_refused_with_a_message(tmp_path, capsys):
    assert main(["pretrain", str(tmp_path), "--method", "mae-ast", "--preset", "patch-chunks"]) == 2
    assert "did you mean patch-chunk?" in capsys.readouterr().err
    with pytest.raises(AuricleError, match="m2d has no presets"):
        preset_values("m2d", "x")
    assert main(["pretrain", "--continue", str(tmp_path), "--preset", "patch-chunk"]) == 2


@pytest.mark.parametrize("name", PRESETS)
def test_every_value_of_a_preset_is_a_setting(name):
    config, named = settings(name), preset_values("mae-ast", name)
    parts = (config.model, config.objective, config.train, config.data)
    for field, value in named.items():
        assert [getattr(part, field) for part in parts if hasattr(part, field)] == [value]


class Stop(Exception):
    pass


@pytest.mark.parametrize("name", ["patch-chunk", "frame-spans", "ssast-frame"])
def test_a_run_of_each_kind_continues_as_if_it_had_never_stopped(tmp_path, monkeypatch, name):
    """With dropout and layer drop, which the loop draws anew per step."""
    source = lists(tmp_path / "data", valid=0)
    given = {
        **preset_values("mae-ast", name),
        "batch_size": 8,
        "warmup_updates": 1,
        "dropout": 0.1,
        "encoder_layerdrop": 0.3,
    }
    pretrain(config(source, tmp_path / "whole", **given), quiet=True)
    real, left = Trainer.train_batch, iter(range(3))

    def micro(self, batch, progress):
        if next(left, None) is None:
            raise Stop
        return real(self, batch, progress)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_batch", micro)
        with pytest.raises(Stop):
            pretrain(config(source, tmp_path / "cut", checkpoint_steps=1, **given), quiet=True)
    continue_run(tmp_path / "cut", quiet=True)
    whole, cut = (weights_of(tmp_path / run) for run in ("whole", "cut"))
    assert all(torch.equal(cut[key], value) for key, value in whole.items())


def weights_of(run: Path) -> dict[str, torch.Tensor]:
    return load_file(CheckpointStore(run / "checkpoints").checkpoints()[0] / "weights.safetensors")


def test_spans_are_separate_on_request(tmp_path):
    source = lists(tmp_path / "data", train=4, valid=0)
    words = flags(source, tmp_path / "run", max_updates=2, warmup_updates=1, mask_length=4)
    assert main([*words, "--preset", "frame-spans", "--separate-spans", "--quiet"]) == 0
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text())["objective"]["separate_spans"] is True
