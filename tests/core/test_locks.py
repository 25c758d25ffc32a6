"""A lock that one process holds: others wait, or are told who holds it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from auricle.core.errors import AuricleError
from auricle.core.locks import held, locked
from helpers.patience import PATIENCE

HOLDER = """
import sys
from pathlib import Path
from auricle.core.locks import held
with held(Path(sys.argv[1]), "the folder", "wait"):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold(path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_is_told_which_process_holds_it(tmp_path):
    process = hold(tmp_path / "lock")
    again = held(tmp_path / "lock", "the folder", "come back later")
    with pytest.raises(AuricleError, match=rf"the folder is in use by process {process.pid} on .*; come back"), again:
        pass
    process.communicate("")
    with held(tmp_path / "lock", "the folder", "come back later"):
        assert str(os.getpid()) in (tmp_path / "lock").read_text()
    assert os.listdir(tmp_path) == []


def test_a_killed_holder_holds_nothing(tmp_path):
    process = hold(tmp_path / "lock")
    process.kill()
    process.communicate()
    assert (tmp_path / "lock").exists()
    with held(tmp_path / "lock", "it", "wait"):
        pass
    assert not (tmp_path / "lock").exists()


WITH_A_WORKER = """
import multiprocessing, os, sys, time
from pathlib import Path
from auricle.core.locks import held

def work():
    print(os.getpid(), flush=True)  # the worker runs, and has given up what it inherited
    time.sleep(float(sys.argv[2]))

with held(Path(sys.argv[1]), "the folder", "wait"):
    worker = multiprocessing.get_context("fork").Process(target=work)
    worker.start()
    worker.join()
"""


def test_a_forked_worker_that_outlives_a_killed_holder_holds_nothing(tmp_path):
    line = [sys.executable, "-c", WITH_A_WORKER, str(tmp_path / "lock"), str(PATIENCE)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, text=True)
    worker = int(process.stdout.readline())
    try:
        process.kill()
        process.wait()
        os.kill(worker, 0)  # it is still there
        with held(tmp_path / "lock", "it", "wait"):
            pass
    finally:
        os.kill(worker, signal.SIGKILL)


def test_a_forked_worker_that_ends_leaves_the_lock_to_its_holder(tmp_path):
    with held(tmp_path / "lock", "it", "wait"):
        worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(0,))
        worker.start()
        worker.join()
        with pytest.raises(AuricleError, match="in use"), held(tmp_path / "lock", "it", "wait"):
            pass
    assert os.listdir(tmp_path) == []


def test_two_threads_of_one_process_exclude_each_other(tmp_path):
    one, other = (held(tmp_path / "lock", "it", "wait") for _ in range(2))
    with one, pytest.raises(AuricleError, match="in use"), other:
        pass


def test_a_lock_in_a_place_that_cannot_be_written_is_an_error_in_words(tmp_path):
    (tmp_path / "lock").mkdir()
    for lock in (held(tmp_path / "lock", "it", "wait"), locked(tmp_path / "lock")):
        with pytest.raises(AuricleError, match="cannot write .*lock: Is a directory"), lock:
            pass


def test_a_file_system_without_locks_is_used_without_them(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def unsupported(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with locked(tmp_path / "a"), held(tmp_path / "b", "it", "wait"):
        pass
