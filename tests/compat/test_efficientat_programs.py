"""Options of EfficientAT's training programs: every one with the published default, and what they become here."""

from __future__ import annotations

import json
import shlex

import pytest

from auricle.compat.efficientat.programs import DEFAULTS, parse_program
from auricle.compat.efficientat.settings import config_of, is_dymn, weights_name
from auricle.core.errors import AuricleError
from auricle.methods.distillation.config import DistillConfig
from auricle.methods.registry import preset_values
from helpers.paths import SHARED

GOLDEN = SHARED / "golden" / "efficientat_training"
FLOATS_HERE = {"weight_decay", "gain_augment"}  # whole numbers in some of the programs
golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden options stand beside the project only")


def parse(line: str):
    script, *args = shlex.split(line)
    return parse_program(script.removesuffix(".py"), args)


def config(line: str):
    return config_of(parse(line), "manifest.csv", "start.safetensors", "run")


def programs():
    return [pytest.param(*key, id=f"{key[0]}-{key[1]}") for key in DEFAULTS]


@golden
@pytest.mark.parametrize(("script", "generation"), programs())
def test_every_option_has_the_published_name_default_and_type(script, generation):
    published = json.loads((GOLDEN / "options.json").read_text())[f"gen{generation - 2000}"][f"{script}.py"]
    values = parse(f"{script} --generation {generation}").values
    assert values == {option["dest"]: option["default"] for option in published.values()}
    for name, option in published.items():
        if option["type"] == "flag":
            changed = parse(f"{script} --generation {generation} {name}")[option["dest"]]
            assert changed == option["flag_value"]
            continue
        sample = {"int": "3", "float": "0.5", "str": "text"}[option["type"]]
        words = " ".join([sample] * (option["nargs"] if isinstance(option["nargs"], int) else 1))
        value = parse(f"{script} --generation {generation} {name} {words}")[option["dest"]]
        first = value[0] if isinstance(value, list) else value
        kind = float if option["dest"] in FLOATS_HERE else {"int": int, "float": float, "str": str}[option["type"]]
        assert type(first) is kind
        assert parse(f"{script} --generation {generation} {name.replace('_', '-')} {words}")[option["dest"]] == value


@golden
def test_all_programs_of_both_generations_are_there():
    published = json.loads((GOLDEN / "options.json").read_text())
    names = {(name.removesuffix(".py"), 2000 + int(gen[3:])) for gen, found in published.items() for name in found}
    assert set(DEFAULTS) == names


@golden
def test_the_arguments_of_the_published_runs_are_parsed():
    runs = json.loads((GOLDEN / "runs.json").read_text())
    for run in runs.values():
        generation, script = run["generation"], run["program"].removesuffix(".py")
        words = []
        for name, value in run["arguments"].items():
            default = DEFAULTS[script, generation][name]
            if value is None or value == default or (name == "roll" and "no_roll" in DEFAULTS[script, generation]):
                continue
            flag = value is True
            words += [f"--{name}"] if flag else [f"--{name}={value}"]
        line = parse_program(script, ["--generation", str(generation), *words])
        assert line.values.items() >= {k: v for k, v in run["arguments"].items() if v is not None}.items()


@pytest.mark.parametrize(
    ("line", "generation"),
    [
        ("ex_audioset.py --cuda --train --pretrained_name=mn10_im_pytorch --batch_size=60 --max_lr=0.0004", 2023),
        ("ex_audioset.py --train --pretrained --model_name=mn10_im", 2024),
        ("ex_dcase20.py --cuda --pretrained_name=mn10_as --cache_path=cache", 2023),
        ("ex_dcase20.py --features_lr 1e-4", 2023),
        ("ex_esc50.py --no_wavmix", 2024),
        ("ex_fsd50k.py --wavmix", 2023),
        ("ex_openmic.py --train", 2024),
        ("ex_pl_audioset.py", 2024),
        ("ex_esc50.py --generation 2023 --fold 2", 2023),
    ],
)
def test_the_options_of_a_line_decide_its_generation(line, generation):
    parsed = parse(line)
    assert (parsed.generation, parsed.notes) == (generation, ())


def test_a_line_that_both_generations_have_is_taken_as_the_newest_one_and_that_is_said():
    parsed = parse("ex_esc50.py --fold 3")
    assert parsed.generation == 2024
    assert "--generation 2023 has other defaults of batch_size, " in parsed.notes[0]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "ex_esc50.py --pretrained_name mn10_as --no_wavmix",
            "belongs to ex_esc50 of 2023 and --no_wavmix to that of 2024",
        ),
        ("ex_esc50.py --batchsize 3", "has no option --batchsize; did you mean --batch_size"),
        ("ex_openmic.py --generation 2023", "belongs to generation 2024 only"),
        ("ex_esc50.py --generation 2022", "--generation is 2023 or 2024, not '2022'"),
        ("ex_audioset.py --strides 2 2", "expected 4 arguments"),
        ("ex_esc50.py --fold one", "invalid int value: 'one'"),
    ],
)
def test_a_mistake_is_one_line_that_names_what_was_meant(line, message):
    with pytest.raises(AuricleError, match=message):
        parse(line)


