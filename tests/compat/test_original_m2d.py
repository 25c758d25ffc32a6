"""M2D's command lines: every one of its read-me and guide, run at toy size or said to come later."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest

import auricle
from auricle.cli.main import main
from auricle.hub.pickles import read_pickle
from auricle.hub.run_folder import RunFolder
from auricle.methods.registry import read_settings
from auricle.training.checkpoint import CheckpointStore
from auricle.training.log import read_log
from helpers.original_m2d import (
    CONVERT,
    EVALUATE,
    FINETUNE,
    GUIDE,
    OTHERS,
    README,
    SUPERB,
    place,
    spectrograms,
    toy,
    unlaunched,
    words,
    write_list,
)
from helpers.patience import PATIENCE
from helpers.sounds import write_sounds
from helpers.torchrun import torchrun

LINES = re.compile(r"^\s*((?:\w+=\S+ )*(?:python|torchrun|bash) .*\S)", re.MULTILINE)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The working directory of the lines; environment words of one line do not reach the next test."""
    monkeypatch.chdir(place(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return tmp_path


def original(line: list[str]) -> int:
    return main(["original", "m2d", *line])


def only_run(folder):
    (run,) = (path.parent for path in folder.glob("*/config.yaml"))
    return run, read_settings(RunFolder.open(run).read_config(), "the test")


def test_the_lines_are_those_of_the_readme_and_the_guide(shared):
    originals = shared / "reference" / "originals"
    readme = LINES.findall((originals / "m2d_readme.md").read_text())
    assert set(readme) == {CONVERT, *README, *EVALUATE, *FINETUNE}
    guide = LINES.findall((originals / "m2d_application_guide.md").read_text())
    assert set(guide) == set(GUIDE)


@pytest.mark.parametrize("line", README[1:] + GUIDE[:2], ids=lambda line: line.split(" --")[0])
def test_every_pre_training_line_runs_and_leaves_a_run_named_as_the_original_names_it(line, here, capsys):
    assert original(unlaunched(toy(line))) == 0
    run, config = only_run(here)
    assert auricle.load(run).info.family == "m2d"
    assert (run / "checkpoint-1.pth").is_file()
    assert json.loads((run / "log.txt").read_text())["epoch"] == 0
    sizes = f"{config.model.input_size}p{config.model.patch_size}p16k-{time.strftime('%y%m%d')}-"
    assert re.fullmatch(r"m2d(_as|_x)?_vit_64x1-" + sizes + r".*-e1", run.name)
    assert run.name in capsys.readouterr().out
    assert config.train.seed == (6 if "m2d_x" in line else 3)


@pytest.mark.parametrize(
    ("line", "method", "name"),
    [
        (OTHERS[0], "m2d-s", "m2d_s_vit_64x1-80x208p80x4-"),
        (OTHERS[1], "msm-mae", "msm_mae_vit_64x1-80x208p16x16-"),
        (OTHERS[2], "m2d-d2v", "m2d_d2v_vit_64x1-80x208p16x16p16k-"),
    ],
)
def test_the_speech_and_reconstruction_programs_run_too(line, method, name, here):
    assert original(unlaunched(toy(line))) == 0
    run, config = only_run(here)
    assert (config.method, run.name.startswith(name)) == (method, True)
    content = read_pickle(run / "checkpoint-1.pth")["model"]
    assert ("offline_predictor.weight" in content, "target_norm.weight" in content) == (
        method == "m2d-s",
        method != "msm-mae",
    )
    if method == "msm-mae":
        assert content["decoder_pred.weight"].shape == (256, 32)


def test_the_existing_list_is_named_where_the_readme_names_another(here, capsys):
    assert original(toy(README[0])) == 2
    assert "did you mean files_f_s_d_5_0_k.csv" in capsys.readouterr().err
    assert original(toy(README[0].replace("fssd50k", "f_s_d_5_0_k"))) == 0
    assert only_run(here)[1].source == "data/files_f_s_d_5_0_k.csv"


def test_the_readmes_steps_lead_from_recordings_to_a_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    write_sounds(tmp_path / "local/fsd50k/FSD50K.dev_audio", 4, seconds=0.5)
    assert original(words(CONVERT)) == 0
    assert "4 files converted" in capsys.readouterr().out
    made = sorted(path.relative_to(tmp_path / "data").as_posix() for path in (tmp_path / "data").rglob("*.npy"))
    write_list(tmp_path / "data" / "files_f_s_d_5_0_k.csv", made)
    assert original(toy("python train_audio.py --dataset data/files_f_s_d_5_0_k.csv")) == 0


@pytest.mark.parametrize("line", SUPERB, ids=lambda line: " ".join(line.split()[:3]))
def test_lines_of_superb_reach_its_programs_and_name_what_is_missing(line, here, monkeypatch, capsys):
    monkeypatch.setenv("AURICLE_DATASETS", "elsewhere")
    assert original(line.split()) == 2
    assert re.search("is not there|there is no result/downstream/m2d_vc1_1", capsys.readouterr().err)


@pytest.mark.slow
def test_torchrun_in_front_starts_the_processes_it_names(here, capfd):
    assert original(toy(GUIDE[2])) == 0
    run, config = only_run(here)
    assert config.method == "m2d-x"
    assert json.loads((run / "environment.json").read_text())["world"] == 2
    assert capfd.readouterr().out.count(f"{run.name}: 1 weight update,") == 1


@pytest.mark.slow
def test_the_command_runs_under_torchrun(here, programs):
    line = toy("python train_audio.py --dataset data/files_icbhi2017.csv --output_dir out")[1:]
    done = torchrun(programs, "-m", "auricle", "original", "m2d", *line)
    assert json.loads((here / "out" / "environment.json").read_text())["world"] == 2
    assert done.stderr.count("there is no GPU") == 1


@pytest.mark.slow
def test_ctrl_c_saves_under_torchrun_too(here):
    line = toy(
        "torchrun --nproc_per_node=2 train_audio.py --dataset data/files_icbhi2017.csv --output_dir out",
        "--epochs 9999",
    )
    words = [sys.executable, "-m", "auricle", "original", "m2d", *line]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        try:
            wait_for(lambda: len(read_log(here / "out" / "metrics.jsonl", "step")) > 3)
            os.killpg(process.pid, signal.SIGINT)
            err = process.communicate(timeout=PATIENCE)[1]
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130, err[-2000:]
    assert "saving at the next weight update" in err
    rows = read_log(here / "out" / "metrics.jsonl", "step")
    saved = CheckpointStore(here / "out" / "checkpoints").checkpoints()[-1]
    assert int(saved.name.removeprefix("step-")) == rows[-1]["step"] + 1


def wait_for(there, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.2)


def test_a_run_is_continued_by_our_own_verb(here):
    line = "python train_audio.py --dataset data/files_icbhi2017.csv --output_dir out --stop_at 1"
    assert original(toy(line, "--epochs 3")) == 0
    assert main(["pretrain", "--continue", "out", "--stop-at", "0", "--allow", "stop_at", "--quiet"]) == 0
    assert [json.loads(row)["epoch"] for row in (here / "out" / "log.txt").read_text().splitlines()] == [0, 1, 2]
    assert (here / "out" / "checkpoint-3.pth").is_file()


def test_what_cannot_run_is_refused_before_any_process_is_started(here, capsys):
    for line, said in (
        ("torchrun --nproc_per_node=2 train_audio.py --csv_main data/files_icbhi2016.csv", "files_icbhi2017.csv"),
        ("torchrun --nproc_per_node=2 train_audio.py --resume m2d/checkpoint-300.pth", "no run or weight file"),
        ("train_audo.py", "did you mean train_audio"),
        ("torchrun --nproc_per_node=2", "name a script"),
    ):
        assert original(words(line)) == 2
        err = capsys.readouterr().err
        assert said in err
        assert "Traceback" not in err


def test_missing_published_weights_are_named_with_their_address(here, capsys):
    folder = "m2d_vit_base-80x200p16x4-230529"
    for option in ("--resume", "--model m2d_x_vit_base --teacher"):
        assert main(["original", "m2d", "train_audio.py", *f"{option} {folder}/checkpoint-300.pth".split()]) == 2
        assert f"download and unpack https://github.com/nttcslab/m2d/releases/download/v0.1.0/{folder}.zip" in (
            capsys.readouterr().err
        )


def test_a_list_without_rows_is_refused_with_advice(here, capsys):
    (here / "data" / "files_new.csv").write_text("file_name\n")
    assert original(words("python train_audio.py --dataset data/files_new.csv")) == 2
    assert "auricle prepare list FOLDER --out data/files_new.csv --overwrite --root data" in capsys.readouterr().err
    assert main(["prepare", "list", "data/fsd50k_lms", "data/files_new.csv", "--overwrite", "--root", "data"]) == 0
    assert original(toy("python train_audio.py --dataset data/files_new.csv")) == 0


def test_a_second_run_of_the_same_name_is_not_mixed_with_the_first(here, capsys):
    line = toy("python train_audio.py --dataset data/files_icbhi2017.csv")
    assert original(line) == 0
    assert original(line) == 2
    assert "holds a run already" in capsys.readouterr().err


def test_scripts_of_the_working_directory_are_called_with_the_checkpoints(here):
    (here / "quick_eval.sh").write_text('echo "$1" >> seen.txt\n')
    (here / "all_eval.sh").write_text('echo "all $1" >> seen.txt\n')
    line = "python train_audio.py --dataset data/files_icbhi2017.csv --save_freq 2 --eval_after 2 --output_dir out"
    assert original(toy(line, "--epochs 4")) == 0
    assert (here / "seen.txt").read_text().split() == [
        "out/checkpoint-2.pth", "all", "out/checkpoint-4.pth",
    ]  # fmt: skip


def test_spectrograms_at_32_khz_are_named_by_sr(here):
    spectrograms(here / "data", ["high/0.npy", "high/1.npy"])
    write_list(here / "data" / "files_high.csv", ["high/0.npy", "high/1.npy"])
    assert original(toy("python train_audio.py --dataset data/files_high.csv --sr 32k")) == 0
    assert auricle.load(only_run(here)[0]).info.sample_rate == 32000
