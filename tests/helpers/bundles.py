"""Run the runner of an exported bundle as its users do: in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

BLOCKED = (
    "import sys; sys.modules |= dict.fromkeys({}); sys.argv[1:] = [{!r}]; exec(open({!r}).read(), {{'__file__': {!r}}})"
)


def printed_by_runner(bundle: Path, recording: Path, *, without: tuple[str, ...]) -> list[list[str]]:
    """Return the words of every line that ``run.py`` prints for a recording, where some packages cannot be imported."""
    script = str(bundle / "run.py")
    code = BLOCKED.format(list(without), str(recording), script, script)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=recording.parent)
    assert done.returncode == 0, done.stderr
    return [line.split() for line in done.stdout.splitlines()]
