"""A whole pre-training run: checkpoints, machines that fail, and restarts from the last checkpoint."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import simpy

HOUR = 3600.0


@dataclass(frozen=True)
class LongRun:
    """What a run does, in seconds.

    work               of all weight updates, without what follows
    start              until the first update; also after a restart
    checkpoint_every   of work between two checkpoints
    checkpoint         that all ranks wait while one is written
    notice             until a failure is noticed and the job runs again on a spare machine
    nodes              machines, each of which fails ...
    node_mtbf          ... after so many seconds on average (exponentially distributed); infinite: never
    """

    work: float
    start: float
    checkpoint_every: float
    checkpoint: float
    notice: float
    nodes: int
    node_mtbf: float = math.inf


@dataclass(frozen=True)
class LongRunTime:
    """Where the seconds of a simulated run went; they sum to ``seconds``."""

    seconds: float
    work: float
    starting: float
    checkpoints: float
    lost: float
    noticing: float
    failures: int


def simulate_long_run(run: LongRun, seed: int = 0) -> LongRunTime:
    """Run to the end; a failure of any machine throws all ranks back to the last checkpoint."""
    env = simpy.Environment()
    source = np.random.default_rng(seed)
    spent = dict.fromkeys(("work", "starting", "checkpoints", "lost", "noticing"), 0.0)
    failures, fails_at = 0, _next_failure(run, source, 0.0)

    def passes(name: str, seconds: float) -> Generator[simpy.Event, None, bool]:
        """Let the seconds pass and return True; False if a machine fails before they have."""
        whole = env.now + seconds <= fails_at
        before = env.now
        yield env.timeout(seconds if whole else fails_at - env.now)
        spent[name] += env.now - before
        return whole

    def train() -> Generator[simpy.Event]:
        nonlocal failures, fails_at
        saved = 0.0
        while saved < run.work:
            alive = yield from passes("starting", run.start)
            while alive and saved < run.work:
                before, part = spent["lost"], min(run.checkpoint_every, run.work - saved)
                alive = yield from passes("lost", part)  # until it is saved
                alive = alive and (yield from passes("checkpoints", run.checkpoint))
                if alive:
                    saved += part
                    spent["lost"], spent["work"] = before, spent["work"] + part
            if not alive:
                failures += 1
                yield env.timeout(run.notice)
                spent["noticing"] += run.notice
                fails_at = _next_failure(run, source, env.now)

    env.run(env.process(train()))
    return LongRunTime(env.now, failures=failures, **spent)


def _next_failure(run: LongRun, source: np.random.Generator, now: float) -> float:
    return now + float(source.exponential(run.node_mtbf / run.nodes)) if math.isfinite(run.node_mtbf) else math.inf


def best_checkpoint_interval(checkpoint: float, mtbf: float) -> float:
    """Return the seconds of work between two checkpoints that cost least, to first order: sqrt(2 checkpoint mtbf).

    Young 1974, "A first order approximation to the optimum checkpoint interval", Communications of the ACM 17.
    """
    return math.sqrt(2 * checkpoint * mtbf)
