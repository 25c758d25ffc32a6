"""Threads follow the load of the machine, and what the user sets wins."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time

import pytest

import auricle
from auricle.core import devices
from auricle.core.devices import ThreadPolicy, available_cores, threads_for
from helpers.patience import PATIENCE

SHOW = """
import os, sys
from auricle.core.devices import POLICY
POLICY.start()
print(POLICY.managed, POLICY.waiting, os.environ.get("OMP_NUM_THREADS"), "torch" in sys.modules)
"""


def spin(begun) -> None:
    begun.release()
    while os.getppid() != 1:  # the test ended without it
        pass


def shown(**environment: str) -> list[str]:
    unset = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OMP_WAIT_POLICY")
    clean = {k: v for k, v in os.environ.items() if k not in unset}
    done = subprocess.run([sys.executable, "-c", SHOW], capture_output=True, text=True, env={**clean, **environment})
    return done.stdout.split()


@pytest.mark.parametrize(
    ("cores", "busy", "expected"), [(2, 0.0, 2), (2, 0.3, 2), (2, 1.0, 1), (2, 2.0, 1), (16, 4.2, 12), (4, 9.0, 1)]
)
def test_busy_neighbours_are_left_their_cores(cores, busy, expected):
    assert threads_for(cores, busy) == expected


def test_environment_variables_of_the_user_are_not_changed():
    assert shown(OMP_NUM_THREADS="2", OMP_WAIT_POLICY="active") == ["False", "active", "2", "False"]
    assert shown(OMP_NUM_THREADS="2")[0::2] == ["False", "2"]
    assert shown(OMP_WAIT_POLICY="active")[:2] == ["True", "active"]


@pytest.mark.skipif(not os.path.exists("/proc/stat"), reason="the load is measured on Linux only")
def test_beside_busy_processes_threads_wait_passively_and_are_few():
    if available_cores() < 2:
        pytest.skip("one core: there is nothing to choose")
    context = multiprocessing.get_context("spawn")
    begun = context.Semaphore(0)
    neighbours = [context.Process(target=spin, args=(begun,), daemon=True) for _ in range(available_cores())]
    for process in neighbours:
        process.start()
    try:
        assert all(begun.acquire(timeout=PATIENCE) for _ in neighbours)
        managed, waiting, count, torch_loaded = shown()
        assert (managed, waiting, torch_loaded) == ("True", "passive", "False")
        assert 1 <= int(count) < available_cores()
    finally:
        for process in neighbours:
            process.kill()


def test_the_number_of_threads_follows_the_load_during_a_run(monkeypatch):
    load, clock, used = [0.0], [100.0], []
    monkeypatch.setattr(devices, "available_cores", lambda: 2)
    monkeypatch.setattr(devices, "_busy_seconds", lambda: load[0])
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    policy = ThreadPolicy()
    monkeypatch.setattr(policy, "_use", lambda n: (used.append(n), setattr(policy, "threads", n)))
    policy.follow_load()
    assert policy.recheck() is None  # too early
    clock[0] += 10.0
    load[0] += 15.0  # neighbours used 1.5 cores in these ten seconds
    assert "other processes keep 1." in (policy.recheck() or "")
    clock[0] += 10.0
    assert "2 of 2 threads" in (policy.recheck() or "")  # they have gone
    assert used == [1, 2]


@pytest.fixture
def two_blas_threads(monkeypatch):
    """Let the pools of NumPy and SciPy have two threads, and give them back what they had; return what reads them."""
    import scipy.linalg  # noqa: F401  (its own OpenBLAS)
    import torch
    from threadpoolctl import threadpool_info, threadpool_limits

    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    before = torch.get_num_threads()
    with threadpool_limits(2):
        yield lambda: {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
    torch.set_num_threads(before)


def test_the_choice_reaches_numpy_and_scipy_where_they_are_loaded_already(two_blas_threads):
    assert two_blas_threads() == {2}
    policy = ThreadPolicy()
    policy.fix(1)
    assert two_blas_threads() == {1}
    assert os.environ["OMP_NUM_THREADS"] == "1", "what is loaded later reads it"
    policy.fix(2)
    assert two_blas_threads() == {2}


def test_small_products_run_on_one_thread_and_blocks_may_overlap(two_blas_threads, monkeypatch):
    policy = ThreadPolicy()
    monkeypatch.setattr(devices, "POLICY", policy)
    policy.follow_load()
    policy._clock = None
    first, second = devices.one_thread(), devices.one_thread(1e3)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert two_blas_threads() == {1}, "the second block still runs"
    assert policy.recheck() is None
    assert policy._clock is None, "the load is not looked at inside a block"
    second.__exit__(None, None, None)
    assert two_blas_threads() == {2}
    with devices.one_thread(1e12):
        assert two_blas_threads() == {2}, "a large product keeps its threads"


def test_a_block_gives_back_the_threads_that_it_found(two_blas_threads):
    from threadpoolctl import threadpool_limits

    policy = ThreadPolicy()
    for threads in (2, 1, 2):
        with threadpool_limits(threads):
            with policy.one_thread():
                assert two_blas_threads() == {1}
            assert two_blas_threads() == {threads}


def test_libraries_are_looked_for_again_where_modules_were_imported(monkeypatch):
    policy = ThreadPolicy()
    with policy.one_thread():
        pools = policy._pools
    with policy.one_thread():
        assert policy._pools is pools
    monkeypatch.setitem(sys.modules, "a module that was imported", sys)
    with policy.one_thread():
        assert policy._pools is not pools


def test_the_basis_of_a_logistic_probe_is_computed_on_one_thread(two_blas_threads, monkeypatch):
    import numpy as np

    from auricle.evaluation.probes import logistic

    seen, qr = [], np.linalg.qr
    monkeypatch.setattr(np.linalg, "qr", lambda *a: (seen.append(two_blas_threads()), qr(*a))[1])
    rows = np.random.default_rng(0).normal(size=(6, 20))
    logistic.in_row_space(rows, rows)
    logistic.logistic_weights(rows, np.eye(2)[[0, 1] * 3], np.ones((6, 2)), 1.0, multilabel=False)
    assert seen == [{1}, {1}]


def test_set_threads_takes_a_number_or_auto_and_refuses_other_values(monkeypatch):
    import torch

    monkeypatch.setattr(devices, "POLICY", ThreadPolicy())
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # set_threads sets it
    before = torch.get_num_threads()
    try:
        auricle.set_threads(2)
        assert torch.get_num_threads() == 2
        assert not devices.POLICY.managed
        auricle.set_threads("auto")
        assert devices.POLICY.managed
        for wrong in (0, -1, "two", True, 1.5):
            with pytest.raises(ValueError, match="'auto' or a positive number"):
                auricle.set_threads(wrong)
    finally:
        devices.POLICY.fix(before)


def test_a_progress_bar_looks_at_the_load_at_every_step(monkeypatch, capsys):
    from auricle.core import console as progress

    looks = iter(["1 of 2 threads: other processes keep 2.0 cores busy", None, None, None])
    monkeypatch.setattr(progress, "recheck", lambda: next(looks))
    assert list(progress.progress_bar([1, 2], what="tag")) == [1, 2]
    assert "other processes keep 2.0 cores busy" in capsys.readouterr().err
    with progress.progress_bar(total=2, quiet=True) as bar:
        bar.update()
        bar.update()
    assert next(looks, "all used") == "all used"
