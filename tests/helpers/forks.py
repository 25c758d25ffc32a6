"""A command line in a fork of the test's own process, for tests that kill it: a true process, without a second of imports."""

from __future__ import annotations

import multiprocessing
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing.process import BaseProcess
from typing import TextIO

from auricle.cli.main import main


def fork(line: list[str]) -> tuple[BaseProcess, TextIO]:
    """Run the arguments of ``auricle``; return the process, and what it writes to standard output."""
    out, to = os.pipe()

    def run() -> None:
        with (
            open(to, "w") as stdout,
            open(os.devnull, "w") as nowhere,
            redirect_stdout(stdout),
            redirect_stderr(nowhere),
        ):
            sys.exit(main(line))

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    os.close(to)
    return process, open(out)
