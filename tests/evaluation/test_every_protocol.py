"""Every protocol of every adapter on tiny data in one command: what is measured, what faults cost, and what a kill costs."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

from auricle.cli.main import main
from auricle.evaluation.results import ResultsStore
from auricle.hub.weight_file import save_encoder
from helpers.encoders import m2d
from helpers.evaluation_data import CLASSES, corpus, table
from helpers.forks import fork
from helpers.paths import ROOT, TESTS
from helpers.sounds import write_sound

HAS_MTEB = importlib.util.find_spec("mteb") is not None
PROBES = ("logistic", "logistic-cv", "knn-vote", "knn-cosine", "knn-xares", "evar")
SUITE = f"""
seeds: [1]
tasks:
  - {{name: probes, source: tones, labels: tones.csv, split_by: folds, protocols: [{", ".join(PROBES)}]}}
  - {{name: few, source: tones, labels: tones.csv, split_by: folds, protocols: [fewshot]}}
  - {{name: hear, adapter: hear, source: tones-v1-full, grid: faster}}
  - {{name: words, adapter: superb, task: KS, source: tones, labels: words.csv, words: [low, high], noise: noise, steps: 5}}
  - {{name: tags, adapter: tags, source: tones, labels: tones.csv, seconds: 0.25}}
  - {{name: classes, adapter: zero-shot, source: tones, labels: tones.csv, split_by: folds}}
  - {{name: captions, adapter: retrieval, source: tones, labels: captions.csv}}
"""
MAEB = "  - {name: maeb, adapter: maeb, task: 'helpers.maeb_tasks:Tones'}\n"
FAULTS = """
tasks:
  - {name: broken file, source: broken, labels: tones.csv, split_by: folds}
  - {name: broken file for HEAR, adapter: hear, source: broken-v1-full, grid: faster}
  - {name: broken file for SUPERB, adapter: superb, task: ER, source: broken, labels: tones.csv, split_by: folds, steps: 2}
  - {name: broken file for tags, adapter: tags, source: broken, labels: tones.csv, seconds: 0.25}
  - {name: no parts, source: tones, labels: tones.csv, split_by: split}
  - {name: no parts for HEAR, adapter: hear, source: partless-v1-full, grid: faster}
  - {name: no parts for SUPERB, adapter: superb, task: PR, source: tones, labels: transcripts.csv}
  - {name: class of one fold, source: tones, labels: gathered.csv, split_by: folds}
  - {name: class of one fold for HEAR, adapter: hear, source: gathered-v1-full, grid: faster}
  - {name: class of one fold for SUPERB, adapter: superb, task: ER, source: tones, labels: gathered.csv, split_by: folds, steps: 2}
  - {name: no data, source: elsewhere}
  - {name: whole, source: tones, labels: tones.csv, split_by: folds}
"""
LETTERS = """
import numpy as np

