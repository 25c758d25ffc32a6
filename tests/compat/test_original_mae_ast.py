"""The published command lines of MAE-AST, pasted: they train, at toy size; every name is mapped, said, or refused."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import yaml

from auricle.cli.flags import leaves
from auricle.cli.main import main
from auricle.compat.lines import parse_hydra_line
from auricle.compat.mae_ast.names import FIXED, NAMES, PUBLISHED
from auricle.compat.mae_ast.settings import ignored, map_line
from auricle.core.errors import AuricleError
from auricle.hub.run_folder import RunFolder
from auricle.methods.mae_ast.config import MAEASTPretrain
from auricle.training.log import read_log
from helpers.mae_ast_runs import lists
from helpers.paths import ROOT

PAGE = ROOT / "docs/coming-from/mae-ast.md"
RECIPE = """fairseq-hydra-train \\
  {config} common.user_dir=/path/to/MAE-AST-Public/mae_ast task.data={data} model._name=mae_ast criterion._name=mae_ast \\
  model.encoder_layers=12 model.decoder_layers=2 \\
  model.random_mask_prob={prob} task.mask_type="{mask}" \\
  model.ast_kernel_size_chan={chan} model.ast_kernel_size_time={time} \\
  model.ast_kernel_stride_chan={chan} model.ast_kernel_stride_time={time} \\
  criterion.classification_weight=1 criterion.reconstruction_weight=10 \\
  distributed_training.distributed_world_size=1 distributed_training.nprocs_per_node=1 \\
  common.log_interval=200 checkpoint.save_interval_updates=25000 \\
  optimization.max_update=550000 dataset.max_tokens=8388608 optimization.lr=[0.0001]\\
  hydra.run.dir={out}""".replace("\\\n", "")  # as a shell joins the lines
RECIPES = {
    "patch, chunked": dict(prob=0.75, mask="chunk_mask", chan=16, time=16),
    "frame, random": dict(prob=0.75, mask="random_mask", chan=128, time=2),
    "frame, spans": dict(prob=1.45, mask="retain_spans", chan=128, time=2),
}
TOY = (
    "model.encoder_layers=1 model.decoder_layers=1 model.encoder_embed_dim=16 model.decoder_embed_dim=16 "
    "model.encoder_ffn_embed_dim=32 model.encoder_attention_heads=2 model.max_token_length=512 task.min_sample_size=4000 "
    "optimization.max_update=3 lr_scheduler.warmup_updates=1 dataset.max_tokens=40000 dataset.num_workers=0 "
    "common.log_interval=1 common.cpu=true"
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return lists(tmp_path_factory.mktemp("lists"), train=8, valid=3, test=3)


def settings(words: str, data: Path):
    return map_line(parse_hydra_line(shlex.split(f"task.data={data} {words}")))


def single(words: str, data: Path):
    return settings(f"distributed_training.distributed_world_size=1 {words}", data)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_published_lines_train_validate_and_test(data, tmp_path, recipe, capsys):
    config = tmp_path / "config"
    config.mkdir()
    (config / "mae_ast.yaml").write_text(yaml.safe_dump(nested(PUBLISHED)))
    out = tmp_path / "run"
    where = f"--config-dir {config} --config-name mae_ast"
    line = f"{RECIPE.format(config=where, data=data, out=out, **RECIPES[recipe])} {TOY}"
    assert main(["original", "mae-ast", *shlex.split(line)]) == 0
    said = capsys.readouterr()
    assert f"{out}: 3 weight updates" in said.out
    assert "accepted, has no effect (the model is built in, no code is loaded): common.user_dir" in said.err
    assert ("on clips of ten seconds (499 tokens), 2" in said.err) == (recipe == "frame, spans")
    logged = read_log(out / "metrics.jsonl", "validation")
    assert "val_loss" in logged[0]
    assert "test_loss" in logged[-1]
    assert len(read_log(out / "metrics.jsonl", "step")) == 3
    assert main(["original", "mae-ast", *shlex.split(line)]) == 0  # the same line again continues, as the original does
    assert RunFolder(out).read_config()["model"]["patch_size"] == "{chan}x{time}".format(**RECIPES[recipe])


def nested(flat: dict) -> dict:
    table: dict = {}
    for name, value in flat.items():
        group, last = name.split(".")
        table.setdefault(group, {})[last] = value
    return table


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_published_lines_mean_the_published_settings(data, recipe):
    line = RECIPE.format(config="--config-name mae_ast", data=data, out="out", **RECIPES[recipe])
    config = map_line(parse_hydra_line(shlex.split(line)[1:])).config
    train, loss, clips = config.train, config.objective, config.data
    assert (train.max_updates, train.lr, train.warmup_updates, train.clip_grad) == (550000, 1e-4, 32000, 10.0)
    assert (train.betas, train.eps, train.weight_decay, train.seed) == ((0.9, 0.98), 1e-6, 0.01, 1337)
    assert (train.save_interval_updates, train.keep_interval_updates, train.log_interval) == (25000, 1, 200)
    assert (train.validate_interval, train.validate_interval_updates, train.workers) == (5, 10000, 6)
    assert (clips.max_tokens, clips.max_sample_size, clips.min_sample_size, clips.batch_multiple) == (
        8388608,
        250000,
        32000,
        8,
    )
    assert (config.model.depth, config.model.decoder_depth, config.model.embed_dim) == (12, 2, 768)
    assert (config.model.encoder_layerdrop, config.model.dropout_input) == (0.05, 0.1)
    assert (loss.mask_type, loss.random_mask_prob) == (RECIPES[recipe]["mask"], RECIPES[recipe]["prob"])
    assert (loss.classification_weight, loss.reconstruction_weight) == (1.0, 10.0)
    assert (config.source, config.valid, config.test) == tuple(
        str(data / f"{x}.tsv") for x in ("train", "valid", "test")
    )
    assert config.out == "out"


def test_every_name_of_ours_is_a_setting():
    known = {field.name for field, *_ in leaves(MAEASTPretrain)}
    assert {row.ours for row in NAMES.values() if row.ours} <= known


def test_settings_of_ours_after_two_dashes_win(data, tmp_path):
    line = f"task.data={data} distributed_training.distributed_world_size=1 {TOY} hydra.run.dir={tmp_path / 'run'}"
    assert (
        main(["original", "mae-ast", *shlex.split(line), "--", "--max-updates", "2", "--mask-type", "mask_spans"]) == 0
    )
    saved = RunFolder(tmp_path / "run").read_config()
    assert (saved["train"]["max_updates"], saved["objective"]["mask_type"]) == (2, "mask_spans")


def test_the_measured_ratio_of_retained_spans_is_that_of_the_published_code(data):
    words = "task.mask_type=retain_spans model.random_mask_prob=1.45 model.ast_kernel_size_chan=128 "
    words += "model.ast_kernel_size_time=2 model.ast_kernel_stride_chan=128 model.ast_kernel_stride_time=2"
    (said,) = [note for note in single(words, data).notes if "clips of ten seconds" in note]
    shares = [float(part.rsplit(" ", 1)[-1]) for part in said.split("%")[:-1]]
    assert shares == pytest.approx([21.1, 27.7], abs=1.0)


def test_hydra_overrides_yaml_values_and_references_are_parsed(data, tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "# @package _group_\ntask: {feature_type: fbank, deltas: false, feature_dim: 128}\n"
        "dataset: {max_tokens: 1000000}\noptimization: {max_update: 500, lr: [3e-4]}\n"
        "optimizer: {_name: adam, adam_betas: '(0.9,0.99)', adam_eps: 1e-06}\n"
        "lr_scheduler: {_name: polynomial_decay, total_num_update: '${optimization.max_update}', lr: '${optimization.lr}'}\n"
    )
    config = settings(f"--config-dir={tmp_path} --config-name=mine +common.seed=5 ++dataset.batch_size=4", data).config
    assert (config.train.betas, config.train.eps, config.train.lr) == ((0.9, 0.99), 1e-6, 3e-4)
    assert (config.train.seed, config.train.batch_size, config.train.schedule_updates) == (5, 4, None)
    assert config.model.enc_sine_pos is False  # what the file does not say is the original's own default


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("model.encoder_layer=12", r"no setting 'model\.encoder_layer'; did you mean .*model\.encoder_layers"),
        ("dataset.max_token=5", "did you mean .*dataset.max_tokens"),
        ("modle.encoder_layers=12", "did you mean"),
        ("model.encoder_layers=twelve", "model.encoder_layers takes an integer, not 'twelve'"),
        ("task.random_crop=maybe", "takes true or false, not 'maybe'"),
        ("optimization.lr=[fast]", "takes a list of numbers"),
        ("task.feature_type=mfcc", "task.feature_type=mfcc is not supported; supported: fbank"),
        ("optimizer._name=adafactor", "optimizer._name=adafactor is not supported"),
        ("model.ast_kernel_stride_time=10", "must be equal"),
        ("optimization.max_update=0", "the run has no end"),
        ("dataset.max_tokens=null", "set dataset.max_tokens"),
        ("task.mask_type=checkerboard", "mask"),
        ("--config-name mae_ast --config-dir nowhere", "there is no nowhere/mae_ast.yaml.*without --config-dir"),
        ("--config-name mine", "--config-name mine needs --config-dir"),
        ("--cfg job", "unknown argument '--cfg'"),
        ("verbose", "unknown argument 'verbose'"),
        ("task.data=${common.nothing}", "refers to common.nothing"),
        ("optimization.lr=[0.001,0.1]", "Auricle supports one number"),
        ("dataset.valid_subset=vaild", r"holds no vaild\.tsv; did you mean valid"),
        ("optimizer.adam_betas=null", "takes a list of numbers, not null"),
        ("common.log_interval=1e400", "takes an integer"),
        ("distributed_training.distributed_world_size=16", "16 processes, 8 on each machine"),
    ],
)
def test_unknown_settings_are_refused_by_name(data, words, wanted):
    with pytest.raises(AuricleError, match=wanted):
        single(words, data)


def test_missing_folders_and_lists_are_refused(data, tmp_path, capsys):
    assert main(["original", "mae-ast", "task.data=nowhere"]) == 2
    assert "task.data: there is no folder nowhere" in capsys.readouterr().err
    assert main(["original", "mae-ast", "common.seed=1"]) == 2
    assert "set task.data=" in capsys.readouterr().err
    with pytest.raises(AuricleError, match=r"holds no train\.tsv"):
        single(f"task.data={tmp_path}", data)


def test_programs_that_are_not_available_yet_are_refused(monkeypatch, capsys):
    assert main(["original", "mae-ast", "run_superb"]) == 2
    assert "not implemented yet" in capsys.readouterr().err
    line = "python3 run_downstream.py -m train -u mae_ast_patch -d speech_commands -n first"
    monkeypatch.setenv("AURICLE_DATASETS", "elsewhere")
    assert main(["original", "mae-ast", *shlex.split(line)]) == 2
    assert "Speech Commands V1 (30 words) is not there" in capsys.readouterr().err
    assert main(["original", "mae-ast", "fairseq-train"]) == 2
    assert "unknown program 'fairseq-train'; did you mean" in capsys.readouterr().err


def test_a_run_with_other_settings_is_not_touched(data, tmp_path, capsys):
    line = f"task.data={data} distributed_training.distributed_world_size=1 {TOY} hydra.run.dir={tmp_path / 'run'}"
    assert main(["original", "mae-ast", *shlex.split(line)]) == 0
    assert main(["original", "mae-ast", *shlex.split(line), "common.seed=2"]) == 2
    assert "holds a run with other settings (train.seed)" in capsys.readouterr().err


@pytest.mark.slow
def test_a_line_for_two_processes_starts_two(data, tmp_path):
    world = "distributed_training.distributed_world_size=2 distributed_training.nprocs_per_node=2"
    line = f"fairseq-hydra-train task.data={data} {world} {TOY} hydra.run.dir={tmp_path / 'run'}"
    assert main(["original", "mae-ast", *shlex.split(line), "--", "--state-steps", "1"]) == 0
    (state, *_) = sorted((tmp_path / "run/checkpoints").glob("step-*/state.json"))
    assert json.loads(state.read_text())["where"]["world"] == 2


def test_the_page_coming_from_mae_ast_holds_every_name():
    text = PAGE.read_text()
    flags = [f"--{row.ours.replace('_', '-')}" for row in NAMES.values() if row.ours]
    missing = [name for name in (*NAMES, *FIXED, *ignored(), *flags) if f"`{name}`" not in text]
    assert not missing
