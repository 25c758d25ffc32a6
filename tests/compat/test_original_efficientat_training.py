"""EfficientAT's training and evaluation lines, run on tiny copies of the data sets in their official layouts."""

from __future__ import annotations

import json
import pickle
import re
import shlex
import sys

import numpy as np
import pytest
import torch

import auricle
from auricle.cli.main import main
from auricle.compat.efficientat import command_line as original
from auricle.core.errors import AuricleError
from auricle.data.audioset import audioset_classes
from auricle.hub.run_folder import RunFolder
from auricle.methods.registry import read_settings
from auricle.models.efficientat.config import DyMNConfig, MNConfig
from auricle.models.efficientat.dymn import DyMN
from auricle.models.efficientat.mn import MN
from helpers.paths import SHARED
from helpers.published_sets import TINY_SETS

TOY = "--n_epochs=1 --num_workers=0 --batch_size=2 --output_dir=run"
GOLDEN = SHARED / "golden" / "efficientat_training"
golden = pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden runs stand beside the project only")


def small(name: str) -> MN | DyMN:
    """A network of toy size for every published name."""
    made = {"name": name, "classes": audioset_classes(), "seed": len(name)}
    return DyMN(DyMNConfig(width=0.1), **made) if name.startswith("dymn") else MN(MNConfig(width=0.1), **made)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with the data sets in ``data`` and a teacher's predictions."""
    monkeypatch.chdir(tmp_path)
    for name in ("audioset", "dcase20", "fsd50k", "esc50", "openmic"):
        TINY_SETS[name].make(tmp_path / "data" / name)
    np.save("teacher.npy", np.random.default_rng(0).normal(size=(2, 527)).astype(np.float16))
    with open("index.pkl", "wb") as file:
        pickle.dump({"YkAvorYkUBI": 0, "-abcdefghij": 1}, file)
    return tmp_path


def run(line: str) -> int:
    return original.run(["python", *shlex.split(line)], load=small)


def config_of(folder):
    return read_settings(RunFolder.open(folder / "run").read_config(), "the test")


TEACHER = "--teacher_preds=teacher.npy --fname_to_index=index.pkl"
README = (  # the training lines of the read-me, and what toy data need beside them
    (
        "ex_audioset.py --cuda --train --pretrained_name=mn10_im_pytorch --batch_size=60 --max_lr=0.0004",
        TEACHER,
        "mn10_as",
    ),
    (
        "ex_audioset.py --cuda --train --batch_size=120 --model_width=0.1 --head_type=fully_convolutional --se_dims=f",
        TEACHER,
        "mn01_as",
    ),
    ("ex_dcase20.py --cuda --pretrained_name=mn10_as --cache_path=cache", "", "mn10_dcase"),
    ("ex_fsd50k.py --cuda --pretrained_name=mn10_as", "--train", "mn01_fsd50k"),
    ("ex_esc50.py --cuda --pretrained_name=mn40_as_ext --fold=1", "", "mn10_esc50"),
)


@pytest.mark.parametrize(("line", "more", "file"), README, ids=lambda text: text.split()[0] if text else "")
def test_every_training_line_of_the_readme_runs(line, more, file, here, capsys):
    assert run(f"{line} {more} {TOY}") == 0
    text = capsys.readouterr()
    metric = "accuracy" if line.startswith(("ex_dcase20", "ex_esc50")) else "mAP"
    assert re.search(rf"Epoch 1/1: {metric}: \S+, val_loss: \d", text.err)
    assert re.search(r"^run: \d+ weight updates?, 1 epoch, loss \d", text.out, re.MULTILINE)
    (weights,) = (here / "run").glob("*.pt")
    assert weights.name.startswith(f"{file}_epoch_0_")
    state = torch.load(weights, weights_only=True)
    assert "norm_stats" not in state
    assert auricle.load(here / "run").info.family == "mn"


def test_the_lines_are_those_of_the_readme(shared):
    text = (shared / "reference" / "originals" / "efficientat_readme.md").read_text().replace("<directory>", "cache")
    lines = re.findall(r"^python (ex_.*)$", text, flags=re.MULTILINE)
    assert [line for line in lines if "--model_name" not in line] == [line for line, *_ in README]


