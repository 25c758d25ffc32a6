"""The options of M2D's programs: names, defaults and meanings ([m2d 5.1](docs/specification/m2d.md#s5-1))."""

from __future__ import annotations

import re
import signal
import subprocess
import sys

import pytest

from auricle.compat.lines import ShellLine, parse_shell_line, wait_for
from auricle.compat.m2d.options import (
    ABSENT,
    AUDIOSET,
    GENERAL,
    MAE,
    OPTIONS,
    PROGRAMS,
    SPEECH,
    defaults_of,
    parse_options,
    without_effect,
)
from auricle.compat.m2d.settings import map_options
from auricle.core.errors import AuricleError
from auricle.hub.pickles import write_pickle
from helpers.paths import ROOT

NOT_IN_THE_TABLE = {"eval_freq", "norm_pix_loss", "force_start_epoch", "no_pin_mem"}  # named inside other rows


def config(program: str, line: str = ""):
    return map_options(program, parse_options(program, line.split())).config


def table(shared) -> dict[str, list[str]]:
    """Option -> its cells in the specification: default, AS, S, MAE."""
    text = (shared / "reference" / "m2d.md").read_text().split("### 5.1")[1].split("### 5.2")[0]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in re.findall(r"^\| --.*$", text, re.M)]
    found = {}
    for names, *cells in rows:
        for name in re.findall(r"--([\w-]+)", names):
            found[name] = cells[:4]
    return found


def test_every_option_of_the_specification_exists_with_the_defaults_of_each_program(shared):
    cells = table(shared)
    assert {option.name for option in OPTIONS} - NOT_IN_THE_TABLE <= cells.keys()
    assert cells.keys() <= {option.name for option in OPTIONS}
    for option in OPTIONS:
        row = cells.get(option.name, [])
        for program, cell in zip(PROGRAMS, row):
            own = cell or row[0]
            if re.fullmatch(r"[\d.e-]+|\d+x\d+|\w+_base|16k|norm_mse|adamw|cuda|data(/.*)?", own):
                assert str(defaults_of(program)[option.name]) == str(option.kind(own)), (option.name, program)
            elif own == "absent":
                assert option.name not in defaults_of(program)


def test_the_page_for_m2ds_users_names_every_option_with_its_defaults():
    page = (ROOT / "docs" / "coming-from" / "m2d-commands.md").read_text()
    for option in OPTIONS:
        row = next(line for line in page.splitlines() if line.startswith(f"| `--{option.name}` |"))
        for program, cell in zip(PROGRAMS, row.split("|")[2:6]):
            value = option.default_of(program)
            assert (value is ABSENT) == (cell.strip() == "–"), (option.name, program)
            if option.kind in (int, float) and isinstance(value, (int, float)):
                assert float(cell) == value


@pytest.mark.parametrize(
    ("program", "epochs", "warmup", "mask", "save", "input_size", "method"),
    [
        (GENERAL, 300, 20, 0.7, 100, "80x608", "m2d"),
        (AUDIOSET, 300, 20, 0.7, 100, "80x608", "m2d-as"),
        (SPEECH, 1000, 60, 0.6, 500, "80x208", "m2d-s"),
        (MAE, 200, 20, 0.75, 50, "80x208", "msm-mae"),
    ],
)
def test_a_bare_line_has_the_programs_own_settings(program, epochs, warmup, mask, save, input_size, method):
    ours = config(program)
    assert (ours.method, ours.model.input_size, ours.model.embed_dim, ours.model.depth) == (method, input_size, 768, 12)
    assert (ours.train.epochs, ours.train.warmup_epochs, ours.train.save_freq) == (epochs, warmup, save)
    assert (ours.objective.mask_ratio, ours.train.batch_size, ours.train.clip_grad) == (mask, 512, 3.0)
    assert ours.out == "published"
    assert ours.published_files
    decoder = (384, 4, 6) if program == MAE else (512, 8, 16)
    assert (ours.predictor.decoder_embed_dim, ours.predictor.decoder_depth, ours.predictor.decoder_num_heads) == decoder
    assert ours.objective.norm_targets is (program != MAE)


def test_dataset_is_another_name_of_csv_main_everywhere():
    for program in PROGRAMS:
        assert config(program, "--dataset data/files_mine.csv").source == "data/files_mine.csv"
        assert config(program, "--csv_main=data/files_mine.csv").source == "data/files_mine.csv"


