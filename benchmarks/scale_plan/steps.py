"""Weight updates of data-parallel training: loaders, devices, the exchange of gradients, and the slowest of all.

Every rank takes its next batch from its loaders, runs forward and backward, waits for all others, exchanges gradients, and
updates its weights. Loaders of a machine share its cores, all machines share the storage.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import simpy

from benchmarks.scale_plan.sharing import SharedRate, cores_of, link_of

PREFETCH = 2  # batches that a loader makes ahead: ``prefetch_factor`` of PyTorch's DataLoader


@dataclass(frozen=True)
class StepCosts:
    """Costs of one micro-step of one rank, and of a weight update after ``micro_steps`` of them.

    load              seconds of one core: reading apart, everything that a loader does for a batch
    read_bytes        bytes that a loader reads for a batch
    reads             requests for them, one after the other
    forward_backward  seconds of the device
    update            seconds of the device: clipping, optimiser, teacher, log
    gradient_bytes    that ranks exchange
    variation         standard deviation of the logarithm of the device's seconds, from step to step
    """

    load: float
    read_bytes: float
    reads: int
    forward_backward: float
    update: float
    gradient_bytes: float
    variation: float = 0.0
    micro_steps: int = 1


@dataclass(frozen=True)
class Cluster:
    """Machines that train together.

    nodes, ranks      machines, and ranks on each
    cores, loaders    cores of a machine, and loader processes of a rank; 0 loaders: the rank loads by itself
    slowdown          times that work on cores takes longer while every core is busy
    cpu               ranks compute on the cores that loaders share, one core each; else each has a GPU
    storage_total     bytes per second of all machines together
    storage_node      bytes per second of one machine at most
    storage_latency   seconds until a request is answered
    link_bytes        bytes per second that a rank passes on to its neighbour in the ring
    link_latency      seconds of a message
    overlap           share of forward and backward during which gradients are exchanged beside it
    last_bucket       share of the gradients that is ready only when the backward pass ends
    slow_nodes        share of the machines that compute ``slow_by`` times as long, always
    """

    nodes: int
    ranks: int
    cores: int
    loaders: int
    slowdown: float = 1.0
    cpu: bool = False
    storage_total: float = 1e12
    storage_node: float = 1e12
    storage_latency: float = 0.0
    link_bytes: float = 1e12
    link_latency: float = 0.0
    overlap: float = 0.0
    last_bucket: float = 0.0
    slow_nodes: float = 0.0
    slow_by: float = 1.0

    @property
    def world(self) -> int:
        """Number of ranks."""
        return self.nodes * self.ranks


@dataclass(frozen=True)
class StepsRun:
    """Simulated updates, after those that were skipped.

    seconds              of an update
    waiting              seconds per update that a rank waits for its batch, mean over ranks
    straggling           seconds per update that a rank waits for slower ones
    exchange             seconds per update that the exchange of gradients takes beyond the backward pass
    processor            seconds of all cores that work, per update
    cores                used share of all cores, 0 to 1
    storage, link        used share of the storage's bandwidth, and of that of a machine to it
    """

    seconds: float
    waiting: float
    straggling: float
    exchange: float
    processor: float
    cores: float
    storage: float
    link: float


def all_reduce_seconds(ranks: int, size: float, link_bytes: float, latency: float) -> float:
    """Return the seconds of a ring all-reduce of ``size`` bytes.

    2 (N - 1) messages follow each other, each of 1/N of the bytes (Patarasuk and Yuan 2009, "Bandwidth optimal all-reduce
    algorithms for clusters of workstations", J. Parallel Distrib. Comput. 69).
    """
    return 2 * (ranks - 1) * (latency + size / ranks / link_bytes)


def exposed_exchange(costs: StepCosts, cluster: Cluster) -> float:
    """Return the seconds of the exchange that the backward pass does not hide: at least those of its last bucket.

    DDP exchanges buckets of gradients while earlier layers are still in their backward pass (Li and others 2020, "PyTorch
    Distributed: experiences on accelerating data parallel training", VLDB).
    """
    whole = all_reduce_seconds(cluster.world, costs.gradient_bytes, cluster.link_bytes, cluster.link_latency)
    return max(whole - cluster.overlap * costs.forward_backward, cluster.last_bucket * whole)


def simulate_steps(costs: StepCosts, cluster: Cluster, updates: int, skip: int = 0, seed: int = 0) -> StepsRun:
    """Run ``skip`` weight updates on all ranks, in which loaders fill their queues, and then ``updates`` that are counted."""
    env = simpy.Environment()
    storage = link_of(env, cluster.storage_total, cluster.storage_total)
    links = [link_of(env, cluster.storage_node, cluster.storage_node) for _ in range(cluster.nodes)]
    machines = [cores_of(env, cluster.cores, cluster.slowdown) for _ in range(cluster.nodes)]
    barrier = _Barrier(env, cluster.world)
    exchange = exposed_exchange(costs, cluster)
    slow = round(cluster.slow_nodes * cluster.nodes)
    ranks = []
    for number in range(cluster.world):
        node = number // cluster.ranks
        source = np.random.default_rng([seed, number])
        factors = source.lognormal(0.0, costs.variation, skip + updates) * (cluster.slow_by if node < slow else 1.0)
        place = number % cluster.ranks / cluster.ranks
        ranks.append(
            _Rank(env, costs, cluster, machines[node], (links[node], storage), barrier, exchange, factors, place)
        )
    runs = [env.process(rank.run()) for rank in ranks]
    began = 0.0
    if skip:
        env.run(ranks[0].skipped(skip))
        began = env.now
        for resource in (*machines, *links, storage):
            resource.count_from_now()
    env.run(simpy.AllOf(env, runs))
    return StepsRun(
        seconds=(ranks[0].ended - began) / updates,
        waiting=float(np.mean([rank.waits[skip:] for rank in ranks])),
        straggling=float(np.mean([rank.straggles[skip:] for rank in ranks])),
        exchange=exchange,
        processor=sum(machine.busy for machine in machines) / updates,
        cores=float(np.mean([machine.utilisation() for machine in machines])),
        storage=storage.utilisation(),
        link=float(np.mean([link.utilisation() for link in links])),
    )


class _Barrier:
    """Where all ranks wait for the last one."""

    def __init__(self, env: simpy.Environment, ranks: int):
        self.env, self.ranks = env, ranks
        self.arrived, self.open = 0, env.event()

    def wait(self) -> simpy.Event:
        self.arrived += 1
        here = self.open
        if self.arrived == self.ranks:
            self.arrived, self.open = 0, self.env.event()
            here.succeed()
        return here


class _Rank:
    """A rank with its loaders, which make its batches by turns."""

    def __init__(
        self,
        env: simpy.Environment,
        costs: StepCosts,
        cluster: Cluster,
        machine: SharedRate,
        ways: tuple[SharedRate, ...],
        barrier: _Barrier,
        exchange: float,
        factors: np.ndarray,
        place: float,
    ):
        self.env, self.costs, self.cluster = env, costs, cluster
        self.machine, self.ways, self.barrier, self.exchange = machine, ways, barrier, exchange
        self.factors, self.place = factors.tolist(), place
        self.waits: list[float] = []
        self.straggles: list[float] = []
        self.ended = 0.0
        self.awaited: dict[int, simpy.Event] = {}
        self.made = [simpy.Store(env, PREFETCH) for _ in range(cluster.loaders)]

    def skipped(self, updates: int) -> simpy.Event:
        """Return an event that happens when so many updates have ended."""
        return self.awaited.setdefault(updates, self.env.event())

    def run(self) -> Generator[simpy.Event]:
        cycle = self.cluster.storage_latency * self.costs.reads + self.costs.load
        for number, made in enumerate(
            self.made
        ):  # evenly apart, as they come to be: else all would read, then all compute
            self.env.process(self._load(made, (number + self.place) / len(self.made) * cycle))
        for number, factor in enumerate(self.factors):
            waited = 0.0
            for part in range(self.costs.micro_steps):
                began = self.env.now
                if self.made:
                    yield self.made[(number * self.costs.micro_steps + part) % len(self.made)].get()
                else:
                    yield from self._make_batch()
                waited += self.env.now - began
                yield self._compute(self.costs.forward_backward * factor)
            self.waits.append(waited)
            arrived = self.env.now
            yield self.barrier.wait()
            self.straggles.append(self.env.now - arrived)
            yield self.env.timeout(self.exchange)
            yield self._compute(self.costs.update * factor)
            self.ended = self.env.now
            if (event := self.awaited.get(number + 1)) is not None:
                event.succeed()

    def _compute(self, seconds: float) -> simpy.Event:
        return self.machine.use(seconds) if self.cluster.cpu else self.env.timeout(seconds)

    def _load(self, made: simpy.Store, later: float) -> Generator[simpy.Event]:
        yield self.env.timeout(later)
        while True:
            yield from self._make_batch()
            yield made.put(None)

    def _make_batch(self) -> Generator[simpy.Event]:
        if self.costs.reads:
            yield self.env.timeout(self.cluster.storage_latency * self.costs.reads)
            yield from [way.use(self.costs.read_bytes) for way in self.ways]  # begun at once: the narrowest counts
        yield self.machine.use(self.costs.load)
