"""Run a command under torchrun with two processes on this machine."""

from __future__ import annotations

import os
import subprocess
import sys

from helpers.paths import TESTS
from helpers.patience import PATIENCE


def torchrun(*words: str, expect: int | None = 0, restarts: int = 0) -> subprocess.CompletedProcess:
    """Args: ``restarts``: how often all processes are started again when one died."""
    launch = ["--standalone", "--nproc-per-node", "2", "--max-restarts", str(restarts)]
    command = [sys.executable, "-m", "torch.distributed.run", *launch, *words]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join((str(TESTS), os.environ.get("PYTHONPATH", ""))),
    }
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=PATIENCE)
    assert expect is None or done.returncode == expect, done.stderr[-3000:]
    return done
