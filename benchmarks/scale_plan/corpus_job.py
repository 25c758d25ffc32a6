"""Tagging a corpus on many machines: shards of recordings, workers that take one after the other, and workers that die."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import simpy

from benchmarks.scale_plan.sharing import link_of


@dataclass(frozen=True)
class CorpusJob:
    """What is tagged, and by whom.

    hours              of sound
    shard_hours        of sound in a shard
    workers            each holds a model
    hour_seconds       that a worker computes for an hour of sound
    hour_bytes         of encoded sound
    hour_reads         requests per hour of sound (one per recording)
    start              seconds until a worker takes its first shard
    per_shard          seconds that each shard costs besides: opening it, renaming what was written
    start_per_shard    every shard is a job of its own, which starts a worker (an array of a scheduler)
    ahead              requests that a worker has under way at a time
    storage_latency    seconds until a request is answered
    storage_total      bytes per second of all workers
    storage_worker     bytes per second of one worker at most
    mtbf               seconds until a worker dies, on average (exponentially distributed); infinite: never
    replaced           seconds until another one stands in its place, without its start
    keeps              what a dead worker finished of its shard is kept; else the shard is done again from its beginning
    variation          standard deviation of the logarithm of a worker's speed: each machine has its own
    """

    hours: float
    shard_hours: float
    workers: int
    hour_seconds: float
    hour_bytes: float
    hour_reads: float
    start: float
    per_shard: float
    start_per_shard: bool = False
    ahead: int = 3
    storage_latency: float = 0.0
    storage_total: float = 1e12
    storage_worker: float = 1e12
    mtbf: float = math.inf
    replaced: float = 0.0
    keeps: bool = True
    variation: float = 0.0


@dataclass(frozen=True)
class CorpusRun:
    """A simulated job.

    seconds    from the start to the last shard
    computed   seconds of all workers in which they computed answers that were kept
    lost       seconds of all workers whose answers were done again
    tail       seconds from the first worker without a further shard to the end
    deaths     of workers
    storage    used share of the storage's bandwidth, 0 to 1
    """

    seconds: float
    computed: float
    lost: float
    tail: float
    deaths: int
    storage: float


def simulate_job(job: CorpusJob, seed: int = 0) -> CorpusRun:
    """Tag the corpus; the last shard may be smaller than the others."""
    return _Job(job, seed).run()


class _Job:
    """The state of a simulated job."""

    def __init__(self, job: CorpusJob, seed: int):
        self.job, self.env = job, simpy.Environment()
        self.storage = link_of(self.env, job.storage_total, job.storage_worker)
        self.source = np.random.default_rng(seed)
        self.whole, rest = divmod(job.hours, job.shard_hours)
        self.left = [rest] if rest > 1e-9 * job.shard_hours else []  # parts of shards; taken when no whole one is left
        self.computed = self.lost = 0.0
        self.deaths = 0
        self.idle_from = math.inf

    def run(self) -> CorpusRun:
        speeds = np.random.default_rng([int(self.source.integers(1 << 31)), 1]).lognormal(
            0.0, self.job.variation, self.job.workers
        )
        workers = [self.env.process(self._work(float(slower))) for slower in speeds]
        self.env.run(simpy.AllOf(self.env, workers))
        tail = max(0.0, self.env.now - self.idle_from)
        return CorpusRun(self.env.now, self.computed, self.lost, tail, self.deaths, self.storage.utilisation())

    def _next_shard(self) -> float:
        """Return the hours of the next shard; 0 when there is none."""
        if self.whole >= 1:
            self.whole -= 1
            return self.job.shard_hours
        return self.left.pop() if self.left else 0.0

    def _death(self) -> float:
        return (
            self.env.now + float(self.source.exponential(self.job.mtbf)) if math.isfinite(self.job.mtbf) else math.inf
        )

    def _work(self, slower: float) -> Generator[simpy.Event]:
        """Work until no shard is left. A worker that dies starts again, with what it kept of its shard."""
        job, env = self.job, self.env
        hours, dies_at = 0.0, self._death()
        yield env.timeout(0.0 if job.start_per_shard else job.start)
        while True:
            hours = hours or self._next_shard()
            if not hours:
                self.idle_from = min(self.idle_from, env.now)
                return
            yield env.timeout(job.per_shard + (job.start if job.start_per_shard else 0.0))
            began = env.now
            compute = hours * job.hour_seconds * slower
            least = max(compute, hours * job.hour_reads * job.storage_latency / job.ahead)
            read = self.storage.use(hours * job.hour_bytes)
            left = dies_at - env.now
            yield env.timeout(max(0.0, min(least, left)))
            if left >= least and not read.triggered:  # computed, and the storage is late
                yield read if math.isinf(dies_at) else read | env.timeout(max(0.0, dies_at - env.now))
            if left >= least and read.triggered:
                self.computed += compute
                hours = 0.0
                continue
            self.deaths += 1
            unread = self.storage.give_up(read) / (hours * job.hour_bytes)
            done = min((env.now - began) / least, 1 - unread) if job.keeps else 0.0
            self.computed += done * compute
            self.lost += 0.0 if job.keeps else env.now - began
            hours *= 1 - done
            yield env.timeout(job.replaced + (0.0 if job.start_per_shard else job.start))
            dies_at = self._death()
