"""Files written by the first edition load, give the same numbers, and continue.

``tests/fixtures/first_edition/README.md`` lists the files and how they were made. The tests use only the command line and
``auricle.load``, as users do.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

import auricle
from helpers.patience import PATIENCE

FILES = Path(__file__).resolve().parent / "fixtures" / "first_edition"
EXPECTED = json.loads((FILES / "expected.json").read_text(encoding="utf-8"))


def waveform(rate: int) -> torch.Tensor:
    """(1, S): 1.3 s of three tones whose loudness changes."""
    time = np.arange(round(1.3 * rate)) / rate
    loudness = 0.3 + 0.2 * np.sin(2 * np.pi * 3 * time)
    tones = sum(np.sin(2 * np.pi * hertz * time) / (k + 1) for k, hertz in enumerate((311, 1234, 4321)))
    return torch.from_numpy((loudness * tones).astype(np.float32))[None]


def clip_and_logits(path: Path) -> tuple[torch.Tensor, torch.Tensor | None]:
    encoder = auricle.load(path)
    with torch.no_grad():
        output = encoder(waveform(encoder.info.sample_rate))
    return output.clip, output.logits


@pytest.fixture
def copy(tmp_path) -> Path:
    """A copy of the folder; commands run in it, because runs name their data by relative paths."""
    return Path(shutil.copytree(FILES, tmp_path / "first_edition"))


@pytest.fixture
def command(copy, programs):
    """Run ``auricle WORDS`` in the copy and return its standard output."""

    def run(*words: str) -> str:
        environment = {
            **os.environ,
            "AURICLE_CACHE": str(copy / "cache"),
            "AURICLE_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        }
        line = [programs / "auricle", *words]
        done = subprocess.run(line, cwd=copy, env=environment, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, f"{shlex.join(words)}: {done.stderr}"
        return done.stdout

    return run


def losses(run: Path) -> list[float]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    return [row["loss"] for row in rows if row["kind"] == "step"]


def same_weights(found: Path, expected: Path, tolerance: float) -> None:
    """Compare the tensors of two encoders; what their files say beside them may differ between editions."""
    tensors = auricle.load(found).state_dict()
    wanted = auricle.load(expected).state_dict()
    assert tensors.keys() == wanted.keys()
    for key, value in wanted.items():
        torch.testing.assert_close(tensors[key], value, atol=tolerance, rtol=tolerance, msg=key)


@pytest.mark.parametrize("name", EXPECTED["encoders"])
def test_a_weight_file_or_run_gives_the_recorded_embedding_and_logits(name):
    clip, logits = clip_and_logits(FILES / name)
    expected = EXPECTED["encoders"][name]
    torch.testing.assert_close(clip[0], torch.tensor(expected["clip"]), atol=1e-4, rtol=1e-4)
    assert (logits is None) == (expected["logits"] is None)
    if logits is not None:
        torch.testing.assert_close(logits[0], torch.tensor(expected["logits"]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("file", sorted(FILES.rglob("*.safetensors")), ids=lambda path: path.stem)
def test_fingerprints_do_not_change(file):
    """Embedding caches and results stores name encoders by their fingerprints."""
    with safe_open(file, "pt") as opened:
        described = json.loads((opened.metadata() or {}).get("auricle", "{}"))
    if not described:
        pytest.skip("a checkpoint, not an encoder")
    assert auricle.load(file).fingerprint() == described["fingerprint"]


@pytest.mark.parametrize("name", EXPECTED["tags of audio/high/00.flac"])
def test_a_weight_file_with_a_head_tags_with_its_labels(command, name):
    words = ("tag", "audio/high/00.flac", "--model", f"weights/{name}.safetensors", "--json")
    answer = json.loads(command(*words))
    scores = {tag["label"]: tag["score"] for tag in answer["results"][0]["tags"]}
    assert scores == pytest.approx(EXPECTED["tags of audio/high/00.flac"][name], abs=1e-4)


def test_an_interrupted_run_continues_to_the_recorded_encoder(copy, command):
    run = copy / "runs" / "m2d-x"
    assert not (run / "encoder.safetensors").exists()
    command("pretrain", "--continue", "runs/m2d-x", "--quiet")
    assert losses(run) == pytest.approx(EXPECTED["losses of m2d-x"], rel=1e-4)
    same_weights(run, FILES / "expected-m2d-x.safetensors", tolerance=1e-4)


@pytest.mark.parametrize("name", ["msm-mae", "mae-ast"])
def test_a_finished_run_is_known_to_be_finished(copy, command, name):
    command("pretrain", "--continue", f"runs/{name}", "--quiet")
    assert losses(copy / "runs" / name) == losses(FILES / "runs" / name)
    same_weights(copy / "runs" / name, FILES / "runs" / name, tolerance=0.0)


@pytest.mark.parametrize("name", ["msm-mae", "mae-ast"])
def test_the_same_data_and_command_give_the_same_losses(copy, command, name):
    words = shlex.split((FILES / "runs" / name / "command.txt").read_text(encoding="utf-8"))[1:]
    words[words.index("--out") + 1] = "runs/again"
    command(*words)
    assert losses(copy / "runs" / "again") == pytest.approx(losses(FILES / "runs" / name), rel=1e-4)


def test_the_results_store_is_read(command):
    rows = json.loads(command("results", "--store", "results.sqlite", "--json"))
    found = [{name: row[name] for name in ("model", "task", "protocol", "score")} for row in rows]
    assert found == EXPECTED["results"]


def test_the_report_of_a_run_shows_its_evaluation(copy, command):
    pytest.importorskip("matplotlib")
    command("report", "runs/msm-mae")
    page = (copy / "runs" / "msm-mae" / "report.html").read_text(encoding="utf-8")
    assert "first_edition, drawn, 0.4 s" in page