class Letters:
    def __init__(self, encoder):
        pass

    def encode_text(self, captions):
        return np.array([[1.0 + caption.count(chr(97 + i)) for i in range(26)] for caption in captions])

    def project_audio(self, clips):
        return clips[:, :26]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Tones of three pitches in three folds, as each adapter reads them, whole and with faults; an encoder with tags."""
    folder = tmp_path_factory.mktemp("protocols")
    manifest = corpus(folder / "tones")
    table(manifest, folder / "tones.csv")
    parts = {1: "train", 2: "valid", 3: "test"}
    rows = [f"{c.path},{c.labels[0]},{parts[c.fold]}" for c in manifest]
    (folder / "words.csv").write_text("\n".join(["filename,label,split", *rows]) + "\n")
    captions = [f"{c.path},a {c.labels[0]} tone,test" for c in manifest]
    (folder / "captions.csv").write_text("\n".join(["file_name,caption,split", *captions]) + "\n")
    (folder / "transcripts.csv").write_text(
        "\n".join(["filename,transcript", *(f"{c.path},a b" for c in manifest)]) + "\n"
    )
    alone = [f"{c.path},{3 if c.labels[0] == 'low' else 1 + i % 3},{c.labels[0]}" for i, c in enumerate(manifest)]
    (folder / "gathered.csv").write_text("\n".join(["filename,fold,label", *alone]) + "\n")
    write_sound(folder / "noise/hiss.wav", 0.1 * np.random.default_rng(0).standard_normal(160000).astype(np.float32))
    corpus(folder / "broken")
    for name, labels in (("tones", "tones"), ("broken", "tones"), ("partless", "tones"), ("gathered", "gathered")):
        line = ["prepare", "hear", str(folder / ("broken" if name == "broken" else "tones")), "--out"]
        line += [str(folder / f"{name}-v1-full"), "--labels", str(folder / f"{labels}.csv"), "--rates", "16000"]
        assert main([*line, "--split-by", "folds", "--quiet"]) == 0
    (folder / "broken/low-0.wav").write_bytes(b"no sound")
    next((folder / "broken-v1-full/16000/fold00").glob("*.wav")).write_bytes(b"no sound")
    (folder / "partless-v1-full/fold01.json").unlink()
    (folder / "every.yaml").write_text(SUITE + (MAEB if HAS_MTEB else ""))
    (folder / "faults.yaml").write_text(FAULTS)
    (folder / "letters.py").write_text(LETTERS)
    save_encoder(
        m2d(pools="frames").with_classes(3, classes=[(name, name) for name in CLASSES]), folder / "tagger.safetensors"
    )
    return folder


def command(place: Path, suite: str, store: Path) -> list[str]:
    line = ["evaluate", "--suite", str(place / suite), "--model", str(place / "tagger.safetensors"), "--quiet"]
    return [*line, "--no-baselines", "--text", "letters:Letters", "--store", str(store)]


@pytest.fixture
def here(place, tmp_path, monkeypatch):
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.syspath_prepend(str(TESTS))
    return tmp_path


def test_every_protocol_is_measured_by_one_command(place, here, capsys):
    assert main([*command(place, "every.yaml", here / "r.sqlite"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    measured = {(row["task"], row["protocol"]) for row in found["scores"]}
    assert measured >= {("probes", name) for name in PROBES}
    assert {task for task, _ in measured} == {"probes", "few", "hear", "words", "tags", "zs_classes", "captions"} | (
        {"maeb"} if HAS_MTEB else set()
    )
    assert not found["absent"]
    assert main(["results", "--store", str(here / "r.sqlite"), "--side-by-side", "--format", "csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + len({(r.task, r.protocol, r.metric) for r in rows(here)})


def rows(here: Path):
    return ResultsStore(here / "r.sqlite").select()


def test_a_fault_of_one_task_is_said_and_counted_and_the_rest_is_measured(place, here, capsys):
    assert main([*command(place, "faults.yaml", here / "r.sqlite"), "--json"]) == 1
    out, errors = capsys.readouterr()
    absent = {name.partition("/")[0]: reason for name, reason in json.loads(out)["absent"].items()}
    kept = {row.task: row for row in reversed(rows(here))}  # the first row of a task has its notes
    for adapter in ("", " for HEAR", " for SUPERB", " for tags"):
        assert "1 clips could not be read" in " ".join(kept[f"broken file{adapter}"].notes)
    assert errors.count("low-0") >= 3
    for adapter in ("", " for HEAR", " for SUPERB"):
        assert " could not be" not in absent[f"no parts{adapter}"]
        assert "low" in " ".join(kept[f"class of one fold{adapter}"].notes), adapter
    assert "fold01" in absent["no parts for HEAR"]
    assert "elsewhere does not exist" in absent["no data"]
    assert set(absent) == {"no parts", "no parts for HEAR", "no parts for SUPERB", "no data"}
    assert kept["whole"].score > 0.6


def test_an_encoder_that_gives_nan_is_refused_by_every_adapter(place, here, programs):
    encoder = m2d(pools="frames").with_classes(3, classes=[(name, name) for name in CLASSES])
    encoder.patch_embed.proj.weight.data.fill_(3e38)  # finite, and its products are not
    save_encoder(encoder, here / "nan.safetensors")
    line = command(place, "every.yaml", here / "r.sqlite")
    line[line.index("--model") + 1] = str(here / "nan.safetensors")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", TESTS, place)))}
    words = [str(programs / "auricle"), *line, "--json"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    reasons = json.loads(done.stdout)["absent"]
    assert len(reasons) == 12 + HAS_MTEB, reasons
    for name, reason in reasons.items():
        assert "not expected" not in reason, (name, reason)
        assert "finite" in reason or "NaN" in reason, (name, reason)
    assert not rows(here)


@pytest.mark.slow
def test_a_suite_that_is_killed_after_any_work_goes_on_and_repeats_none(place, here):
    line = [*command(place, "every.yaml", here / "r.sqlite"), "--tasks", "few", "hear", "words", "captions"]
    starts = before = 0
    while True:
        process, said = fork(line)
        starts += 1
        with said:
            new = (output for output in said if " · " in output and "--again" not in output)
            if next(new, None) is None:  # all works were there, and the process ended by itself
                process.join()
                assert process.exitcode == 0
                break
            process.kill()  # right after a work was reported: in the next one
            process.join()
        assert process.exitcode == -signal.SIGKILL
        assert len(rows(here)) > before
        before = len(rows(here))
    works = [(row.task, row.protocol, row.metric) for row in rows(here)]
    assert starts > 2
    assert len(set(works)) == len(works)
