"""Whole training runs of EfficientAT's programs, of both generations, are repeated with their recorded draws."""

from __future__ import annotations

from statistics import median

import pytest
import torch

from helpers.efficientat_training import FOLDER, Replay, golden_json
from helpers.golden_files import close, read_golden
from tolerances import TOLERANCES

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FOLDER.is_dir(), reason="the golden runs stand beside the project only"),
]
RUNS = golden_json("runs.json")
RATES = ("learning_rate", "features_lr", "classifier_lr", "last_layer_lr")
# Largest relative difference of the length of an update, and largest difference of a score of a few clips, one of which may change
# its place: the last digit of the mel decides (tests/tolerances.py). 92 % of the input of the longer one is digital silence.
LENGTHS = {"gen24.trajectory_dymn": 0.25}
LENGTH, MEDIAN_LENGTH, SCORE = 0.08, 0.01, 0.01
# Biases before a batch norm: their exact gradient is 0, and Adam makes a step of its rounding noise
NOISE = {"gen24.dcase20": {"features.12.block.3.1.bias"}, "gen23.dcase20": {"features.9.block.2.1.bias"}}


@pytest.mark.parametrize("name", RUNS)
def test_a_published_run_is_repeated_epoch_by_epoch(name):
    case = RUNS[name]
    run = Replay(name, case)
    for epoch, log in enumerate(case["logs"]):
        trained = run.train_epoch(epoch)
        loss = TOLERANCES["loss of a training run"].atol
        assert trained["loss"] == pytest.approx(log["train_loss"], rel=loss)
        for part in ("label_loss", "distillation_loss"):
            if part in log:
                assert trained[part] == pytest.approx(log[part], rel=loss)
        rates = {round(run.rate(epoch + 1) * group.get("lr_scale", 1.0), 15) for group in run.optimizer.param_groups}
        wanted = {round(log[key], 15) for key in RATES if key in log}
        assert wanted <= rates
        if run.case["temperatures"]:
            assert run.encoder.temperature == case["temperatures"][epoch]
        scores = run.validate()
        assert scores.pop("val_loss") == pytest.approx(log["val_loss"], rel=5e-3)
        for key, value in scores.items():
            assert value == pytest.approx(log[key], abs=SCORE)
    assert not run.draws.rest, "the program drew more"
    compare_weights(run)


def compare_weights(run: Replay) -> None:
    final, _ = read_golden(FOLDER / "runs_final.safetensors")
    state, case = run.encoder.state_dict(), run.case
    kind = f"weights after {run.name}"
    atol = TOLERANCES[kind if kind in TOLERANCES else "weights after a training run"].atol
    assert case["final_stable_tensors"]
    for name in case["final_stable_tensors"]:
        wanted = final[f"final.{run.name}.{name}"].reshape(state[name].shape)
        close(state[name], wanted, atol)
    stable = case["update_norms_that_are_stable"].items()
    wanted = {name: norm for name, norm in stable if name not in NOISE.get(run.name, ())}
    lengths = {name: float((state[name] - run.start[name]).norm()) for name in wanted}
    assert lengths == pytest.approx(wanted, rel=LENGTHS.get(run.name, LENGTH))
    assert median(abs(lengths[name] / norm - 1) for name, norm in wanted.items()) < MEDIAN_LENGTH
    counters = {int(value) for name, value in state.items() if name.endswith("num_batches_tracked")}
    assert counters == {case["num_batches_tracked"]}
    assert all(torch.isfinite(value).all() for value in state.values())