@pytest.mark.parametrize(
    ("line", "checks"),
    [
        ("ex_openmic.py --train --pretrained --model_name=mn10_as", {"fmax_range": 2000, "wave_mixup": 0.5}),
        ("ex_esc50.py --pretrained --model_name=dymn10_as --fold 3 --weight_decay 0.001", {"weight_decay": 0.001}),
        ("ex_dcase20.py --model_name dymn04_as --model_width 0.1", {"kernel_temperature": None}),
        (f"ex_pl_audioset.py --num_devices 1 --model_width 0.1 {TEACHER}", {"accum_iter": 1, "kd_lambda": 0.1}),
        ("ex_audioset.py --train --kd_lambda 0 --pretrained --model_name dymn10_im", {"kernel_temperature": 30.0}),
    ],
    ids=lambda value: value.split()[0] if isinstance(value, str) else "",
)
def test_the_lines_of_the_newer_generation_run(line, checks, here):
    assert run(f"{line} {TOY}") == 0
    config = config_of(here)
    values = {**vars(config.train), **vars(config.augment), **vars(config.learning), **vars(config)}
    values |= vars(config.distillation) if hasattr(config, "distillation") else {}
    assert {name: values[name] for name in checks} == checks


def test_a_dymn_from_scratch_keeps_its_first_temperature_downstream(here):
    assert run(f"ex_esc50.py --model_name dymn04_as --model_width 0.1 {TOY}") == 0
    assert auricle.load(here / "run").config.temperature == 30.0


def test_the_parts_of_a_run_are_those_of_the_program(here):
    assert run(f"ex_esc50.py --pretrained --model_name mn10_as --fold 4 {TOY}") == 0
    manifest = auricle.Manifest.read(here / "run-data" / "manifest.csv")
    assert {clip.id[0] for clip in manifest.select(split="valid")} == {"4"}
    assert len(manifest.select(split="train")) == 8
    assert manifest.label_classes() == ("cow", "rain")  # in the order of the targets


def test_the_upper_band_edge_follows_the_options(here):
    assert run(f"ex_esc50.py --pretrained_name mn10_as {TOY}") == 0
    assert auricle.load(here / "run").front.fmax == 15500  # 16000 less half of --fmax_aug_range 1000


def test_settings_of_finetune_may_follow_and_win(here):
    line = f"original efficientat ex_esc50.py --model_width 0.1 {TOY} -- --seed 7 --epochs 2 --log-interval 1"
    assert main(line.split()) == 0
    config = config_of(here)
    assert (config.train.seed, config.train.epochs) == (7, 2)
    files = [path.name for path in (here / "run").glob("*.pt")]
    assert len(files) == 1  # of the last epoch
    assert files[0].startswith("mn01_esc50_epoch_1_acc_")


def test_a_run_that_goes_on_goes_on_writing_the_published_file(here):
    line = f"original efficientat ex_esc50.py --model_width 0.1 {TOY} -- --epochs 2 --stop-at 1"
    assert main(line.split()) == 0
    assert [path.name.split("_")[3] for path in (here / "run").glob("*.pt")] == ["0"]
    assert main(["finetune", "--continue", "run", "--stop-at", "none", "--allow", "stop-at", "--quiet"]) == 0
    assert [path.name.split("_")[3] for path in (here / "run").glob("*.pt")] == ["1"]


