"""Rows of the results store side by side: a line per task, protocol and metric, a column per model."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from auricle.cli.main import main
from auricle.evaluation.identity import TaskIdentity
from auricle.evaluation.results import Result, ResultsStore
from auricle.evaluation.score_table import TABLE_FORMATS, ScoreTable


def row(model: str, task: str, score: float, protocol: str = "evar", **change) -> Result:
    identity = TaskIdentity(10, 2, "test", "5 s", clips=task, labels=task, split=task)
    first = Result(model, "c", task, protocol, "accuracy", score, None, {"test / 42": score}, identity=identity)
    return replace(first, **change)


ROWS = [row("a", "birds", 0.5), row("b", "birds", 0.75, std=0.125), row("a", "digits", 0.25), row("a", "birds", 0.625)]


def test_a_model_has_a_column_with_its_latest_score_of_every_line():
    found = ScoreTable.of(ROWS)
    assert found.models == ("a", "b")
    assert found.cells()[1:] == [
        ["birds", "evar", "accuracy", "0.6250", "0.7500 ± 0.1250"],
        ["digits", "evar", "accuracy", "0.2500", ""],
    ]


def test_what_does_not_compare_has_lines_and_columns_of_its_own():
    other = TaskIdentity(20, 2, "test", "5 s", clips="x", labels="x", split="x")
    rows = [
        *ROWS,
        row("a", "birds", 0.9, identity=other, fingerprint=""),
        row("a", "digits", 0.3, version="2"),
        row("b", "digits", 0.4, "hear", place="/runs/one"),
        row("b", "digits", 0.1, "hear", place="/runs/two"),
    ]
    found = ScoreTable.of(rows)
    assert [line[0].split(" [")[0] for line in found.lines] == ["birds", "digits", "birds", "digits", "digits"]
    assert [line[1] for line in found.lines] == ["evar", "evar", "evar", "evar [2]", "hear"]
    assert found.models == ("a", "b", "b in /runs/one", "b in /runs/two")
    assert ScoreTable.of([]).cells() == [["task", "protocol", "metric"]]


@pytest.mark.parametrize("style", TABLE_FORMATS)
def test_the_command_writes_the_table_in_every_format(tmp_path, style, capsys):
    store = ResultsStore(tmp_path / "results.sqlite")
    store.append([*ROWS, row("chance", "birds", 0.5, role="baseline"), row("a", "x|y\nz", 0.5)])
    line = ["results", "--store", str(store.path), "--side-by-side", "--no-baselines", "--format", style]
    assert main(line) == 0
    out = capsys.readouterr().out
    assert "chance" not in out
    if style == "json":
        first, second, _ = json.loads(out)
        assert (first["task"], first["scores"]["b"]["score"], list(second["scores"])) == ("birds", 0.75, ["a"])
    else:
        lines = out.splitlines()
        assert len(lines) == 4 + (style == "markdown")
        assert "0.7500 ± 0.1250" in out
        assert "x\\|y" in out if style == "markdown" else "x|y" in out
