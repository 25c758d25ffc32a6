"""M2D's fine-tuning scripts and EVAR's program, run on tiny copies of the data sets."""

from __future__ import annotations

import csv

import pytest

import auricle
from auricle.cli.main import main
from auricle.compat.m2d.evar_results import own_head_name
from auricle.hub.run_folder import RunFolder
from auricle.methods.registry import read_settings
from helpers.original_m2d import FINETUNE, checkpoint, spectrograms, words, write_list
from helpers.published_sets import TINY_SETS

TOY = "-- --epochs 1 --batch-size 2 --workers 0 --warmup-epochs 0"
WEIGHT = "m2d_vit_base-80x208p16x16-toy/checkpoint-300.pth"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a checkpoint of toy size and the data sets in ``data``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVAR", raising=False)
    for size in ("80x208", "80x608"):
        checkpoint(tmp_path / f"m2d_vit_base-{size}p16x16-toy" / "checkpoint-300.pth", size, "16x16")
    for name in ("audioset", "esc50", "speechcommands", "voxceleb1"):
        TINY_SETS[name].make(tmp_path / "data" / name)
    return tmp_path


def original(line: str) -> int:
    return main(["original", "m2d", *words(line)])


def runs(folder):
    return sorted(path.parent for path in (folder / "logs").glob("*/config.yaml"))


def config_of(run):
    return read_settings(RunFolder.open(run).read_config(), "the test")


def scores(folder):
    return list(csv.DictReader((folder / "results" / "ft-scores.csv").open()))


def log_mel(folder):
    """EVAR's table of AudioSet, and log-mel files where the script of the read-me is edited to look for them."""
    names = [f"{part}_segments/id{i}_{i}000.npy" for i in range(3) for part in ("balanced_train", "eval")]
    spectrograms(folder / "audioset_lms", names, frames=1001)
    labels = ["/m/09x0r", "/m/09x0r,/m/05zppz", "/m/05zppz"]
    rows = [
        (name.replace(".npy", ".wav"), labels[i // 2], "train" if i % 2 == 0 else "test")
        for i, name in enumerate(names)
    ]
    write_list(folder / "evar/metadata/as.csv", [row[0] for row in rows])
    with (folder / "evar/metadata/as.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file_name", "label", "split"], *rows])


TASKS = {  # script: task, folds, frames for which positions are resized
    "as2m": ("as", 1, 1001),
    "as0k": ("as20k", 1, 1001),
    "esc50": ("esc50", 5, 501),
    "spc": ("spcv2", 1, 608),
    "vc1": ("vc1", 1, 821),
}


@pytest.mark.parametrize("line", FINETUNE, ids=TASKS)
def test_every_script_of_the_readme_runs(line, here, capsys):
    name = next(name for name in TASKS if f"ft-{name}.sh" in line)
    task, folds, frames = TASKS[name]
    if name == "as2m":
        log_mel(here)
    data = "--data_path audioset_lms" if name == "as2m" else ""
    line = line.replace("/your/path/to/m2d_vit_base-80x608p16x16-221006-mr7 3 42", "m2d_vit_base-80x608p16x16-toy 1 42")
    assert original(f"{line} {data} {TOY}") == 0
    made = runs(here)
    assert len(made) == folds
    assert config_of(made[0]).train.seed == 43
    (weights,) = made[0].glob("weights_ep0it*.pth")
    tuned = auricle.load(weights, input_size=f"80x{frames}")
    assert tuned.num_classes() == auricle.load(made[0]).num_classes()
    (row,) = scores(here)
    assert (row["task"], row["representation"]) == (task, "m2d_vit_base-80x608p16x16-toy-checkpoint-300")
    out = capsys.readouterr().out
    assert f"{task} {float(row['score']):.5f}" in out
    assert (len(list((here / "logs").rglob(f"{task}_ar-m2d.M2D-FT_*.csv"))) == 1) == (task != "as")


def test_repeats_have_their_own_seeds_and_runs(here):
    line = f"util/ft-spc.sh m2d_vit_base-80x208p16x16-toy 2 42 300 {TOY}"
    assert original(line) == 0
    assert sorted(config_of(run).train.seed for run in runs(here)) == [43, 44]
    assert len(scores(here)) == 2
    assert original(line) == 2  # the runs are there


