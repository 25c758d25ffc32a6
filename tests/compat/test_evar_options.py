"""EVAR's fine-tuning program and M2D's scripts: what their command lines mean."""

from __future__ import annotations

import json
import shlex

import pytest

from auricle.compat.m2d.evar_options import (
    FLAGS,
    M2D,
    SCRIPTS,
    parse_finetune,
    script_lines,
    settings_text,
    split_options,
    with_options,
)
from auricle.compat.m2d.evar_runs import config_of, remarks, representation, run_id, run_name
from auricle.core.errors import AuricleError
from auricle.data.manifest.clip_table import Clip
from auricle.data.manifest.manifest import Manifest
from auricle.methods.registry import preset_values
from helpers.paths import GOLDEN

ONE_LABEL = Manifest([Clip("a", "a.wav", labels=("x",)), Clip("b", "b.wav", labels=("y",))])
MANY_LABELS = Manifest([Clip("a", "a.wav", labels=("x", "y")), Clip("b", "b.wav", labels=("y",))])


def parse(line: str):
    return parse_finetune(shlex.split(line))


def test_flags_that_a_line_leaves_out_are_taken_from_the_configuration():
    line = parse("config/m2d.yaml esc50 weight_file=W")
    assert {name: line.flags[name] for name in ("lr", "epochs", "batch_size", "mixup", "warmup_epochs")} == {
        "lr": 2.0, "epochs": 200, "batch_size": 128, "mixup": 0.5, "warmup_epochs": 5,
    }  # fmt: skip
    assert (line.flags["rrc"], line.flags["seed"], line.flags["optim"], line.flags["hidden"]) == (True, 42, "sgd", ())
    zero = parse("config/m2d.yaml esc50 weight_file=W --lr 0 --epochs=0 --mixup 0 --warmup_epochs 0 --rrc False")
    assert (zero.flags["lr"], zero.flags["epochs"], zero.flags["mixup"], zero.flags["warmup_epochs"]) == (
        2.0,
        200,
        0.0,
        0,
    )
    assert zero.flags["rrc"] is False
    assert set(line.flags) == set(FLAGS)


def test_options_replace_settings_of_the_configuration():
    values = with_options(M2D, "batch_size=16,weight_file=/a b/c.pth,output_layers=[3, -1],name='x,y',+new=(1,2)")
    assert {name: values[name] for name in ("batch_size", "weight_file", "output_layers", "name", "new")} == {
        "batch_size": 16, "weight_file": "/a b/c.pth", "output_layers": [3, -1], "name": "x,y", "new": (1, 2),
    }  # fmt: skip
    assert split_options("") == []
    with pytest.raises(AuricleError, match="has no 'dur_frame'; did you mean dur_frames"):
        with_options(M2D, "dur_frame=501")
    with pytest.raises(AuricleError, match="is no option: expected key=value"):
        with_options(M2D, "dur_frames")


def test_a_configuration_file_replaces_the_published_settings(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("audio_repr: ar_m2d.AR_M2D\nft_lr: 0.25\nsample_rate: 32000\n")
    line = parse(f"{file} esc50 weight_file=W")
    assert (line.flags["lr"], line.config["sample_rate"], line.flags["epochs"]) == (0.25, 32000, 200)
    file.write_text("audio_repr: byol_a.AR_BYOLA\n")
    with pytest.raises(AuricleError, match=r"only M2D's weights"):
        parse(f"{file} esc50 weight_file=W")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("config/m2dd.yaml esc50", "there is no configuration config/m2dd.yaml; did you mean m2d"),
        ("config/m2d.yaml esc50 weight_file=W --optim adam", "--optim is one of sgd, adamw, lars, lamb, not 'adam'"),
        ("config/m2d.yaml esc50 weight_file=W --mixupp 0.3", "has no option --mixupp; did you mean --mixup"),
        ("config/m2d.yaml esc50 weight_file=W --loss_fn bce", "is a Python function"),
        ("config/m2d.yaml esc50 weight_file=W --hidden (a,)", "--hidden is a list of whole numbers"),
        ("config/m2d.yaml esc50 weight_file=W --rrc maybe", "expected True or False"),
    ],
)
def test_a_mistake_is_one_line(line, message):
    with pytest.raises(AuricleError, match=message):
        parse(line.replace("(", "'(").replace(")", ")'"))


