"""Pools of processes: order, errors, Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from operator import neg

import pytest

from auricle.core.devices import available_cores
from auricle.core.parallel import FEW_ITEMS, num_processes, parallel_map
from helpers.patience import PATIENCE


@pytest.mark.slow
def test_ctrl_c_stops_a_pool_once_and_its_processes_print_nothing(tmp_path):
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


@pytest.mark.slow
def test_processes_give_the_results_in_order():
    assert list(parallel_map(neg, range(50), 2, chunk=3)) == [-n for n in range(50)]


def test_few_items_use_one_process_and_workers_none_uses_one_per_core():
    assert num_processes(FEW_ITEMS, 4) == 1
    assert num_processes(FEW_ITEMS + 1, 4) == 4
    assert num_processes(FEW_ITEMS + 1) == num_processes(FEW_ITEMS + 1, 0) == available_cores()
