"""Temporary files of processes that are gone are removed; those of running ones, and other people's, are not."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from auricle.core import io as temporary
from auricle.core.errors import AuricleError
from auricle.core.io import machine_id, replacing_folder, scratch_folder, temporary_name, write_text

KILLED = """
import os, signal, sys
from pathlib import Path
from auricle.core.io import replacing
from auricle.core.io import scratch_folder, use_for_processes
use_for_processes()
from multiprocessing.util import get_temp_dir
(Path(get_temp_dir()) / "listener").write_text("")
print(scratch_folder(), get_temp_dir(), sep="\\n", flush=True)
with replacing(Path(sys.argv[1]) / "a.txt") as file:
    file.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def killed(tmp_path, monkeypatch):
    """The place of temporary folders of a process that was killed while it wrote a file."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # sockets have short paths
        monkeypatch.setenv("TMPDIR", folder)
        done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "out")], capture_output=True, text=True)
        assert done.returncode == -9, done.stderr
        assert len(set(done.stdout.splitlines())) == 1
        yield Path(folder)


def test_the_next_process_removes_what_a_killed_one_left(tmp_path, killed):
    assert len(os.listdir(killed)) == 1
    assert [name.startswith(".a.txt.") for name in os.listdir(tmp_path / "out")] == [True]
    temporary.remove_leftovers.cache_clear()
    write_text(tmp_path / "out" / "b.txt", "whole")
    assert os.listdir(tmp_path / "out") == ["b.txt"]
    code = "from auricle.core.io import scratch_folder; print(scratch_folder().is_dir())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
    assert os.listdir(killed) == []


def test_files_of_a_running_process_another_machine_or_another_program_stay(tmp_path):
    mine = temporary_name(tmp_path / "a.npy").name
    others = [
        mine,
        f".a.{machine_id()}-{os.getppid()}.tmp",
        ".a.ffffffff-999999999.tmp",
        ".a.123.tmp",
        "a.tmp",
        f"a.{machine_id()}-999999999.wav",
    ]
    for name in others:
        (tmp_path / name).write_text("")
    (tmp_path / f".a.{machine_id()}-999999999.tmp").write_text("")
    (tmp_path / f".b.{machine_id()}-999999999.tmp/inside").mkdir(parents=True)
    temporary.remove_leftovers(tmp_path)
    assert sorted(os.listdir(tmp_path)) == sorted(others)


def test_a_folder_appears_whole_or_not_at_all_and_never_in_place_of_another(tmp_path):
    out, left = tmp_path / "out", temporary_name(tmp_path / "out")
    left.mkdir()  # of a process with the same number, which was killed
    (left / "old").write_text("")
    with replacing_folder(out) as folder:
        (folder / "a").write_text("whole")
        assert not out.exists()
    assert [path.name for path in out.iterdir()] == ["a"]
    for failure in (KeyboardInterrupt, AuricleError):
        with pytest.raises(failure), replacing_folder(tmp_path / "other"):
            raise failure
    with pytest.raises(AuricleError, match="by another program"), replacing_folder(tmp_path / "taken"):
        (tmp_path / "taken").mkdir()
    assert sorted(os.listdir(tmp_path)) == ["out", "taken"]


def test_a_name_as_long_as_a_name_can_be_has_a_temporary_one(tmp_path):
    path = tmp_path / ("é" * 125 + ".npy")
    write_text(path, "whole")
    assert path.read_text() == "whole"
    assert os.listdir(tmp_path) == [path.name]


def test_a_forked_process_leaves_the_folder_of_its_parent(tmp_path, monkeypatch):
    folder = scratch_folder()
    child = os.fork()
    if not child:
        temporary.remove_scratch_folder()
        os._exit(0)
    os.waitpid(child, 0)
    assert folder.is_dir()
