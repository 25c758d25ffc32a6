"""MAE-AST in the loop: batches by samples, validation, kept encoders, continuing, the command line."""

from __future__ import annotations

import json
import math

import pytest
import torch
from safetensors.torch import load_file

from auricle.cli.main import main
from auricle.commands.pretrain import continue_run, pretrain
from auricle.core.errors import AuricleError
from auricle.hub.load import load
from auricle.methods.mae_ast.config import MAEASTPretrain
from auricle.training.checkpoint import CheckpointStore
from auricle.training.loop import Trainer
from helpers import mae_ast_runs
from helpers.mae_ast_runs import config, lists
from helpers.stopping import logged
from helpers.torchrun import torchrun

PRINTED = {"loss", "loss_recon", "loss_info_nce", "nll_loss", "ppl", "accuracy", "masked_ratio"}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return lists(tmp_path_factory.mktemp("lists"), test=3)


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    """A run that nothing ever stopped."""
    out = tmp_path_factory.mktemp("whole") / "run"
    pretrain(config(source, out, validate_interval_updates=2), quiet=True)
    return out


def weights(run):
    return load_file(CheckpointStore(run / "checkpoints").checkpoints()[0] / "weights.safetensors")


def test_the_defaults_are_the_published_ones():
    settings = MAEASTPretrain("mae-ast", "x")
    train = settings.train
    assert (train.max_updates, train.lr, train.warmup_updates, train.clip_grad) == (550000, 1e-4, 32000, 10.0)
    assert (train.optim, train.schedule, train.weight_decay, train.seed) == ("adam", "polynomial", 0.01, 1337)
    assert (settings.data.max_tokens, settings.data.min_sample_size) == (8388608, 32000)
    assert settings.tokens() == (496, 124)


def test_a_run_learns_from_lists_and_its_encoder_loads(whole):
    steps = logged(whole, "step")
    assert len(steps) == 6
    assert set(steps[0]) >= PRINTED
    assert [row["lr"] for row in steps] == pytest.approx([0, 5e-4, 1e-3, 7.5e-4, 5e-4, 2.5e-4])
    assert all(math.isfinite(row["loss"]) for row in steps)
    assert load(str(whole)).info.family == "mae-ast"
    assert "of 2 to" in (whole / "card.md").read_text()


def test_validation_and_test_are_logged_and_the_best_state_kept(whole):
    scored = logged(whole, "validation")
    assert [row["step"] for row in scored] == [2, 4, 6, 6]
    assert {"val_loss", "val_accuracy"} <= scored[0].keys()
    assert "test_loss" in scored[-1]
    losses = {f"{row['val_loss']:.9g}": row["micro_step"] for row in scored[:-1]}
    best = CheckpointStore(whole / "checkpoints").best()
    assert losses[f"{-best['score']:.9g}"] == int(best["state"].removeprefix("step-"))
    assert (whole / "encoder-best.safetensors").is_file()


@pytest.mark.parametrize("stop", [1, 3, 4])
def test_a_run_cut_anywhere_continues_to_the_same_numbers(source, whole, tmp_path, monkeypatch, stop):
    real, count = Trainer.train_batch, iter(range(stop))

    class Stop(Exception):
        pass

    def micro(self, batch, progress):
        if next(count, None) is None:
            raise Stop
        return real(self, batch, progress)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_batch", micro)
        with pytest.raises(Stop):
            pretrain(config(source, tmp_path / "run", checkpoint_steps=1, validate_interval_updates=2), quiet=True)
    continue_run(tmp_path / "run", quiet=True)
    one, other = weights(whole), weights(tmp_path / "run")
    assert all(torch.equal(one[name], other[name]) for name in one)
    for kind in ("step", "validation"):
        assert logged(whole, kind) == logged(tmp_path / "run", kind)


def test_the_number_of_workers_does_not_change_the_weights(source, whole, tmp_path):
    pretrain(config(source, tmp_path / "run", workers=2, validate_interval_updates=2), quiet=True)
    assert logged(whole, "step") == logged(tmp_path / "run", "step")
    assert logged(whole, "validation") == logged(tmp_path / "run", "validation")


def test_validation_does_not_change_the_training(source, whole, tmp_path):
    pretrain(config(source / "train.tsv", tmp_path / "run"), quiet=True)
    assert logged(whole, "step") == logged(tmp_path / "run", "step")
    assert not logged(tmp_path / "run", "validation")


def test_encoders_are_kept_every_so_many_updates(source, tmp_path):
    pretrain(config(source, tmp_path / "run", save_interval_updates=2, keep_interval_updates=2), quiet=True)
    kept = sorted(path.name for path in (tmp_path / "run").glob("encoder-update*"))
    assert kept == ["encoder-update4.safetensors", "encoder-update6.safetensors"]


