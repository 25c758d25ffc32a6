"""Work on many recordings: equal answers from one process, a pool and Ray, also where a worker dies, and from all shares."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

from auricle.cli.main import main
from auricle.core.executors.config import CorpusShard, ExecutorSettings
from auricle.data.stores.embeddings import EmbeddingStore
from auricle.index.database import SoundIndex
from helpers.corpus_workers import KilledOnce
from helpers.patience import PATIENCE
from helpers.sounds import tone, write_sound
from helpers.tagging import save_random_tagger

RATE = 32000


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tagger of three classes with random weights."""
    return save_random_tagger(tmp_path_factory.mktemp("model"))


@pytest.fixture
def sounds(tmp_path, monkeypatch):
    """Twenty-four recordings of one second, two of other lengths, and a file that is no audio."""
    monkeypatch.chdir(tmp_path)
    for number in range(24):
        write_sound(tmp_path / "sounds" / f"{number:02d}.wav", tone(1.0, RATE, 100.0 + 10 * number), RATE)
    write_sound(tmp_path / "sounds" / "long.wav", tone(3.0, RATE), RATE)
    write_sound(tmp_path / "sounds" / "short.wav", tone(0.4, RATE), RATE)
    (tmp_path / "sounds" / "broken.wav").write_bytes(b"no audio")
    return tmp_path / "sounds"


def run(*words) -> int:
    return main([*map(str, words), "--quiet"])


def files_of(out: Path) -> dict[str, bytes]:
    """The bytes of all files of an output; of a database its rows, of an index what it answers, of a journal its lines.

    How many windows an index writes together depends on the time, and so does the order of lines in a journal, which has two of
    what was done twice.
    """
    files = {str(path.relative_to(out)): path for path in sorted(out.rglob("*")) if path.is_file()}
    content = {name: path.read_bytes() for name, path in files.items() if path.suffix != ".sqlite"}
    for name in files.keys() - content.keys():
        with closing(sqlite3.connect(files[name])) as db:
            content[name] = "\n".join(db.iterdump()).encode()
    for name in [name for name in content if Path(name).name.startswith("done")]:
        content[name] = b"\n".join(sorted(set(content[name].splitlines())))
    if SoundIndex.is_index(out):
        index = SoundIndex.open(out)
        ids, vectors = index.vectors()
        scores = index.scores(ids)
        answers = (index.spans(), scores, index.events(), sorted(map(str, index.files())))
        content = {"index.json": content["index.json"], "vectors": vectors.tobytes(), "answers": repr(answers).encode()}
    return content


installed = all(importlib.util.find_spec(name) is not None for name in ("ray", "pandas", "pyarrow"))
needs_ray = pytest.mark.skipif(not installed, reason="[ray] is not installed")
JOBS = {
    "tag": ("tag", "sounds", "--model", "MODEL", "--out", "out"),
    "embed": ("embed", "sounds", "--model", "MODEL", "--batch-size", 4, "--out", "out"),
    "teacher": ("prepare", "teacher", "sounds", "--model", "MODEL", "--batch-size", 4, "--frames", "--out", "out"),
    "index": ("index", "sounds", "--model", "MODEL", "--window", 0.5, "--batch-size", 4, "--out", "out"),
    "prepare": ("prepare", "sounds", "--out", "out"),
    "lms": ("prepare", "lms", "sounds", "--out", "out"),
    "shards": ("prepare", "shards", "sounds", "--shard-size", "200KB", "--encode", "flac", "--out", "out"),
}


@pytest.fixture
def run_job(sounds, model, quick_workers):
    """Run a job by an executor, and return the files of its output, which is removed."""

    def run_by(job: str, executor: str) -> dict[str, bytes]:
        words = [model if word == "MODEL" else word for word in JOBS[job]]
        processes = "--workers" if job in ("prepare", "lms", "shards") else "--processes"
        assert run(*words, "--executor", executor, processes, 2) == 1, "one file is no audio"
        out = sounds.parent / "out"
        files = files_of(out)
        shutil.rmtree(out)
        return files

    return run_by


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["pool", pytest.param("ray", marks=needs_ray)])
@pytest.mark.parametrize("job", JOBS)
def test_every_executor_writes_the_bytes_of_one_process_also_when_a_worker_is_killed(
    job, executor, run_job, tmp_path, monkeypatch
):
    expected = run_job(job, "local")
    make_executor = ExecutorSettings.make_executor
    monkeypatch.setattr(ExecutorSettings, "make_executor", lambda *args: KilledOnce(make_executor(*args), tmp_path))
    assert run_job(job, executor) == expected
    assert (tmp_path / "died").exists()


@pytest.mark.slow
def test_the_pool_prints_the_answers_of_one_process_in_the_same_order(sounds, model, quick_workers, capsys):
    line, answers = ("tag", "sounds", "--model", model, "--json", "--processes", 2, "--executor"), []
    for executor in ("local", "pool"):
        assert run(*line, executor) == 1
        answers.append(capsys.readouterr().out)
    assert answers[0] == answers[1]
    assert len(json.loads(answers[0])["results"]) == 26


