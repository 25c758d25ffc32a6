"""Fine-tuning from labelled folders and tables: what is learnt, scored, saved and refused."""

from __future__ import annotations

import pytest
import torch

import auricle
from auricle.cli.main import main
from auricle.commands.finetune.finetune import continue_finetune, finetune_run
from auricle.core.errors import AuricleError
from auricle.core.options import with_values
from auricle.hub.weight_file import save_encoder
from auricle.methods.registry import preset_values
from auricle.methods.supervised.config import FinetuneConfig
from auricle.models.heads.make import make_head
from auricle.models.label_space import LabelSpace
from auricle.reports.page import build_report
from auricle.training.log import read_log
from auricle.training.run import dry_run
from helpers.finetune_runs import config, labelled_sounds, weight_file
from helpers.stopping import Stop, same, stop_after


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    return labelled_sounds(tmp_path_factory.mktemp("sounds"))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return weight_file(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def whole(sounds, model, tmp_path_factory):
    """A run that nothing ever stopped."""
    out = tmp_path_factory.mktemp("whole") / "run"
    finetune_run(config(sounds, out, model), quiet=True)
    return out


def test_two_classes_of_folders_are_learnt_and_the_run_tags(sounds, tmp_path):
    result = finetune_run(config(sounds, tmp_path / "run", weight_file(tmp_path, "m2d"), epochs=8), quiet=True)
    assert result.validation["accuracy"] == 1.0
    encoder = auricle.load(tmp_path / "run")
    assert encoder.info.label_space.ids == ("noise", "tone")
    assert encoder.info.label_space.kind == "multiclass"
    assert auricle.tag(sounds / "tone" / "0.wav", model=encoder).results[0].tags[0].label == "tone"


def test_a_quiet_run_prints_nothing(sounds, model, tmp_path, capsys):
    finetune_run(config(sounds, tmp_path / "run", model), quiet=True)
    assert capsys.readouterr() == ("", "")


def test_a_run_that_learns_labels_has_a_report_with_its_score_and_its_command(whole, tmp_path):
    page = build_report(whole, out=tmp_path / "page.html").read_text()
    assert "On the validation part of its data it reaches" in page
    assert "has not been evaluated" not in page
    assert "auricle finetune " in page
    assert "--method supervised" not in page
    assert "share of the validation clips whose class is right" in page
    assert "clips in the source" in page
    for about_masking in ("Masked clips", "predict targets", "every clip could be read"):
        assert about_masking not in page


@pytest.mark.parametrize("family", ["mn", "dymn", "m2d", "mae-ast-patch", "ensemble"])
def test_every_family_learns_from_labels(family, sounds, tmp_path):
    result = finetune_run(
        config(sounds, tmp_path / "run", weight_file(tmp_path, family), epochs=2, lr=1e-3), quiet=True
    )
    rows = [row["loss"] for row in read_log(result.run / "metrics.jsonl", "step")]
    assert all(torch.isfinite(torch.tensor(rows)))
    assert auricle.load(result.run).num_classes() == 2


@pytest.mark.parametrize(
    ("head", "family"), [("prototype", "m2d"), ("attentive", "mae-ast-patch"), ("gated-layers", "mn")]
)
def test_a_new_head_is_learnt_with_the_encoder(head, family, sounds, tmp_path):
    model = weight_file(tmp_path, family)
    result = finetune_run(config(sounds, tmp_path / "run", model, epochs=1, head=head), quiet=True)
    encoder = auricle.load(result.run)
    assert encoder.architecture()["heads"]["main"]["kind"] == head
    assert encoder.info.label_space.ids == ("noise", "tone")


@pytest.mark.parametrize("head", ["auto", "linear"])
def test_of_several_heads_the_first_one_is_continued(head, sounds, tmp_path):
    encoder = auricle.load(weight_file(tmp_path, "m2d"))
    space = LabelSpace("multiclass", ("noise", "tone"))
    detector = encoder.with_head(make_head("prototype", encoder, 2), space, name="sounds")
    save_encoder(detector.with_head(make_head("linear", encoder, 3), name="birds"), tmp_path / "two.safetensors")
    result = finetune_run(
        config(sounds, tmp_path / "run", tmp_path / "two.safetensors", epochs=1, head=head), quiet=True
    )
    learnt = auricle.load(result.run)
    assert learnt.info.head_names == ("main",)
    assert learnt.architecture()["heads"]["main"]["kind"] == ("prototype" if head == "auto" else "linear")


@pytest.mark.parametrize("micro_steps", [1, 3, 5])
def test_a_run_cut_anywhere_continues_to_the_same_weights(sounds, model, whole, tmp_path, monkeypatch, micro_steps):
    with monkeypatch.context() as patch:
        stop_after(patch, micro_steps)
        with pytest.raises(Stop):
            finetune_run(config(sounds, tmp_path / "run", model, state_steps=1), quiet=True)
    continue_finetune(tmp_path / "run", quiet=True)
    same(whole, tmp_path / "run")


@pytest.mark.parametrize("schedule", ["cosine", "polynomial", "evar"])
def test_a_run_of_one_weight_update_learns(sounds, model, tmp_path, schedule, capsys):
    changes = {"max_updates": 1, "warmup_epochs": 3.0, "warmup_updates": None, "schedule": schedule}
    result = finetune_run(config(sounds, tmp_path / "run", model, **changes))
    assert [row["lr"] for row in read_log(result.run / "metrics.jsonl", "step")] == [1e-2]
    if schedule == "evar":
        assert (
            "no warm-up: a run of 1 weight update would end in it with a learning rate of 0" in capsys.readouterr().err
        )


def test_a_run_is_continued_by_the_verb_that_started_it(whole, capsys):
    for verb in ("distill", "pretrain"):
        assert main([verb, "--continue", str(whole)]) == 2
        assert f"is a run of auricle finetune; continue it with auricle finetune --continue {whole}" in (
            capsys.readouterr().err
        )


def test_a_frozen_encoder_stays_what_it_was(sounds, model, tmp_path):
    before = auricle.load(model).state_dict()
    finetune_run(config(sounds, tmp_path / "run", model, freeze=("encoder",)), quiet=True)
    after = auricle.load(tmp_path / "run").state_dict()
    changed = [name for name in before if name in after and not torch.equal(before[name], after[name])]
    assert all(name.startswith("classifier.") for name in changed), changed


def test_the_best_epoch_is_what_the_run_gives_and_the_last_one_is_kept(whole):
    rows = [row for row in read_log(whole / "metrics.jsonl", "validation") if "val_accuracy" in row]
    assert len(rows) == 3
    assert (whole / "encoder-last.safetensors").is_file()
    best, given = auricle.load(whole / "encoder-best.safetensors"), auricle.load(whole)
    assert best.fingerprint() == given.fingerprint()


def test_early_stopping_ends_a_run_that_no_longer_gets_better(sounds, model, tmp_path):
    result = finetune_run(config(sounds, tmp_path / "run", model, epochs=30, early_stop_epochs=1), quiet=True)
    assert result.training.epochs < 30
    again = continue_finetune(tmp_path / "run", quiet=True)
    assert again.training.already


def test_windows_of_a_longer_clip_are_averaged(sounds, model, tmp_path):
    changes = {"seconds": 0.25, "eval_windows": "consecutive"}
    result = finetune_run(config(sounds, tmp_path / "run", model, **changes), quiet=True)
    assert result.validation["classes_scored"] == 2


@pytest.mark.parametrize(
    "recipe",
    ["m2d-esc50", "m2d-spcv2", "m2d-vc1", "evar-m2d", "ssast-esc50", "efficientat-esc50", "efficientat-2023-dcase20"],
)
def test_a_published_recipe_runs_on_small_data(recipe, sounds, tmp_path):
    family = {"m2d": "m2d", "evar": "m2d", "ssast": "mae-ast-patch"}.get(recipe.partition("-")[0], "mn")
    small = {"epochs": 2, "batch_size": 4, "seconds": 0.6, "warmup_epochs": 1.0, "workers": 0, "device": "cpu"}
    made = FinetuneConfig("supervised", str(sounds), str(tmp_path / "run"), model=str(weight_file(tmp_path, family)))
    result = finetune_run(with_values(made, {**preset_values("supervised", recipe), **small}), quiet=True)
    assert result.validation["classes_scored"] == 2
    assert auricle.load(result.run).num_classes() == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fold": 3}, "--fold 3: .* has no folds; add a column fold"),
        ({"valid_ratio": 0.9}, "--valid-ratio is a share from 0 to 0.5, not 0.9"),
        ({"head": "keep"}, "--head keep"),
        ({"freeze": ("nobody",)}, "there is no layer group 'nobody'"),
        ({"training_mask": 0.5}, "cannot hide patches"),
    ],
)
def test_what_cannot_be_is_refused_before_a_folder_is_made(changes, message, sounds, model, tmp_path):
    with pytest.raises(AuricleError, match=message):
        finetune_run(config(sounds, tmp_path / "run", model, **changes), quiet=True)
    assert not (tmp_path / "run").exists()