def test_options_reach_the_settings_that_mean_the_same():
    line = (
        "--decoder_depth 4 --input_size 80x304 --patch_size 8x8 --mask_ratio 0.6 --ema_decay_init .9 --ema_decay .99 "
        "--loss_fn mse --target_layers [0,3,11] --no_norm_pix_loss --cont_mask 10 --weight_decay .1 --clip_grad 1 "
        "--optim sgd --blr 1e-3 --min_lr 1e-6 --warmup_epochs 5 --data_path /fast --csv_bg_noise n.csv --noise_ratio .2 "
        "--min_ds_size 7 --output_dir out --seed 9 --resume r.pth --stop_at 50 --csv_val v.csv --sr 32k --accum_iter 2 "
        "--eval_after 70 --save_freq 30 --force_start_epoch 3"
    )
    ours = config(GENERAL, line)
    assert (ours.predictor.decoder_depth, ours.model.input_size, ours.model.patch_size) == (4, "80x304", "8x8")
    objective = ours.objective
    assert (objective.mask_ratio, objective.ema_decay_init, objective.ema_decay) == (0.6, 0.9, 0.99)
    assert (objective.loss_fn, objective.target_layers, objective.norm_targets) == ("mse", (0, 3, 11), False)
    assert objective.cont_mask == 10
    train = ours.train
    assert (train.weight_decay, train.clip_grad, train.optim, train.blr, train.min_lr) == (0.1, 1, "sgd", 1e-3, 1e-6)
    assert (train.warmup_epochs, train.seed, train.stop_at, train.accum_iter) == (5, 9, 50, 2)
    assert (train.eval_after, train.eval_freq, train.save_freq, train.start_epoch) == (70, 30, 30, 3)
    data = ours.data
    assert (data.data_path, data.csv_bg_noise, data.noise_ratio) == ("/fast", "n.csv", 0.2)
    assert (data.crops.min_ds_size, data.stored_front_end) == (7, "m2d-logmel/32k")
    assert (ours.out, ours.resume, ours.valid, ours.model.sample_rate) == ("out", "r.pth", "v.csv", 32000)


def test_crops_draw_every_start_and_short_clips_are_filled_with_zeros():
    crops = config(GENERAL).data.crops
    assert (crops.published_crop, crops.short, crops.crop) == (False, "zeros", "random")


def test_statistics_are_given_to_the_mae_program_only():
    assert config(MAE, "--norm_stats [-7.1,4.2]").data.norm_stats == (-7.1, 4.2)
    line = parse_options(GENERAL, ["--norm_stats", "[-7.1,4.2]"])
    assert map_options(GENERAL, line).config.data.norm_stats == ()
    assert "measured on the data" in "".join(without_effect(line, GENERAL))
    with pytest.raises(AuricleError, match="a mean and a standard deviation"):
        config(MAE, "--norm_stats high")


@pytest.mark.parametrize(
    ("program", "word", "said"),
    [
        (GENERAL, "--dist_url env://", "torchrun sets"),
        (GENERAL, "--local-rank 0", "torchrun sets"),
        (GENERAL, "--world_size=2", "torchrun sets"),
        (GENERAL, "--no_pin_mem", "pinned"),
        (AUDIOSET, "--teacher x.pth", "labels as the second target"),
        (AUDIOSET, "--min_ds_size 5", "ignores it"),
        (SPEECH, "--swap_inputs", "no effect in the original"),
        (MAE, "--patch_size 8x8", "16x16"),
        (MAE, "--decoder_depth 8", "4 blocks"),
    ],
)
def test_options_without_a_meaning_are_accepted_and_reported(program, word, said):
    assert said in "".join(without_effect(parse_options(program, word.split()), program))
    assert config(program, word).method in ("m2d", "m2d-as", "m2d-s", "msm-mae")


@pytest.mark.parametrize(
    ("program", "line", "said"),
    [
        (GENERAL, "--mask_ration 0.7", "did you mean mask_ratio"),
        (SPEECH, "--bf16", "train_speech has no --bf16"),
        (MAE, "--loss_off 1", "only other programs have it"),
        (GENERAL, "--epochs many", "invalid int value"),
        (GENERAL, "twelve", "options only"),
        (GENERAL, "--model m2d_vit_bass", "did you mean m2d_vit_base"),
        (GENERAL, "--model m2d_clap_vit_base", "Auricle does not train M2D-CLAP"),
        (GENERAL, "--model m2d_vit_base_encoder_only", "use m2d_vit_base"),
        (GENERAL, "--model m2d_as_vit_base", "trained by train_as"),
        (GENERAL, "--model m2d_x_vit_base --loss_off 1", "add --teacher"),
        (GENERAL, "--loss_off 1", "m2d_x model and --teacher"),
        (GENERAL, "--sr 44k", "16k or 32k"),
    ],
)
def test_options_unknown_to_the_original_are_refused_with_a_message(program, line, said):
    with pytest.raises(AuricleError, match=said):
        config(program, line)