def test_wandb_gets_the_records_of_a_run(here, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert run(f"ex_esc50.py --model_width 0.1 --wandb {TOY}") == 0
    assert len(list((here / "run" / "wandb").rglob("*.wandb"))) == 1


def test_without_wandb_nothing_is_written(here, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(AuricleError, match="pip install wandb"):
        run(f"ex_esc50.py --model_width 0.1 --wandb {TOY}")
    assert not (here / "run-data").exists()


def test_a_data_set_that_is_not_there_is_named_with_its_source(here, monkeypatch):
    monkeypatch.setenv("AURICLE_DATASETS", "elsewhere")
    words = r"ESC-50 is not in elsewhere/esc50: .*--dataset_dir FOLDER.*AURICLE_DATASETS.*github.com/karolpiczak"
    with pytest.raises(AuricleError, match=words):
        run(f"ex_esc50.py {TOY}")
    assert run(f"ex_esc50.py --dataset_dir data/esc50 --model_width 0.1 {TOY}") == 0
    with pytest.raises(AuricleError, match="run exists; choose another --output_dir"):
        run(f"ex_esc50.py --dataset_dir data/esc50 --model_width 0.1 {TOY}")


def test_weights_that_cannot_have_an_option_are_refused(here):
    with pytest.raises(AuricleError, match="mn10_as has --head_type mlp, not fully_convolutional"):
        run(f"ex_esc50.py --pretrained --model_name mn10_as --head_type fully_convolutional {TOY}")
    with pytest.raises(AuricleError, match="holds no clips to validate on: --fold 9"):
        run(f"ex_esc50.py --fold 9 {TOY}")


# ---- evaluation


@pytest.mark.parametrize(
    ("line", "shown", "split"),
    [
        ('ex_audioset.py --cuda --model_name="mn10_as"', " 'mn10_as'", "AudioSet test split for loaded model: mn10_as"),
        (
            "ex_audioset.py --ensemble mn10_as dymn10_as",
            "s '['mn10_as', 'dymn10_as']'",
            "AudioSet test split for loaded models: ['mn10_as', 'dymn10_as']",
        ),
        (
            "ex_audioset.py --ensemble mn10_as mn40_as --generation 2023",
            " 'mn10_as'",
            "AudioSet test split for loaded model: mn10_as",
        ),
        ("ex_fsd50k.py --pretrained_name mn10_as", " 'mn10_as'", "AudioSet test split for loaded model: mn10_as"),
        (
            "ex_fsd50k.py --model_name mn10_as --variable_eval_length",
            " 'mn10_as'",
            "FSD50K evaluation split for loaded model: mn10_as",
        ),
    ],
)
def test_evaluation_prints_the_published_form(line, shown, split, here, capsys):
    assert run(f"{line} --num_workers 0 --batch_size 2") == 0
    text = capsys.readouterr()
    task = "AudioSet" if line.startswith("ex_audioset") else "FSD50K"
    first, second, *scores = text.out.splitlines()
    assert first == f"Running {task} evaluation for model{shown} on device 'cpu'"
    assert second == f"Results on {split}"
    assert [re.sub(r"\d\.\d{3}", "x", score) for score in scores] == ["  mAP: x", "  ROC: x"]
    assert ("its last layer is drawn at random" in text.err) == (task == "FSD50K")


def test_openmic_has_no_evaluation(here):
    with pytest.raises(AuricleError, match=r"ex_openmic has no evaluation.*add --train"):
        run("ex_openmic.py")


@golden
@pytest.mark.parametrize("name", ["gen23.audioset", "gen24.audioset", "gen24.audioset.ensemble", "gen24.audioset.dymn"])
def test_evaluation_gives_the_published_scores(name, capsys):
    case = golden_case(name)
    typed = [
        f"--{option} {' '.join(value) if isinstance(value, list) else value}"
        for option, value in case["arguments"].items()
    ]
    line = f"{case['program']} {' '.join(typed)} --generation {case['generation']} --num_workers 0"
    line += f" --dataset_dir {GOLDEN / 'data' / 'audioset'}"
    assert original.run(shlex.split(line), load=start_network) == 0
    printed, published = capsys.readouterr().out.splitlines(), case["stdout"]
    assert printed[:2] == published[:2]
    for row, wanted in zip(printed[2:], published[2:]):  # near ties among six clips move with the processor
        (name, value), (wanted_name, wanted_value) = row.split(": "), wanted.split(": ")
        assert name == wanted_name
        assert float(value) == pytest.approx(float(wanted_value), abs=0.005)


def golden_case(name):
    generation, _, case = name.partition(".")
    return json.loads((GOLDEN / "evaluate.json").read_text())[generation][case]


def start_network(name: str) -> MN | DyMN:
    """The network of width 0.1 that the golden evaluation gave every name."""
    from safetensors.torch import load_file

    tensors = load_file(GOLDEN / "runs_init.safetensors")
    if name.startswith("dymn"):
        network, prefixes = (
            DyMN(DyMNConfig(width=0.1, temperature=30.0), classes=audioset_classes(), name=name),
            ("init.dymn.",),
        )
    else:
        network = MN(MNConfig(width=0.1), classes=audioset_classes(), name=name)
        prefixes = ("init.mn.", "init.mn.ex_audioset.")
    state = network.state_dict()
    for prefix in prefixes:
        own = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        state |= {key: value for key, value in own.items() if key in state}
    network.load_state_dict(state)
    return network.eval()
