"""``python -m benchmarks.gpu_card`` runs on a CPU with ``--dry-run``, whatever its figures there, and goes on where it was cut."""

from __future__ import annotations

import json

import pytest
import torch
from benchmarks.gpu_card.__main__ import LIGHT, finished, main


@pytest.mark.slow
def test_the_dry_run_measures_every_part_once(tmp_path, capsys):
    """The second call finds its parts, of which the last was cut, and measures that one alone."""
    parts = [name for name in LIGHT if name != "train with labels"]
    assert main(["--dry-run", "--out", str(tmp_path), "--parts", *parts]) == 0
    file = tmp_path / "gpu_card.jsonl"
    lines = file.read_text().splitlines()
    assert [json.loads(line)["part"] for line in lines] == parts
    assert all(json.loads(line)["rows"] for line in lines)
    file.write_text("\n".join([*lines[:-1], lines[-1][:20]]) + "\n")
    capsys.readouterr()
    assert main(["--dry-run", "--out", str(tmp_path), "--parts", *parts]) == 0
    said = capsys.readouterr()
    assert said.err.split() == [parts[-1], "…"]
    assert all(f"**{name}**" in said.out for name in parts)
    assert finished(file, "another card") == {}


@pytest.mark.slow
def test_the_dry_run_takes_steps_of_training(tmp_path, capsys):
    assert main(["--dry-run", "--out", str(tmp_path), "--parts", "train with labels"]) == 0
    assert "| mn10 | auricle |" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_it_says_so(tmp_path, capsys):
    assert main(["--out", str(tmp_path / "none")]) == 2
    assert "--dry-run" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
