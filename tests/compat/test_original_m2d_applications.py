"""The lines of M2D's medical applications, run on tiny copies of the data sets."""

from __future__ import annotations

import csv
import json

import pytest

import auricle
from auricle.cli.main import main
from auricle.compat.m2d.applications import application_runs
from auricle.core.errors import AuricleError
from auricle.hub.run_folder import RunFolder
from auricle.methods.registry import read_settings
from helpers.original_m2d import checkpoint, words
from helpers.published_sets import TINY_SETS

TOY = "-- --epochs 1 --batch-size 4 --workers 0 --seconds 1 --warmup-epochs 0"


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with two checkpoints of toy size and the data sets in ``data``."""
    monkeypatch.chdir(tmp_path)
    for sizes in (("80x200", "16x4"), ("80x608", "16x16")):
        checkpoint(tmp_path / f"m2d_vit_base-{'p'.join(sizes)}-toy" / "checkpoint-300.pth", *sizes)
    for name in ("icbhi", "sprsound", "circor"):
        TINY_SETS[name].make(tmp_path / "data" / name)
    with_normal_sounds(tmp_path / "data")
    return tmp_path


def with_normal_sounds(data):
    """Add a normal sound to the test parts, without which there is no specificity."""
    with next((data / "icbhi").rglob("102_*.txt")).open("a") as file:
        file.write("0.0\t0.2640\t0\t0\n")
    (events,) = (data / "sprsound" / "test_json" / "inter_test_json").glob("*.json")
    content = json.loads(events.read_text())
    content["event_annotation"].append({"start": "600", "end": "900", "type": "Normal"})
    events.write_text(json.dumps(content))


def config_of(run):
    return read_settings(RunFolder.open(run).read_config(), "the test")


@pytest.mark.parametrize(
    ("line", "table", "columns"),
    [
        ("eval_icbhi.sh WEIGHT 2 1e-4", "icbhi-scores.csv", ("best_sp", "best_se", "best_icbhi_score")),
        ("eval_sprs.sh WEIGHT 1", "sprs-scores.csv", ("best_sp", "best_se", "best_icbhi_score")),
    ],
)
def test_respiratory_lines_run_and_keep_their_scores(line, table, columns, here):
    weight = "m2d_vit_base-80x200p16x4-toy/checkpoint-300.pth"
    assert main(["original", "m2d", *words(f"bash {line.replace('WEIGHT', weight)} {TOY} --slices 3")]) == 0
    rows = list(csv.DictReader((here / "results" / table).open()))
    assert list(rows[0]) == ["model", *columns, "report", "args"]
    assert len(rows) == int(line.split()[2])
    configs = [config_of(row["report"]) for row in rows]
    assert [config.train.seed for config in configs] == list(range(1, len(rows) + 1))
    assert configs[0].train.lr == (1e-4 if "icbhi" in line else 5e-6)
    assert all(0 <= float(rows[0][column]) <= 1 for column in columns)
    assert auricle.load(rows[0]["report"]).info.front_end == "decibel-mel/16k"


def test_the_line_of_heart_murmurs_scores_patients(here):
    line = "bash m2d_ftcircor.sh m2d_vit_base-80x608p16x16-toy 2 1 7 300"
    assert main(["original", "m2d", *words(f"{line} {TOY}")]) == 0
    (row,) = csv.DictReader((here / "results" / "circor-scores.csv").open())
    assert (row["task"], row["weight_file"]) == ("circor2", "m2d_vit_base-80x608p16x16-toy/checkpoint-300.pth")
    assert config_of(row["report"]).train.seed == 8
    assert {"wacc", "uar", "r_Present", "r_Unknown", "r_Absent", "run_id"} <= row.keys()


def test_arguments_that_a_script_does_not_take_are_refused():
    assert [run.values["lr"] for run in application_runs("eval_icbhi.sh", ["W"])] == [5e-5] * 3
    with pytest.raises(AuricleError, match=r"invalid choice: 4"):
        application_runs("m2d_ftcircor.sh", ["F", "4", "1", "7", "300"])
    with pytest.raises(AuricleError, match="the following arguments are required: weight"):
        application_runs("eval_sprs.sh", [])