@pytest.mark.slow
def test_ctrl_c_in_a_pool_keeps_what_is_finished_and_leaves_no_process(sounds, model):
    for number in range(24, 3000):  # more than can be done before the signal arrives
        os.link(sounds / "00.wav", sounds / f"{number}.wav")
    words = [sys.executable, "-m", "auricle", "tag", "sounds", "--model", model, "--out", "out", "--executor", "pool"]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*words, "--quiet"], cwd=sounds.parent, start_new_session=True, **pipes) as process:
        lines = sounds.parent / "out" / "tags.jsonl"
        end = time.monotonic() + PATIENCE
        while not (lines.exists() and lines.stat().st_size) and time.monotonic() < end:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        _, error = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "run the same command again to continue" in error
    assert "Traceback" not in error
    assert all(json.loads(line) for line in lines.read_text().splitlines())
    end = time.monotonic() + PATIENCE
    while (left := running(process.pid)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not left, "the processes of the pool end too"


def running(group: int) -> list[str]:
    """The states of the processes of a group that have not ended; one that nobody has waited for yet has."""
    states = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, of_group, *_ = stat.read_text().rpartition(")")[2].split()
            states += [state] if int(of_group) == group and state not in "ZX" else []
    return states


def test_the_shares_of_tag_together_are_the_whole(sounds, model, capsys):
    line = ("tag", "sounds", "--model", model, "--executor", "local")
    run(*line, "--json")
    whole = capsys.readouterr().out
    codes = [run(*line, "--out", "out", "--shard", f"{number}/3") for number in (1, 2, 3)]
    assert sorted(codes) == [0, 0, 1], "the broken recording is in one share"
    folders = [sounds.parent / "out" / f"shard-{number}-of-3" for number in (1, 2, 3)]
    assert sum(len((folder / "tags.jsonl").read_text().splitlines()) for folder in folders) == 27
    before = [(folder / "tags.jsonl").stat().st_mtime_ns for folder in folders]
    assert run(*line, "--out", "out", "--shard", "1/3") == codes[0]
    after = [(folder / "tags.jsonl").stat().st_mtime_ns for folder in folders]
    assert codes[0] == 1 or after == before, "a finished share is not tagged again"
    capsys.readouterr()
    assert run(*line, "--out", "out", "--json") == 1
    assert json.loads(capsys.readouterr().out)["results"] == json.loads(whole)["results"]


def test_shares_that_were_made_otherwise_are_not_joined(sounds, model, capsys):
    line = ("tag", "sounds", "--model", model, "--out", "out")
    run(*line, "--shard", "1/3", "--top-k", 2)
    assert run(*line) == 2
    assert "shard-1-of-3 holds tags made with another top_k" in capsys.readouterr().err
    assert run("tag", "sounds", "--model", model, "--shard", "1/3") == 2
    assert "it needs --out" in capsys.readouterr().err


def test_the_shares_of_embed_are_joined_without_computing_again(sounds, model, capsys, monkeypatch):
    line = ("embed", "sounds", "--model", model, "--batch-size", 1)
    run(*line, "--out", "whole")
    for out in ("joined", "joined.npz"):
        for number in (1, 2):
            run(*line, "--out", out, "--shard", f"{number}/2")
        shards = sounds.parent / f"{out}.shards"
        assert sorted(folder.name for folder in shards.iterdir()) == ["shard-1-of-2", "shard-2-of-2"]
        capsys.readouterr()
        assert run(*line, "--out", out) == 1
        assert "26 of them finished before" in capsys.readouterr().out
    whole, joined = (EmbeddingStore.open(sounds.parent / name) for name in ("whole", "joined"))
    assert np.array_equal(whole.vectors(), joined.vectors(whole.ids))
    with np.load(sounds.parent / "joined.npz") as arrays:
        assert np.array_equal(arrays["embeddings"], whole.vectors([str(id) for id in arrays["ids"]]))


def test_the_shares_of_a_teacher_are_joined_without_computing_again(sounds, model, capsys):
    line = ("prepare", "teacher", "sounds", "--model", model, "--batch-size", 1, "--json")
    run(*line, "--out", "whole")
    for number in (1, 2, 3):
        run(*line, "--out", "joined", "--shard", f"{number}/3")
    capsys.readouterr()
    assert run(*line, "--out", "joined") == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["done"], answer["skipped"], len(answer["failed"])) == (0, 26, 1)
    whole, joined = (EmbeddingStore.open(sounds.parent / name) for name in ("whole", "joined"))
    assert np.array_equal(whole.vectors(), joined.vectors(whole.ids)), "logits and clip embedding side by side"
    assert run(*line, "--out", "joined", "--float16") == 2, "one store holds one type of numbers"


@pytest.mark.parametrize("job", ["prepare", "lms", "shards"])
def test_the_shares_of_a_preparation_are_joined_without_preparing_again(job, run_job, sounds, capsys):
    line = [*JOBS[job], "--executor", "local", "--json"]
    whole = run_job(job, "local")
    for number in (1, 2, 3):
        run(*line, "--shard", f"{number}/3")
    assert not list((sounds.parent / "out").glob("manifest.csv")), "it belongs to the whole"
    times = {path: path.stat().st_mtime_ns for path in sounds.parent.glob("out/**/*.[nt][pa][yr]")}
    assert times
    capsys.readouterr()
    assert run(*line) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["done"], answer["skipped"], len(answer["failed"])) == (0, 26, 1)
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    joined = files_of(sounds.parent / "out")
    assert {name: joined[name] for name in whole if "done" not in name} == {
        name: content for name, content in whole.items() if "done" not in name
    }


def test_a_share_without_recordings_is_finished(sounds, model):
    names = [name for name in (f"sounds/{number:02d}.wav" for number in range(24)) if CorpusShard(1, 8).holds(name)]
    alone = sounds.parent / names[0]
    for verb, place in (("tag", "out"), ("embed", "out.shards")):
        assert run(verb, alone.relative_to(sounds.parent), "--model", model, "--out", "out", "--shard", "2/8") == 0
        assert (sounds.parent / place / "shard-2-of-8").is_dir()
