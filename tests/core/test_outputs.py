"""Where an answer goes: folders that cannot be made are refused in words, before the work; terminals of few letters; Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from auricle.cli.main import main
from auricle.core.parallel import parallel_map
from helpers.evaluation_data import corpus, table
from helpers.patience import PATIENCE
from helpers.sounds import tone, write_sound


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    return corpus(tmp_path_factory.mktemp("sounds"))


@pytest.fixture
def taken(tmp_path, monkeypatch):
    """A file where a folder would have to be."""
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "taken").write_text("a file")
    return tmp_path / "taken"


@pytest.mark.parametrize(
    "line",
    [
        "evaluate linear logmel-stats {sounds} --labels {labels} --out {taken}/x.json",
        "evaluate linear logmel-stats {sounds} --labels {labels} --store {taken}/x.sqlite",
        "embed {sounds} --model logmel-stats --out {taken}/x.npy",
        "prepare {sounds} {taken}/prepared",
        "prepare lms {sounds} {taken}/lms",
        "demo {sounds} --out {taken}",
    ],
)
def test_an_output_that_cannot_be_is_refused_before_anything_is_heard(line, sounds, taken, tmp_path, capsys):
    labels = table(sounds, tmp_path / "meta.csv")
    words = line.format(sounds=sounds.root, labels=labels, taken=taken).split()
    assert main([*words, "--quiet"]) == 2
    said = capsys.readouterr()
    assert "cannot make the folder" in said.err
    assert not said.out


def test_a_cache_that_cannot_be_is_refused_in_words(sounds, taken, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AURICLE_CACHE", str(taken))
    words = ["evaluate", "linear", "logmel-stats", str(sounds.root), "--labels", str(table(sounds, tmp_path / "m.csv"))]
    assert main([*words, "--quiet", "--store", str(tmp_path / "r.sqlite")]) == 2
    assert "set AURICLE_CACHE to another" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["prepare", "advise", "evaluate linear"])
def test_help_is_said_on_a_terminal_of_few_letters(verb):
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    words = [sys.executable, "-m", "auricle", *verb.split(), "--help"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, encoding="ascii")
    assert done.returncode == 0, done.stderr
    assert "--" in done.stdout


def test_names_that_are_not_utf8_are_left_out_and_said(tmp_path, capsys):
    write_sound(tmp_path / "sounds" / "good.wav", tone(0.2))
    try:
        os.rename(write_sound(tmp_path / "odd.wav", tone(0.2)), os.fsencode(tmp_path / "sounds") + b"/caf\xe9.wav")
    except OSError:
        pytest.skip("this file system takes no such names")
    assert main(["prepare", str(tmp_path / "sounds"), "--out", str(tmp_path / "out"), "--quiet"]) == 0
    said = capsys.readouterr()
    assert "1 clip" in said.out
    assert "their names are not UTF-8" in said.err
    assert (tmp_path / "out/manifest.csv").read_text(encoding="utf-8").splitlines()[1].startswith("good.wav,")
    words = [
        "embed",
        str(tmp_path / "sounds"),
        str(tmp_path / "sounds" / "good.wav"),
        "--model",
        "logmel-stats",
        "--quiet",
    ]
    assert main([*words, "--out", str(tmp_path / "e.npy")]) == 0
    assert "their names are not UTF-8" in capsys.readouterr().err
    (tmp_path / "sounds" / "good.wav").unlink()
    assert main(["prepare", str(tmp_path / "sounds"), "--out", str(tmp_path / "none"), "--quiet"]) == 2
    assert "their names are not UTF-8" in capsys.readouterr().err


@pytest.mark.slow
def test_ctrl_c_reaches_a_pool_once_and_its_processes_say_nothing(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import time\n"
        "from auricle.core.parallel import parallel_map\n"
        "if __name__ == '__main__':\n"
        "    print('begun', flush=True)\n"
        "    try:\n"
        "        list(parallel_map(time.sleep, [0.05] * 400, 2))\n"
        "    except KeyboardInterrupt:\n"
        "        print('stopped', flush=True)\n"
    )
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, str(script)], start_new_session=True, **pipe) as process:
        assert process.stdout.readline() == "begun\n"
        time.sleep(0.7)  # the processes are being started
        os.killpg(process.pid, signal.SIGINT)
        out, error = process.communicate(timeout=PATIENCE)
    assert out == "stopped\n"
    assert "Traceback" not in error


def test_one_worker_stays_in_this_process():
    assert list(parallel_map(lambda n: (n, os.getpid()), [1, 2], 1)) == [(1, os.getpid()), (2, os.getpid())]