@pytest.mark.parametrize("mask", [dict(mask_type="chunk_mask"), dict(mask_type="mask_spans", patch_size="128x2")])
def test_padded_clips_and_the_other_masks_train(source, tmp_path, mask):
    result = pretrain(config(source, tmp_path / "run", pad_audio=True, max_updates=3, **mask), quiet=True)
    assert result.steps == 3
    assert math.isfinite(result.loss)


@pytest.mark.slow
def test_two_ranks_equal_one_with_the_double_batch(tmp_path, programs):
    """Per-clip masks, equal lengths, no dropout, and batch norm over both."""
    source = lists(tmp_path / "lists", longer=0.0)
    still = dict(dropout=0.0, attention_dropout=0.0, dropout_input=0.0, validate_interval_updates=2, checkpoint_steps=3)
    pretrain(config(source, tmp_path / "one", max_tokens=32000, **still), quiet=True)
    torchrun(
        programs, "-m", "auricle", *mae_ast_runs.flags(source, tmp_path / "two", max_tokens=16000, **still), "--quiet"
    )
    one, two = weights(tmp_path / "one"), weights(tmp_path / "two")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=2e-5, rtol=1e-5)
    for kind, names in (("step", ("loss", "grad_norm", "accuracy")), ("validation", ("val_loss", "val_accuracy"))):
        for a, b in zip(logged(tmp_path / "one", kind), logged(tmp_path / "two", kind), strict=True):
            assert [b[name] for name in names] == pytest.approx([a[name] for name in names], rel=1e-4)


def test_the_command_line_trains_prints_and_continues(source, tmp_path, capsys):
    line = mae_ast_runs.flags(source, tmp_path / "run", max_updates=2, warmup_updates=1)
    assert main([*line, "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 2
    assert main(["pretrain", "--continue", str(tmp_path / "run"), "--quiet"]) == 0
    assert "nothing to continue" in capsys.readouterr().out
    assert main([*line, "--out", str(tmp_path / "other"), "--dry-run"]) == 0
    assert "weight updates" in capsys.readouterr().out


def test_a_folder_of_sound_trains_too(source, tmp_path):
    assert (
        pretrain(config(source / "audio/train", tmp_path / "run", max_updates=2, warmup_updates=1), quiet=True).steps
        == 2
    )


def test_files_that_cannot_be_opened_are_reported_and_counted(source, tmp_path, capsys):
    for name in ("0.flac", "1.flac"):
        (tmp_path / "audio").mkdir(exist_ok=True)
        (tmp_path / "audio" / name).write_bytes((source / "audio/train" / name).read_bytes())
    (tmp_path / "audio" / "text.wav").write_text("no audio")
    line = mae_ast_runs.flags(tmp_path / "audio", tmp_path / "run", max_updates=2, warmup_updates=1)
    assert main([*line, "--quiet", "--json"]) == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["replaced"] == 1
    assert "1 of 3 files cannot be opened and are left out" in told.err


def test_a_polynomial_schedule_by_epochs_has_its_own_warm_up(source, tmp_path):
    settings = dict(max_updates=0, epochs=2, warmup_updates=1)
    assert pretrain(config(source, tmp_path / "run", **settings), quiet=True).epochs == 2
    with pytest.raises(AuricleError, match="--warmup-updates"):
        pretrain(config(source, tmp_path / "other", **{**settings, "warmup_updates": 32000}), quiet=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(max_tokens=5000), "larger than a batch"),
        (dict(min_sample_size=10**6), "none is left; lower --min-sample-size"),
        (dict(num_heads=0), "--num-heads must be a number from 1 to"),
        (dict(max_seconds=float("nan")), "--max-seconds"),
        (dict(accum_iter=50), "one weight update takes 50 batches"),
        (dict(batch_size=0), "made by --max-tokens"),
        (dict(valid="nowhere.tsv"), "nowhere.tsv does not exist"),
        (dict(patch_size="128x200", max_token_length=48), "20 clips in a row cannot be read.*a token takes"),
    ],
)
def test_impossible_runs_are_refused_with_a_message(source, tmp_path, changes, message):
    with pytest.raises(AuricleError, match=message):
        pretrain(config(source, tmp_path / "run", **changes), quiet=True)


def test_an_empty_valid_list_is_refused(tmp_path):
    (lists(tmp_path / "data", train=3, valid=0) / "valid.tsv").write_text("audio\n")
    with pytest.raises(AuricleError, match=r"valid\.tsv lists no clips"):
        pretrain(config(tmp_path / "data", tmp_path / "run"), quiet=True)
    assert not (tmp_path / "run").exists()