def test_scripts_of_the_working_directory_or_evars_data_determine_the_evaluation(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVAR", raising=False)
    bare = map_options(GENERAL, parse_options(GENERAL, []))
    assert (bare.config.quick_eval, bare.config.all_eval) == (None, None)
    assert "no evaluations during training" in "".join(bare.notes)
    (tmp_path / "quick_eval.sh").touch()
    assert (config(GENERAL).quick_eval, config(GENERAL).all_eval) == ("quick_eval.sh", None)
    monkeypatch.setenv("EVAR", str(tmp_path))
    assert (config(GENERAL).quick_eval, config(GENERAL).all_eval) == ("quick_eval.sh", "all")
    assert (config(MAE).quick_eval, config(MAE).all_eval) == (None, None)


def test_networks_have_the_published_sizes():
    for name, program, size in (
        ("m2d_vit_large", GENERAL, (1024, 24, 512)),
        ("m2d_d2v_vit_base", GENERAL, (768, 12, 512)),
        ("mae_vit_base", MAE, (768, 12, 512)),
        ("msm_mae_vit_large", MAE, (1024, 24, 384)),
        ("m2d_vit_base", SPEECH, (768, 12, 512)),
    ):
        ours = config(program, f"--model {name}")
        assert (ours.model.embed_dim, ours.model.depth, ours.predictor.decoder_embed_dim) == size


def test_speech_and_mae_go_on_at_the_epoch_of_the_file_resumed(tmp_path):
    write_pickle({"model": {}, "epoch": 30}, tmp_path / "checkpoint-30.pth")
    for program, epoch in ((SPEECH, 30), (MAE, 30), (GENERAL, 0), (AUDIOSET, 0)):
        assert config(program, f"--resume {tmp_path}/checkpoint-30.pth").train.start_epoch == epoch
    line = parse_options(GENERAL, ["--start_epoch", "5"])
    found = map_options(GENERAL, line)
    assert found.config.train.start_epoch == 0
    assert "--force_start_epoch" in "".join(found.notes)
    assert config(SPEECH, "--start_epoch 5").train.start_epoch == 5


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("train_audio.py --seed 1", ShellLine(script="train_audio", args=("--seed", "1"))),
        ("python3 -m audioset.train_as", ShellLine(script="train_as")),
        ("python ./speech/train_speech.py", ShellLine(script="train_speech")),
        (
            "A=1 B= torchrun --nproc_per_node=4 -m train_audio -x",
            ShellLine({"A": "1", "B": ""}, ("--nproc_per_node=4",), "train_audio", ("-x",)),
        ),
        (
            "torchrun --nproc-per-node 2 --standalone m2d/train_audio.py",
            ShellLine(launch=("--nproc-per-node", "2", "--standalone"), script="train_audio"),
        ),
        (
            "env A=1 python -m torch.distributed.launch --nproc_per_node 2 mae_train_audio.py",
            ShellLine({"A": "1"}, ("--nproc_per_node", "2"), "mae_train_audio"),
        ),
        ("bash (your m2d)/util/ft-spc.sh x 3", ShellLine(script="ft-spc.sh", args=("x", "3"))),
        ("", ShellLine()),
    ],
)
def test_lines_are_parsed_into_environment_launcher_script_and_arguments(line, found):
    assert parse_shell_line(line.split()) == found


def test_a_launcher_that_is_interrupted_is_wait_for(monkeypatch):
    code = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: exit(0)); print('ready', flush=True); time.sleep(300)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        wait, steps = process.wait, iter([lambda: signal.raise_signal(signal.SIGINT), process.terminate])

        def interrupted() -> int:
            next(steps)()
            return wait()

        with monkeypatch.context() as patch:
            patch.setattr(process, "wait", interrupted)
            assert wait_for(process) == 130
        assert next(steps, None) is None  # it was waited for again, and only then did it end
    assert process.returncode == 0
