"""``auricle finetune --how full`` from a fitted head, and ``--how auto`` that tries the whole network beside frozen heads."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

import auricle
from auricle.commands.finetune.detector import fit_frozen, open_frozen
from auricle.commands.finetune.finetune import continue_finetune, finetune_run
from auricle.commands.finetune.whole_network import Plan, finish_kept, planned, try_whole_network
from auricle.commands.keep_scores import store_path
from auricle.core.errors import AuricleError
from auricle.core.options import with_values
from auricle.detectors.files import load_scores
from auricle.detectors.frozen_heads import FrozenHead
from auricle.detectors.whole_network import ENOUGH_CLIPS, FROM_FITTED_HEAD
from auricle.evaluation.results import ResultsStore
from auricle.hub.run_folder import RunFolder
from auricle.methods.registry import read_settings
from auricle.methods.supervised.config import FinetuneConfig
from helpers.finetune_runs import labelled_sounds, weight_file
from helpers.training_runs import prepared


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return weight_file(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    return labelled_sounds(tmp_path_factory.mktemp("sounds"), 10, 0.3)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """As many clips as the whole network is tried with."""
    return labelled_sounds(tmp_path_factory.mktemp("many"), ENOUGH_CLIPS, 0.2)


@pytest.fixture(scope="module")
def full(sounds, model, tmp_path_factory):
    out = tmp_path_factory.mktemp("full") / "run"
    return auricle.finetune(sounds, model=model, out=out, how="full", device="cpu", workers=0, quiet=True)


def settings(source, out, model, **changes) -> FinetuneConfig:
    config = FinetuneConfig("supervised", str(source), str(out), model=str(model))
    return with_values(config, {"device": "cpu", "workers": 0, **changes})


def test_the_whole_network_is_trained_from_a_fitted_head_with_layer_decay_and_a_low_rate(full, model):
    config = read_settings(RunFolder(full.run).read_config(), "config.yaml")
    assert isinstance(config, FinetuneConfig)
    assert (config.train.lr, config.learning.layer_decay, config.train.epochs) == (5e-5, 0.75, 10)
    assert config.train.warmup_epochs == pytest.approx(1.0)
    assert config.model == str(RunFolder(full.run).start)
    assert full.training.steps > 0
    assert full.detector["model"] == str(model)
    assert config.learning.fixed_norms
    start, trained = auricle.load(RunFolder(full.run).start).state_dict(), auricle.load(full.run).state_dict()
    norms = [name for name in start if name.endswith("running_mean")]
    assert norms
    assert all(torch.equal(start[name], trained[name]) for name in norms)
    assert full.detector["reason"].startswith("the whole network was trained, from a head ")


def test_the_start_is_a_model_that_tags(full, sounds):
    start = auricle.load(RunFolder(full.run).start)
    assert start.info.label_space.ids == ("noise", "tone")
    assert auricle.tag(sounds / "tone" / "1.wav", model=start).results[0].tags[0].label == "tone"


def test_a_run_that_began_from_a_fitted_head_continues_exactly(full, tmp_path):
    copied = tmp_path / "run"
    shutil.copytree(full.run, copied)
    for later in sorted((copied / "checkpoints").glob("step-*"))[1:]:
        shutil.rmtree(later)
    (copied / "card.md").unlink()
    again = continue_finetune(copied, quiet=True)
    assert again.training.steps == full.training.steps
    expected, given = (auricle.load(run).state_dict() for run in (full.run, again.run))
    for name, value in expected.items():
        np.testing.assert_allclose(given[name].numpy(), value.numpy(), rtol=1e-5, atol=1e-6)


def test_options_of_training_train_as_before(sounds, model, tmp_path):
    small = {"max_updates": 1, "warmup_updates": 0, "batch_size": 4}
    result = auricle.finetune(sounds, model=model, out=tmp_path / "run", device="cpu", workers=0, quiet=True, **small)
    assert not RunFolder(result.run).start.exists()
    config = read_settings(RunFolder(result.run).read_config(), "config.yaml")
    assert config.learning.layer_decay == 1.0


def test_the_whole_network_is_not_tried_with_few_clips_and_auto_says_so(sounds, model, tmp_path, capsys):
    result = auricle.finetune(sounds, model=model, out=tmp_path / "run", device="cpu", heads=("linear",))
    assert "the whole network is not trained: --heads names what is tried" in capsys.readouterr().err
    assert any("--heads" in note for note in result.detector["notes"])
    opened = open_frozen(settings(sounds, tmp_path / "other", model), quiet=True)
    assert planned(opened.config, set(), opened.data, True) == (
        f"the median class has 10 clips to learn from, and it is tried from {ENOUGH_CLIPS} on"
    )


def test_a_training_that_takes_too_long_is_not_begun(many, model, tmp_path):
    opened = open_frozen(settings(many, tmp_path / "run", model, autotune=1e-6), quiet=True)
    reason = planned(opened.config, set(), opened.data, True)
    assert isinstance(reason, str)
    assert reason.startswith("it would take about")
    assert not (tmp_path / "run").exists()


def test_auto_trains_the_whole_network_too_and_keeps_what_is_clearly_better(many, tmp_path):
    result = auricle.finetune(
        many, model=weight_file(tmp_path, "m2d"), out=tmp_path / "run", device="cpu", workers=0, quiet=True
    )
    trial = result.detector["trials"][-1]
    assert trial["head"] == "full"
    assert trial["clips"] == 20
    kept = trial["gain"] > trial["gain_se"]
    assert (result.detector["head"]["kind"] == "full") == kept == (result.training is not None)
    said = [result.detector["reason"], *result.detector["notes"]]
    assert any("on 20 held-out clips its accuracy is" in text for text in said)
    place = str(result.run.resolve())
    rows = [row for row in ResultsStore(store_path(None)).select() if row.place == place]
    assert [row.protocol for row in rows].count("finetune full") == 1
    logged = [json.loads(line) for line in RunFolder(result.run).metrics.read_text().splitlines()]
    assert [row["head"] for row in logged if row["kind"] == "trial"].count("full") == 1


def test_a_network_that_gains_clearly_stays_and_another_one_is_removed(model, tmp_path):
    """A head with so strong a penalty that it always says the larger class takes the place of the kept one."""
    uneven = labelled_sounds(tmp_path / "sounds", 20, 0.3)
    for i in range(8):
        (uneven / "tone" / f"{i}.wav").unlink()
    config = settings(uneven, tmp_path / "run", model, heads=("linear",))
    fitted = fit_frozen(open_frozen(config, quiet=True), quiet=True)
    selection = fitted.detector.selection
    weak = replace(selection, kept=replace(selection.kept, choice=FrozenHead("linear", 1e-9)))
    fitted = replace(fitted, detector=replace(fitted.detector, selection=weak))
    values = {**FROM_FITTED_HEAD, "how": "full", "calibrate": "on", "valid_ratio": 0.25, "select": "last"}

    idle = Plan(with_values(config, {**values, "lr": 0.0, "epochs": 1, "warmup_epochs": 0.0}), 1.0)
    rivalry = try_whole_network(idle, fitted, finetune_run, quiet=True)
    assert not rivalry.kept
    assert not (tmp_path / "run").exists()

    fast = {"lr": 2e-3, "layer_decay": 1.0, "batch_size": 8, "epochs": 15, "fixed_norms": False, "norm_warmup": True}
    able = Plan(with_values(config, values | fast), 1.0)
    rivalry = try_whole_network(able, fitted, finetune_run, quiet=True)
    assert rivalry.kept
    described = finish_kept(rivalry, fitted)
    assert described["reason"].startswith("the whole network is kept, trained from a linear head")
    assert described["trials"][-1]["gain"] > described["trials"][-1]["gain_se"]
    assert [part.part for part in load_scores(rivalry.result.run)] == ["valid"]


def test_stored_spectrograms_without_recordings_train_the_whole_network_which_is_said(tmp_path, capsys):
    model = weight_file(tmp_path, "m2d")
    source = prepared(tmp_path / "prepared", clips=12)
    result = auricle.finetune(source, model=model, out=tmp_path / "run", device="cpu", workers=0)
    assert "the clips are stored spectrograms alone: the whole network is trained" in capsys.readouterr().err
    assert result.training.epochs == 30
    assert not RunFolder(result.run).start.exists()
    with pytest.raises(AuricleError, match="or train the whole network: --how full"):
        auricle.finetune(source, model=model, out=tmp_path / "other", how="head", quiet=True)
