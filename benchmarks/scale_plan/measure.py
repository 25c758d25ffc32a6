"""Rounds of measurements on this machine: the costs of parts, and whole runs with one and two workers to compare with.

A round takes a minute or two on two free cores, and is a line of ``measured.jsonl``. The commands are the ones of users; every
process computes on one thread, and threads wait passively.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auricle.core.errors import AuricleError
from benchmarks.scale_plan.parts import Clocks, children_seconds

MEASURED = Path(__file__).with_name("measured.jsonl")
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
LOOK_SECONDS = 0.005  # between two looks at a file that grows
UPDATES = 60  # of a training run that is compared
SKIP_ANSWERS, SKIP_UPDATES = 50, 10  # at either end of a run, which is not its steady state
CHECKPOINT = ("checkpoint", "checkpoint_bytes")
TRAIN = ("--preset", "small", "--workers", "1", "--log-interval", "1", "--warmup-updates", "1", "--device", "cpu")


@dataclass(frozen=True)
class Sources:
    """Recordings, the weights of mn04_as, and a folder of log-mel spectrograms of the recordings (``auricle prepare lms``)."""

    recordings: str
    weights: str
    prepared: str


@dataclass(frozen=True)
class Timed:
    """A command that ran: its seconds, those that processors worked, and when each line of a file came, seconds after its start."""

    seconds: float
    processor: float
    lines: list[float]

    @property
    def clocks(self) -> Clocks:
        """Seconds that passed, and that processors worked."""
        return self.seconds, self.processor

    def rate(self, skip: int) -> float:
        """Return lines per second between the ``skip``-th and the ``skip``-th last one."""
        inner = self.lines[skip : len(self.lines) - skip]
        return (len(inner) - 1) / (inner[-1] - inner[0])


def run_timed(command: Sequence[str], watched: Path | None = None) -> Timed:
    """Run a command and watch a file that it writes.

    Raises:
        AuricleError: the command fails.
    """
    began, before = time.perf_counter(), children_seconds()
    lines: list[float] = []
    size = 0
    with tempfile.TemporaryFile("w+") as messages:
        process = subprocess.Popen(
            command, env={**os.environ, **ENVIRONMENT}, stdout=subprocess.DEVNULL, stderr=messages, text=True
        )
        running = True
        while running:
            running = process.poll() is None
            if watched is not None and watched.is_file() and (now := watched.stat().st_size) > size:
                with watched.open("rb") as file:
                    file.seek(size)
                    new = file.read(now - size).count(b"\n")
                lines += [time.perf_counter() - began] * new
                size = now
            if running:
                time.sleep(LOOK_SECONDS)
        seconds = time.perf_counter() - began
        messages.seek(0)
        message = messages.read()
    if process.returncode:
        raise AuricleError(f"{' '.join(command)}: exit {process.returncode}; its last words: {message[-500:]}")
    return Timed(seconds, children_seconds() - before, lines)


def auricle(*words: str) -> list[str]:
    return [sys.executable, "-m", "auricle", *words]


def torchrun(ranks: int, *words: str) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(ranks), *words]


def part(name: str, *words: str, beside: int = 1) -> dict[str, Any]:
    """Measure a part in ``beside`` processes at once; the numbers are means over these."""
    line = [sys.executable, "-m", "benchmarks.scale_plan.parts", name, *words]
    processes = [
        subprocess.Popen(
            line, env={**os.environ, **ENVIRONMENT}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        for _ in range(beside)
    ]
    found = [json.loads(process.communicate()[0]) for process in processes]
    if beside == 1:
        return found[0]
    return {key: _mean([one[key] for one in found]) for key in found[0]}


def _mean(values: list[Any]) -> Any:
    """The mean of numbers, or of each of several clocks."""
    return (
        [statistics.mean(clock) for clock in zip(*values)] if isinstance(values[0], list) else statistics.mean(values)
    )


def exchange(size: int) -> dict[str, Any]:
    line = torchrun(2, "-m", "benchmarks.scale_plan.parts", "exchange", "--bytes", str(size))
    done = subprocess.run(line, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def busy_ticks() -> tuple[float, float]:
    """Return the processor seconds of all processes, and of this one's children, so far."""
    ticks = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    own = os.times()
    busy = (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
    return busy, own.user + own.system + own.children_user + own.children_system


def _run(timed: Timed, skip: int, count: int) -> dict[str, Any]:
    return {"seconds": timed.clocks, "rate": timed.rate(skip), "count": count}


def tagging_round(sources: Sources, folder: Path) -> dict[str, Any]:
    """Measure the parts of tagging, and the runs of pools of one and of two processes, by turns."""
    tagged = [sources.recordings, "--weights", sources.weights]
    first = sorted(str(path) for path in Path(sources.recordings).iterdir())[0]
    command = ("--model", "mn04_as", "--weights", sources.weights, "--quiet")

    def run(processes: int) -> dict[str, Any]:
        out = folder / f"tag{processes}"
        words = (sources.recordings, *command, "--out", str(out), "--executor", "pool", "--processes")
        timed = run_timed(auricle("tag", *words, str(processes)), out / "tags.jsonl")
        return _run(timed, SKIP_ANSWERS, len(timed.lines))

    alone, one = part("tagging", *tagged), run(1)
    together, two = part("tagging", *tagged, beside=2), run(2)
    pool = part("pool", *tagged)
    start = run_timed(auricle("tag", first, *command, "--executor", "local")).clocks
    return {"alone": alone, "together": together, "pool": pool, "command": start, "runs": {"1": one, "2": two}}


def training_round(sources: Sources, folder: Path) -> dict[str, Any]:
    """Measure the parts of pre-training, and the runs of one and of two ranks, by turns."""

    def run(ranks: int) -> dict[str, Any]:
        out = folder / f"train{ranks}"
        words = ("pretrain", sources.prepared, *TRAIN, "--max-updates", str(UPDATES), "--out", str(out), "--quiet")
        timed = run_timed(torchrun(ranks, "-m", "auricle", *words), out / "metrics.jsonl")
        return _run(timed, SKIP_UPDATES, UPDATES)

    steps = (sources.prepared, "--clips", "30")
    alone, one = part("training", *steps), run(1)
    together, two = part("training", *steps, beside=2), run(2)
    network = exchange(int(alone["gradient_bytes"]))
    short = ("pretrain", sources.prepared, *TRAIN, "--max-updates", "2", "--out", str(folder / "short"), "--quiet")
    start = run_timed(auricle(*short)).clocks
    agent = run_timed(torchrun(1, "--no-python", "true")).clocks
    return {
        "alone": alone,
        "together": together,
        "exchange": network,
        "command": start,
        "agent": agent,
        "runs": {"1": one, "2": two},
    }


def plan_round(sources: Sources, folder: Path) -> dict[str, Any]:
    """Measure what only the plan needs: crops and whole recordings by format, and a checkpoint."""
    training = part("training", sources.prepared, "--clips", "8")
    return {"crops": part("crops", sources.recordings), "checkpoint": {k: training[k] for k in CHECKPOINT}}


ROUNDS = {"tagging": tagging_round, "training": training_round, "plan": plan_round}


def add_round(kind: str, sources: Sources) -> None:
    """Measure a round of a kind and append it to ``measured.jsonl``, with what other processes used meanwhile."""
    began, (busy, own) = time.perf_counter(), busy_ticks()
    with tempfile.TemporaryDirectory() as name:
        found = ROUNDS[kind](sources, Path(name))
    now, mine = busy_ticks()
    seconds = time.perf_counter() - began
    others = ((now - busy) - (mine - own)) / seconds
    row = {"kind": kind, "other_cores": round(others, 2), "seconds": round(seconds, 1), **found}
    with MEASURED.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def rounds(kind: str) -> list[dict[str, Any]]:
    """Return the rounds of a kind that were measured so far.

    Raises:
        AuricleError: there are none.
    """
    lines = MEASURED.read_text(encoding="utf-8").splitlines() if MEASURED.is_file() else []
    found = [row for row in map(json.loads, lines) if row["kind"] == kind]
    if not found:
        raise AuricleError(
            f"{MEASURED} holds no round of {kind}; 'python -m benchmarks.scale_plan --measure {kind}' makes one"
        )
    return found
