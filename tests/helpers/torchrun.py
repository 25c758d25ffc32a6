"""Run a command under torchrun with two processes on this machine; they and torchrun are forks (``helpers.preloaded``)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from helpers.paths import TESTS
from helpers.patience import PATIENCE


def torchrun(programs: Path, *words: str, expect: int | None = 0, restarts: int = 0) -> subprocess.CompletedProcess:
    """Args: ``programs``: the fixture; ``restarts``: how often all processes are started again when one died."""
    launch = ["--standalone", "--nproc-per-node", "2", "--max-restarts", str(restarts)]
    command = [str(programs / "python"), "-m", "torch.distributed.run", *launch, *words]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHON_EXEC": str(programs / "python"),
        "PYTHONPATH": os.pathsep.join((str(TESTS), os.environ.get("PYTHONPATH", ""))),
    }
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=PATIENCE)
    assert expect is None or done.returncode == expect, done.stderr[-3000:]
    return done
