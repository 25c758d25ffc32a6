"""Run a command under torchrun with two processes on this machine."""

from __future__ import annotations

import os
import subprocess
import sys

from helpers.paths import TESTS
from helpers.patience import PATIENCE


def torchrun(*words: str, expect: int | None = 0) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *words]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join((str(TESTS), os.environ.get("PYTHONPATH", ""))),
    }
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=PATIENCE)
    assert expect is None or done.returncode == expect, done.stderr[-3000:]
    return done
