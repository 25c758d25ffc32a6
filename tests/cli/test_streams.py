"""Commands beside closed and full streams, in other locales, with hostile names, and stopped while they begin."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from auricle.cli.main import main
from helpers.patience import PATIENCE
from helpers.sounds import tone, write_sound

AURICLE = [sys.executable, "-m", "auricle"]
ESCAPE = "\x1b[31m"


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streams") / "sounds"
    for number in range(3):
        write_sound(folder / f"{number}.wav", tone(0.3))
    return folder


def shell(line: str, folder, **environment: str) -> subprocess.CompletedProcess:
    """Run a line of bash in which ``$AURICLE`` is the command."""
    env = os.environ | {"AURICLE_CACHE": str(folder / "cache"), "AURICLE_OFFLINE": "1", "AURICLE": " ".join(AURICLE)}
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"],
        cwd=folder,
        env=env | environment,
        capture_output=True,
        timeout=PATIENCE,
    )
    done.stderr = done.stderr.decode(errors="replace")
    assert "Traceback" not in done.stderr, done.stderr
    assert "Exception ignored" not in done.stderr, done.stderr
    return done


# ---- streams
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("$AURICLE models list >&-", 0),
        ("$AURICLE models list 2>&-", 0),
        ("$AURICLE models list >&- 2>&- <&-", 0),
        ("$AURICLE models list >/dev/full", 2),
        ("$AURICLE models list --json >/dev/full", 2),
        ("$AURICLE --help >/dev/full", 2),
        ("$AURICLE tag --help >/dev/full", 2),
        ("$AURICLE models list | true", 0),
        ("$AURICLE models list | head -1", 0),
        ("$AURICLE tag --help | true", 0),
        ("$AURICLE nonsense 2>/dev/full", 2),
        ("$AURICLE nonsense 2>&-", 2),
        ("$AURICLE nonsense 2>&1 | true", 2),
    ],
)
def test_a_stream_that_is_closed_full_or_not_read_gives_no_traceback(line, code, tmp_path):
    done = shell(line, tmp_path)
    assert done.returncode == code, done.stderr
    if code == 2 and "2>" not in line:
        assert "standard output: No space left on device" in done.stderr
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("streams", [">&-", "2>&-", ">&- 2>&- <&-", "2>/dev/full", "2> >(true)"])
def test_work_is_done_whatever_the_streams_are(streams, sounds, tmp_path):
    done = shell(f"$AURICLE embed {sounds} --model logmel-stats --out e.npy {streams}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(json.loads((tmp_path / "e.npy.index.json").read_text())["clips"]) == 3


def test_closed_standard_input_is_named(tmp_path):
    done = shell("$AURICLE embed - --model logmel-stats --out e.npy <&-", tmp_path)
    assert done.returncode == 2
    assert "standard input is closed" in done.stderr


# ---- places
@pytest.mark.parametrize("locale", [{"LC_ALL": "C", "PYTHONUTF8": "0"}, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}])
def test_names_with_letters_that_the_locale_lacks_are_written(locale, sounds, tmp_path):
    write_sound(tmp_path / "Klänge" / "Größe 音.wav", tone(0.3))
    for words in ("embed Klänge --model logmel-stats --out Bücher.npy", "prepare Klänge --out Übung --workers 1"):
        done = shell(f"$AURICLE {words} --quiet", tmp_path, **locale)
        assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "Bücher.npy.index.json").read_text())["clips"][0]["id"] == "Größe 音.wav"
    assert (tmp_path / "Übung" / "manifest.csv").read_text(encoding="utf-8").splitlines()[1].startswith("Größe 音.wav,")
    done = shell("$AURICLE embed 'nicht dä' --model logmel-stats --out x.npy", tmp_path, **locale)
    assert done.returncode == 2
    assert "nicht dä" in done.stderr


@pytest.mark.parametrize(
    "line",
    [
        ["embed", "IN", "--model", "logmel-stats", "--out", "e.npy"],
        ["prepare", "IN", "--out", "out"],
        ["evaluate", "IN", "--model", f"run{ESCAPE}"],
        ["pretrain", f"nowhere{ESCAPE}", "--out", "run"],
        ["report", f"nowhere{ESCAPE}"],
        ["models", "show", f"nothing{ESCAPE}"],
    ],
    ids=lambda line: line[0],
)
def test_escape_sequences_in_names_are_written_out(line, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    bad = tmp_path / f"in{ESCAPE}\r" / f"bad{ESCAPE}.wav"
    bad.parent.mkdir()
    bad.write_text("no sound")
    assert main([bad.parent.name if word == "IN" else word for word in line]) == 2
    shown = capfd.readouterr()
    assert "\\u001b[31m" in shown.err
    assert "\x1b" not in shown.out + shown.err


def test_escape_sequences_in_a_mistyped_line_are_written_out(capfd):
    assert main([f"tag{ESCAPE}"]) == 2
    assert main(["tag", f"--mod{ESCAPE}el", "x"]) == 2
    assert "\x1b" not in capfd.readouterr().err


# ---- stopping
STOPPED = """
import os, runpy, sys, threading
from auricle.core import interrupts
interrupts.install()
timer = threading.Timer(float(sys.argv.pop(1)), os.kill, (os.getpid(), 2))
timer.daemon = True
timer.start()
runpy.run_module("auricle", run_name="__main__")
"""


def test_ctrl_c_while_a_command_begins_is_quiet(sounds, tmp_path):
    """At moments from the first import to the first answer."""
    words = ["embed", str(sounds), "--model", "logmel-stats", "--out", str(tmp_path / "e.npy"), "--quiet"]
    env = os.environ | {"AURICLE_CACHE": str(tmp_path / "cache")}
    codes = []
    for delay in ("0.01", "0.1", "0.3", "0.6", "1.0", "1.5"):
        command = [sys.executable, "-c", STOPPED, delay, *words]
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=PATIENCE)
        codes.append(done.returncode)
        assert "Traceback" not in done.stderr, (delay, done.stderr)
        assert "Exception ignored" not in done.stderr, (delay, done.stderr)
    assert set(codes) <= {0, 130}
    assert codes[0] == 130


IMPORTING = """
import sys
from auricle.core import interrupts
interrupts.install()
import swallows
print("went on")
"""
SWALLOWS = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):
        pass
except BaseException:
    pass
"""


def test_an_import_that_swallows_ctrl_c_ends_the_process_all_the_same(tmp_path):
    (tmp_path / "swallows.py").write_text(SWALLOWS)
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([sys.executable, "-c", IMPORTING], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "\ninterrupted\n")


def test_ctrl_c_that_the_caller_ignores_stays_ignored():
    code = "import signal; signal.signal(2, signal.SIG_IGN); from auricle.core import interrupts as i; i.install(); "
    code += "print(signal.getsignal(2) == signal.SIG_IGN)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