def test_the_program_takes_its_flags_and_options(here):
    flags = "--lr 0.01 --mixup 0 --training_mask 0.0 --freq_mask 0 --time_mask 10 --rrc False"
    flags += " --optim adamw --hidden '(8,)' --seed 5"
    assert original(f"python finetune.py config/m2d.yaml spcv2 weight_file={WEIGHT} {flags} {TOY}") == 0
    (run,) = runs(here)
    config = config_of(run)
    assert (config.train.lr, config.train.seed, config.train.optim) == (0.01, 5, "adamw")
    assert (config.learning.hidden, config.augment.time_mask, config.augment.freq_mask) == ((8,), 10, None)
    assert run.name.endswith("_lr01tm10s5Oadamw")
    (clips,) = run.glob("spcv2_ar-m2d.M2D-FT_*.csv")
    rows = list(csv.DictReader(clips.open()))
    assert len(rows) == 2
    assert {row["GT"] for row in rows} == {"yes", "no"}


def test_weights_of_a_run_are_evaluated_alone(here, capsys):
    assert (
        original(
            f"finetune.py config/m2d.yaml spcv2 weight_file={WEIGHT} --training_mask 0.5 --mixup 0 --time_mask 8 {TOY}"
        )
        == 0
    )
    (row,) = scores(here)
    (weights,) = runs(here)[0].glob("weights_*.pth")
    folder = here / "m2d_vit_base-80x208p16x16-tuned"
    folder.mkdir()
    weights.rename(folder / weights.name)
    capsys.readouterr()
    assert original(f"finetune.py config/m2d.yaml spcv2 weight_file={folder.name}/{weights.name} --eval_only") == 0
    assert f"spcv2: accuracy {row['score']}" in capsys.readouterr().out
    assert original(f"finetune.py config/m2d.yaml esc50 weight_file={WEIGHT} --eval_only") == 2


def test_evars_own_tables_and_folders_are_read_where_they_are(here, monkeypatch):
    home = here / "evar-home"
    TINY_SETS["speechcommands"].make(home / "work/16k/cremad")
    names = [f"{word}/{speaker}_nohash_0.wav" for word in ("yes", "no") for speaker in ("0a", "1b", "2c")]
    (home / "evar/metadata").mkdir(parents=True)
    with (home / "evar/metadata/cremad.csv").open("w", newline="") as file:
        rows = [(name, name.split("/")[0], part) for name, part in zip(names, ["train", "valid", "test"] * 2)]
        csv.writer(file).writerows([["file_name", "label", "split"], *rows])
    monkeypatch.setenv("EVAR", str(home))
    assert original(f"finetune.py config/m2d.yaml cremad weight_file={WEIGHT} --mixup 0 {TOY}") == 0
    manifest = auricle.Manifest.read(f"{runs(here)[0]}-data/manifest.csv")
    assert {clip.split for clip in manifest} == {"train", "valid", "test"}


@pytest.mark.parametrize(
    ("line", "words_of"),
    [
        ("finetune.py config/m2d.yaml esc50", "name the weights"),
        ("finetune.py config/m2d.yaml esc500 weight_file=W", "there is no task 'esc500'; did you mean esc50"),
        ("finetune.py config/m2d.yaml esc50 weight_file=none.pth", "there is no run or weight file none.pth"),
        ("util/ft-esc50.sh none 3 42 300", "there is no run or weight file none/checkpoint-300.pth"),
        (f"finetune.py config/m2d.yaml esc50 weight_file={WEIGHT},dur_frames=400", "which have 501 frames"),
        (f"finetune.py config/m2d.yaml esc50 weight_file={WEIGHT},flat_features=True", "flat_features=True"),
        (f"finetune.py config/m2d.yaml us8k weight_file={WEIGHT}", "UrbanSound8K is not in data/urbansound8k"),
        (
            f"finetune.py config/m2d.yaml bmdhs1 weight_file={WEIGHT}",
            "needs EVAR's table evar/metadata/bmdhs1.csv",
        ),
        (f"finetune.py config/m2d.yaml as weight_file={WEIGHT}", "by --data_path FOLDER"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(line, words_of, here, capsys):
    assert original(line) == 2
    assert words_of in capsys.readouterr().err


def test_the_head_has_the_familys_names_in_the_file():
    assert own_head_name("heads.main.mlp.0.weight") == "head.linear.weight"
    assert own_head_name("heads.main.norm.running_mean") == "head.norm.running_mean"
    assert own_head_name("transformer.norm.weight") == "transformer.norm.weight"