@pytest.mark.parametrize(
    ("line", "name", "dymn"),
    [
        ("ex_esc50.py --pretrained_name=mn40_as_ext", "mn40_as_ext", False),
        ("ex_esc50.py --pretrained --model_name dymn10_as", "dymn10_as", True),
        ("ex_esc50.py --model_name dymn10_as", None, True),
        ("ex_esc50.py --model_width 0.4 --generation 2023", None, False),
    ],
)
def test_the_weights_of_a_line(line, name, dymn):
    parsed = parse(line)
    assert (weights_name(parsed), is_dymn(parsed)) == (name, dymn)


RECIPES = {
    "efficientat-esc50": "ex_esc50.py",
    "efficientat-fsd50k": "ex_fsd50k.py",
    "efficientat-dcase20": "ex_dcase20.py",
    "efficientat-openmic": "ex_openmic.py",
    "efficientat-2023-esc50": "ex_esc50.py --generation 2023",
    "efficientat-2023-fsd50k": "ex_fsd50k.py --generation 2023",
    "efficientat-2023-dcase20": "ex_dcase20.py --generation 2023",
    "efficientat-audioset": "ex_audioset.py",
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_line_without_options_sets_what_the_recipe_holds(recipe, tmp_path):
    method = "distillation" if recipe == "efficientat-audioset" else "supervised"
    teacher = [tmp_path / name for name in ("teacher.npy", "index.pkl")]
    for file in teacher:
        file.touch()
    files = f"--teacher_preds {teacher[0]} --fname_to_index {teacher[1]}" if method == "distillation" else ""
    made = config(f"{RECIPES[recipe]} {files}")
    parts = [made, made.train, made.data, made.augment, made.learning, getattr(made, "distillation", None)]
    values = {name: value for part in parts if part is not None for name, value in vars(part).items()}
    wanted = preset_values(method, recipe)
    own = {
        "seconds",
        "fmax",
    }  # the clip length of FSD50K's recipe is that of its program; the edge is the network's here
    assert {name: values[name] for name in wanted if name not in own} == {
        name: value for name, value in wanted.items() if name not in own
    }


def test_a_downstream_line_becomes_settings_of_learning_with_labels():
    made = config("ex_dcase20.py --cuda --pretrained_name=mn10_as --last_layer_lr 1e-3 --mixstyle_p 0.4 --batch_size 8")
    assert (made.method, made.source, made.model, made.out) == (
        "supervised",
        "manifest.csv",
        "start.safetensors",
        "run",
    )
    train, augment, learning = made.train, made.augment, made.learning
    assert (train.optim, train.lr, train.weight_decay, train.batch_size) == ("adam-l2", 2e-5, 1e-3, 8)
    assert (train.epochs, train.warmup_epochs, train.ramp_down_start, train.ramp_down_epochs) == (50, 6.0, 6.0, 20.0)
    assert (augment.roll, augment.gain, augment.mixup, augment.mixstyle, augment.fmax_range) == (
        10000,
        None,
        0.3,
        0.4,
        1000,
    )
    assert (learning.encoder_lr, learning.head_lr, learning.last_layer_lr, learning.select) == (
        None,
        None,
        1e-3,
        "last",
    )
    assert made.data.kind == "multiclass"


def test_the_newer_generation_rolls_mixes_and_changes_the_level():
    made = config("ex_fsd50k.py --train --pretrained --model_name mn10_as --variable_eval_length")
    augment = made.augment
    assert (augment.roll, augment.gain, augment.wave_mixup, augment.mixup) == (4000, 12, 0.5, 0.3)
    assert (made.data.crop, made.data.eval_windows, made.data.kind) == ("random", "whole", "multilabel")
    off = config("ex_fsd50k.py --train --no_roll --no_wavmix --gain_augment 0 --mixup_alpha 0").augment
    assert (off.roll, off.gain, off.wave_mixup, off.mixup) == (None, None, 0.0, None)


def test_audioset_is_distilled_from_the_published_predictions_unless_kd_lambda_is_0(tmp_path):
    files = [tmp_path / name for name in ("teacher.npy", "index.pkl")]
    for file in files:
        file.touch()
    teacher = f"--teacher_preds {files[0]} --fname_to_index {files[1]} --temperature 2 --kd_lambda 0.2"
    made = config(f"ex_audioset.py --train --pretrained --model_name dymn10_im --adamw --weight_decay 1e-4 {teacher}")
    assert isinstance(made, DistillConfig)
    assert (made.distillation.kd_lambda, made.distillation.teacher_temperature) == (0.2, 2.0)
    assert (made.data.sampling, made.data.epoch_clips, made.train.optim) == ("balanced", 100000, "adamw")
    assert (made.learning.kernel_temperature, made.initial) == (30.0, "weights")
    plain = config("ex_audioset.py --train --kd_lambda 0")
    assert (plain.method, plain.learning.kernel_temperature, plain.initial) == ("supervised", None, "weights")
    with pytest.raises(AuricleError, match=r"there is no file resources/passt.*--teacher_preds.*--kd_lambda 0"):
        config("ex_audioset.py --train")


def test_lightning_accumulates_the_batches_of_its_devices():
    made = config("ex_pl_audioset.py --kd_lambda 0 --num_devices 3")
    assert (made.train.accum_iter, made.train.lr, made.train.weight_decay) == (3, 0.003, 1e-4)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("ex_esc50.py --classifier_lr 1e-3 --last_layer_lr 1e-3", "--classifier_lr or --last_layer_lr, not both"),
        ("ex_audioset.py --train --kd_lambda 2", "--kd_lambda is a share from 0 to 1"),
    ],
)
def test_values_that_the_program_refuses_are_refused(line, message):
    with pytest.raises(AuricleError, match=message):
        config(line)
