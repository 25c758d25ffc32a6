"""Spread parameters (``--parallel fsdp``) train as whole ones do, in files that are the same; two processes on a CPU."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file

import auricle
from auricle.commands.pretrain import pretrain
from auricle.core.errors import AuricleError
from auricle.detectors.files import load_description
from auricle.methods.config import TrainConfig
from auricle.training.checkpoint import CheckpointStore
from auricle.training.sharding import blocks_of, check_shardable, matrix_parts, placement
from helpers import objectives
from helpers.finetune_runs import labelled_sounds, weight_file
from helpers.paths import TESTS
from helpers.sharded_steps import CASES
from helpers.stopping import logged, same, weights
from helpers.torchrun import torchrun
from helpers.training_runs import config, prepared

pytestmark = pytest.mark.xdist_group("sharding")  # the runs are made once

RUNS = str(TESTS / "helpers" / "sharded_runs.py")

FLOAT32 = (
    "m2d:float32:lamb", "m2d:float32:lars", "m2d-x:float32:adamw", "mae-ast patch-chunk:float32:adam",
    "distillation:float32:adamw", "mn:float32:sgd",
)  # fmt: skip
BF16 = ("recomputed:bf16:adamw", "supervised:bf16:adamw", "mae-ast patch-chunk:bf16:adam")
LAYERDROP = "layerdrop:float32:adam"


@pytest.fixture(scope="module")
def runs(tmp_path_factory, programs):
    """What one launch of ``helpers.sharded_runs`` left."""
    folder = tmp_path_factory.mktemp("runs")
    prepared(folder / "data", clips=16)
    labelled_sounds(folder / "sounds")
    weight_file(folder, "m2d")
    names = ("whole", "spread", "terminated", "changing", "labels", "unequal", "overflow", *FLOAT32, *BF16, LAYERDROP)
    torchrun(programs, RUNS, str(folder), *names)
    return folder


@pytest.fixture(scope="module")
def steps(runs):
    """Three weight updates of objectives, by DDP and with spread parameters."""
    return json.loads((runs / "steps.json").read_text())


def differences(measured: dict) -> tuple[float, float]:
    """Largest relative differences of the losses and of the norms of the gradient."""
    pairs = (measured["losses"], measured["norms"])
    return tuple(max(abs(a - b) / abs(a) for a, b in zip(*pair)) for pair in pairs)


def optimizer_state(run):
    return load_file(CheckpointStore(run / "checkpoints").checkpoints()[0] / "optimizer.safetensors")


# ---- weight updates


@pytest.mark.slow
@pytest.mark.parametrize("case", FLOAT32)
def test_updates_are_those_of_ddp(steps, case):
    loss, norm = differences(steps[case])
    assert loss < 1e-6
    assert norm < 1e-5
    assert steps[case]["moments"] < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("case", BF16)
def test_in_bf16_the_first_loss_is_that_of_autocast_and_updates_round_alike(steps, case):
    measured = steps[case]
    assert measured["losses"][0][0] == measured["losses"][1][0]
    loss, norm = differences(measured)
    assert loss < 2e-3
    assert norm < 2e-3


@pytest.mark.slow
def test_each_process_holds_half_of_the_parameters_and_moments(steps):
    for case, measured in steps.items():
        for whole, spread in measured["held"]:
            for all_bytes, held in zip(whole, spread):
                assert 0.45 * all_bytes < held < 0.55 * all_bytes, case


@pytest.mark.slow
def test_whole_state_comes_back_to_the_bit(steps):
    assert all(measured["restored"] for measured in steps.values())


@pytest.mark.slow
def test_processes_skip_the_same_blocks(steps):
    """Layerdrop: one that skipped blocks of its own would wait for the other for ever."""
    losses = steps[LAYERDROP]["losses"][1]
    assert all(0 < loss < 100 for loss in losses)


# ---- runs


@pytest.mark.slow
def test_a_run_is_that_of_ddp(runs):
    """Losses, norms, checks of the targets, the spectrum of the features and scores of callbacks; weights and moments."""
    kinds = ("step", "health", "epoch", "evaluation")
    for kind in kinds:
        one, other = (logged(runs / name, kind) for name in ("whole", "spread"))
        assert one
        for a, b in zip(one, other, strict=True):
            numbers = [name for name, value in a.items() if isinstance(value, (int, float))]
            assert all(b[name] == pytest.approx(a[name], rel=1e-4, abs=1e-6) for name in numbers)
    one, other = weights(runs / "whole"), weights(runs / "spread")
    assert one.keys() == other.keys()
    for name, value in one.items():  # where a gradient is nothing but rounding, AdamW turns it into a step of the rate
        torch.testing.assert_close(other[name], value, atol=3e-4, rtol=1e-4, msg=name)
    one, other = optimizer_state(runs / "whole"), optimizer_state(runs / "spread")
    assert one.keys() == other.keys()
    assert max(float((other[name] - value).abs().max()) for name, value in one.items()) < 1e-6


@pytest.mark.slow
def test_a_run_that_was_asked_to_end_continues_to_the_same_bits(runs):
    same(runs / "spread", runs / "terminated")


@pytest.mark.slow
def test_a_killed_process_changes_no_bit(runs, programs):
    torchrun(programs, RUNS, str(runs), "killed", restarts=1)
    same(runs / "spread", runs / "killed")


@pytest.mark.slow
def test_a_run_may_change_between_whole_and_spread(runs):
    one, other = weights(runs / "whole"), weights(runs / "changing")
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, atol=3e-4, rtol=1e-4, msg=name)
    assert "parallel: ddp" in (runs / "changing/config.yaml").read_text()


@pytest.mark.slow
def test_saved_encoders_are_the_gathered_ones(runs):
    saved = {
        name.removeprefix("online."): value for name, value in weights(runs / "spread").items() if "online." in name
    }
    encoder = auricle.load(runs / "spread").state_dict()
    assert all(torch.equal(encoder[name], value) for name, value in saved.items() if name in encoder)
    assert len(saved.keys() & encoder.keys()) > 20
    for name in ("encoder-best.safetensors", "encoder-epoch2.safetensors"):
        pair = [auricle.load(runs / run / name).state_dict() for run in ("whole", "spread")]
        for key, value in pair[0].items():
            torch.testing.assert_close(pair[1][key], value, atol=3e-4, rtol=1e-4, msg=key)


@pytest.mark.slow
def test_learning_labels_is_that_of_ddp_and_ends_as_a_detector(runs):
    for kind in ("step", "validation"):
        one, other = (logged(runs / f"labels-{name}", kind) for name in ("whole", "spread"))
        for a, b in zip(one, other, strict=True):
            numbers = [name for name, value in a.items() if isinstance(value, float)]
            assert all(b[name] == pytest.approx(a[name], rel=1e-4) for name in numbers)
    for name in ("encoder.safetensors", "encoder-last.safetensors"):
        pair = [auricle.load(runs / f"labels-{run}" / name).state_dict() for run in ("whole", "spread")]
        for key, value in pair[0].items():
            torch.testing.assert_close(pair[1][key], value, atol=1e-6, rtol=1e-5, msg=key)
    described = [load_description(runs / f"labels-{run}") for run in ("whole", "spread")]
    assert described[0]["scores"] == described[1]["scores"]


@pytest.mark.slow
def test_batches_of_unequally_many_chunks_are_refused_on_all_processes(runs):
    told = json.loads((runs / "unequal.json").read_text())
    assert "equally many chunks on all processes, here they take 1 and 2" in told[0]
    assert told[0] == told[1]


@pytest.mark.slow
def test_an_overflow_on_one_process_skips_the_update_on_all(runs):
    """As fp16 training on GPUs finds it: the scale of the loss falls everywhere."""
    assert json.loads((runs / "overflow.json").read_text()) == [{"scale": 4.0, "skipped": True}] * 2


# ---- what is spread together, and what is refused


def test_blocks_of_encoder_predictor_and_target_are_units():
    objective = objectives.m2d()
    names = {module: name for name, module in objective.named_modules()}
    found = [names[block] for block in blocks_of(objective)]
    assert found == [
        "online.transformer.blocks.0", "online.transformer.blocks.1", "predictor.transformer.blocks.0", "target.blocks.0",
        "target.blocks.1",
    ]  # fmt: skip
    assert [names[part].rpartition(".")[2] for part in matrix_parts(blocks_of(objective)[0])] == ["attn", "mlp"]


@pytest.mark.parametrize("name", ["mn", "dymn"])
def test_stages_of_convolutions_are_units_in_float32(name):
    """Their batch norms are inside of their parts; the first and the last stage are one convolution and its norm."""
    blocks = blocks_of(CASES[name][0]())
    assert len(blocks) == 17
    assert not any(matrix_parts(block) for block in blocks[1:-1])


def test_a_first_axis_that_is_too_short_is_not_cut():
    assert placement(2, torch.zeros(1, 1, 4, 3)).dim == 2
    assert placement(2, torch.zeros(3, 4)).dim == 0
    assert placement(4, torch.zeros(1, 3)).dim == 0


def test_one_process_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(AuricleError, match="torchrun"):
        pretrain(config(prepared(tmp_path / "data"), tmp_path / "run", parallel="fsdp"), quiet=True)
    assert not (tmp_path / "run").exists()


def test_settings_that_do_not_go_together_are_refused():
    with pytest.raises(AuricleError, match="--compile"):
        TrainConfig(parallel="fsdp", compile=True)
    with pytest.raises(AuricleError, match="--batch-size"):
        TrainConfig(parallel="fsdp", batch_size=None)


def test_layers_that_join_later_are_refused():
    objective = objectives.supervised()
    objective.unfreezes = True
    with pytest.raises(AuricleError, match="--unfreeze-epochs"):
        check_shardable(objective)


def test_a_parameter_of_a_single_number_is_named():
    objective = objectives.supervised()
    objective.online.scale = torch.nn.Parameter(torch.tensor(1.0))
    with pytest.raises(AuricleError, match=r"online\.scale"):
        check_shardable(objective)