def test_one_class_alone_is_refused(sounds, model, tmp_path):
    with pytest.raises(AuricleError, match="gives no labels; expected two or more folders"):
        finetune_run(config(sounds / "tone", tmp_path / "run", model), quiet=True)


@pytest.mark.parametrize("verb", ["finetune", "distill"])
def test_files_that_cannot_be_opened_are_left_out_named_and_counted(verb, model, tmp_path, capsys):
    source = labelled_sounds(tmp_path / "sounds", clips=4, seconds=0.3)
    (source / "tone" / "broken.wav").write_bytes(b"RIFF")
    teacher = ["--teacher", str(model)] if verb == "distill" else []
    words = [verb, str(source), "--model", str(model), *teacher, "--out", str(tmp_path / "run"), "--quiet"]
    small = {"epochs": 1, "warmup-epochs": 0, "batch-size": 4, "workers": 0, "precision": "float32", "device": "cpu"}
    words += [word for name, value in small.items() for word in (f"--{name}", str(value))]
    assert main(words) == 1
    shown = capsys.readouterr().err
    assert "1 of 9 files cannot be opened and are left out" in shown
    assert "broken.wav" in shown


def test_continuing_a_finished_run_says_so_and_counts_classes_in_whole_numbers(whole, capsys):
    assert main(["finetune", "--continue", str(whole), "--quiet"]) == 0
    shown = capsys.readouterr().out
    assert "is finished: " in shown
    assert shown.count("classes_scored 2\n") == 1


def test_a_misspelt_recipe_is_called_a_recipe(capsys):
    assert main(["finetune", "sounds", "--recipe", "m2d-esc5"]) == 2
    assert "has no recipe 'm2d-esc5'; did you mean m2d-esc50" in capsys.readouterr().err


def test_too_few_clips_for_a_validation_part_are_pointed_out(model, tmp_path, capsys):
    sounds = labelled_sounds(tmp_path / "sounds", clips=1)
    result = finetune_run(config(sounds, tmp_path / "run", model, epochs=1))
    assert result.validation == {}
    assert "a share of 0.25 (--valid-ratio) needs 4 clips or groups" in capsys.readouterr().err


def test_the_cost_of_fine_tuning_counts_no_hidden_tokens(sounds, model, tmp_path):
    cost = dry_run(config(sounds, tmp_path / "run", model, epochs=1), measured_steps=1)
    assert "parameters " in str(cost)
    assert "tokens" not in str(cost)
