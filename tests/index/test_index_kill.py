"""Processes that fill an index are killed at any moment, or work at once: nothing acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from auricle.index.database import SoundIndex
from helpers.indexes import assert_same, content, fill, recording
from helpers.patience import PATIENCE

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")]


def worker(programs, mode: str, folder, number: int) -> dict:
    """What ``helpers.indexes`` prints as a script."""
    command = [str(programs / "python"), "-m", "helpers.indexes", mode, str(folder), str(number)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=PATIENCE, env=environment)
    assert result.returncode == 0
    return json.loads(result.stdout)


def test_thirty_kills_lose_nothing_and_the_index_becomes_that_of_one_run(tmp_path, programs):
    told = worker(programs, "killed", tmp_path, 30)
    assert told["kills"] == 30
    assert told["acknowledged"] > 0
    fill(tmp_path / "INDEX", tmp_path / "sounds")
    fill(tmp_path / "whole", tmp_path / "sounds")
    assert_same(tmp_path / "INDEX", tmp_path / "whole")
    index = SoundIndex.open(tmp_path / "INDEX")
    assert len(index.store) == len(index)  # vectors of killed processes are removed


def test_three_processes_fill_one_index_and_read_each_recording_once(tmp_path, programs):
    for number in range(24):
        recording(tmp_path / "sounds" / f"{number}.wav", 1.0, 200.0 + 10 * number, number)
    reports = worker(programs, "together", tmp_path, 3)["reports"]
    assert sum(report["new"] for report in reports) == 24
    assert all(report["new"] + report["others"] == 24 for report in reports)
    assert len(content(tmp_path / "INDEX")) == 24 * 3
    fill(tmp_path / "whole", tmp_path / "sounds")
    assert_same(tmp_path / "INDEX", tmp_path / "whole")