def test_scripts_run_every_repeat_with_the_next_seed():
    lines = list(script_lines("ft-esc50.sh", ["folder", "3", "42", "300"]))
    assert [line.flags["seed"] for line in lines] == [43, 44, 45]
    assert {line.weight_file for line in lines} == {"folder/checkpoint-300.pth"}
    lines = list(script_lines("ft-spc.sh", ["folder", "2", "42", "100", "300"]))
    assert [(line.flags["seed"], line.weight_file[-7:-4]) for line in lines] == [
        (43, "100"),
        (44, "300"),
        (45, "100"),
        (46, "300"),
    ]
    with pytest.raises(AuricleError, match="invalid int value: 'three'"):
        list(script_lines("ft-esc50.sh", ["folder", "three", "42", "300"]))
    with pytest.raises(AuricleError, match="the following arguments are required: epoch"):
        list(script_lines("ft-esc50.sh", ["folder", "3", "42"]))


RECIPES = {
    "ft-as2m.sh": "m2d-as2m", "ft-as20k.sh": "m2d-as20k", "ft-as0k.sh": "m2d-as20k", "ft-esc50.sh": "m2d-esc50",
    "ft-spc.sh": "m2d-spcv2", "ft-vc1.sh": "m2d-vc1",
}  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_sets_what_the_recipe_of_the_same_name_holds(script):
    (line,) = script_lines(script, ["m2d_vit_base-80x608p16x16-221006-mr7", "1", "42", "300"])
    many = line.task.startswith("as")
    made = config_of(line, MANY_LABELS if many else ONE_LABEL, "manifest.csv", "run")
    values = {**vars(made), **vars(made.train), **vars(made.data), **vars(made.augment), **vars(made.learning)}
    recipe = preset_values("supervised", RECIPES[script])
    assert {name: values[name] for name in recipe} == recipe
    assert (made.train.seed, made.data.kind) == (43, "multilabel" if many else "multiclass")


def test_the_settings_of_a_run_are_written_as_evar_writes_them():
    for case in json.loads((GOLDEN / "finetune" / "bookkeeping.json").read_text())["run_settings_text"]:
        settings = dict(case["settings"])
        assert settings_text(settings, balanced=settings.pop("balanced")) == case["text"]


def test_the_name_of_a_run_changes_with_its_settings():
    line = parse("config/m2d.yaml esc50 weight_file=a/m2d_vit_base-80x608p16x16/checkpoint-300.pth --lr 0.5")
    other = parse("config/m2d.yaml esc50 weight_file=b/m2d_vit_base-80x608p16x16/checkpoint-300.pth --lr 0.5")
    assert representation(line) == "m2d_vit_base-80x608p16x16-checkpoint-300"
    assert run_id(line).startswith("m2d_vit_base-80x608p16x16-checkpoint-300_esc50_")
    assert run_id(line) != run_id(other)
    assert run_name(line) == f"{run_id(line)}_lr5mu5fm30tm192R"


def test_what_the_program_does_silently_is_said():
    text = " ".join(remarks(parse("config/m2d.yaml spcv2 weight_file=W --optim lars --time_mask 192")))
    assert "lars is plain SGD" in text
    assert "longer than the 101 frames" in text
    assert "chosen on the test part" in " ".join(remarks(parse("config/m2d.yaml as20k weight_file=W")))


def test_other_optimisers_are_those_of_the_program():
    adamw = config_of(
        parse("config/m2d.yaml vc1 weight_file=W --optim adamw --freeze_ar --hidden 64"), ONE_LABEL, "m", "r"
    )
    assert (adamw.train.betas, adamw.train.amsgrad, adamw.train.weight_decay) == ((0.9, 0.95), True, 1e-4)
    assert (adamw.learning.freeze, adamw.learning.hidden, adamw.learning.decay_all) == (("encoder",), (64,), True)
    lamb = config_of(parse("config/m2d.yaml vc1 weight_file=W --optim lamb --early_stop_epochs 7"), ONE_LABEL, "m", "r")
    assert (lamb.train.optim, lamb.train.clip_grad, lamb.train.weight_decay) == ("lamb", 1.0, 0.01)
    assert lamb.train.early_stop_epochs == 7
