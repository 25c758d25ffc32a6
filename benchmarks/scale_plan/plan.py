"""What a plan asks: how long, for how much money, and which resource is busy, from 8 to 1,024 GPUs or workers."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.scale_plan import assumptions
from benchmarks.scale_plan.assumptions import (
    GPUS,
    HOUR,
    STORAGE,
    TAG_MACHINES,
    Corpus,
    Form,
    Gpus,
    Storage,
    TagMachines,
)
from benchmarks.scale_plan.corpus_job import CorpusJob, CorpusRun, simulate_job
from benchmarks.scale_plan.long_run import LongRun, LongRunTime, simulate_long_run
from benchmarks.scale_plan.measure import rounds
from benchmarks.scale_plan.steps import Cluster, StepCosts, StepsRun, simulate_steps
from benchmarks.scale_plan.validation import PROCESSOR, WALL, pool_costs

TURNS = 1  # of each loader that count, after one that does not; what waits in queues then makes late data up to a tenth too fast
SEEDS = 5  # whole runs whose mean is taken
CHECKPOINT_EVERY = 600.0  # seconds: the default of ``--checkpoint-minutes``
LATE = 0.05  # share of an update that ranks wait for their batch, from which on data set the pace
FULL = 0.85  # used share of a resource from which on it sets the pace


@dataclass(frozen=True)
class Costs:
    """The least of the measured rounds: other work on the machine only adds to them.

    crops              processor seconds of a crop by format
    slowdown           of cores while all of them are busy
    clip, audio        processor seconds of a tagged clip, and its seconds of sound
    decode             part of ``clip`` that stays on the cores when a GPU computes
    start              seconds until a worker of a pool, or a rank, has begun
    checkpoint         bytes per second
    """

    crops: dict[str, float]
    slowdown: float
    clip: float
    audio: float
    decode: float
    start: float
    checkpoint: float

    @classmethod
    def measured(cls) -> Costs:
        """Return the costs of the rounds of ``measured.jsonl``, by the processor's clock where they are computing."""
        tagging, plan = rounds("tagging"), rounds("plan")
        pools = [pool_costs(row, PROCESSOR) for row in tagging]
        return cls(
            crops={form: min(row["crops"][form]["crop"][PROCESSOR] for row in plan) for form in plan[0]["crops"]},
            slowdown=statistics.median(pool.slowdown for pool in pools),
            clip=min(pool.clip for pool in pools),
            audio=tagging[0]["alone"]["audio_seconds"],
            decode=min(pool.decode + pool.hand_over + pool.gather for pool in pools),
            start=min(pool.command + pool.process for pool in pools),
            checkpoint=max(
                row["checkpoint"]["checkpoint_bytes"] / row["checkpoint"]["checkpoint"][WALL] for row in plan
            ),
        )


# ---- pre-training
@dataclass(frozen=True)
class TrainPoint:
    """A run with so many GPUs.

    step      what an update is made of
    run       where the time of the whole run went, mean of several
    device    seconds of an update that a GPU computes
    limit     what sets the pace
    gpu_hour  dollars
    """

    corpus: Corpus
    form: str
    batch: int
    gpus: int
    step: StepsRun
    run: LongRunTime
    device: float
    limit: str
    gpu_hour: float

    @property
    def gpu_hours(self) -> float:
        """Hours of all GPUs."""
        return self.gpus * self.run.seconds / HOUR

    @property
    def dollars(self) -> float:
        """Price of these hours."""
        return self.gpu_hours * self.gpu_hour


def train_point(
    costs: Costs,
    corpus: Corpus,
    form_name: str,
    batch: int,
    nodes: int,
    machines: Gpus = GPUS,
    storage: Storage = STORAGE,
) -> TrainPoint:
    """Simulate a run on ``nodes`` machines: some updates, and from their seconds the whole run with its failures."""
    gpus, form = nodes * machines.per_node, assumptions.FORMS[form_name]
    step = _step_costs(costs, corpus, form, max(1, batch // gpus), machines)
    cluster = Cluster(
        nodes=nodes,
        ranks=machines.per_node,
        cores=machines.cores,
        loaders=machines.loaders,
        slowdown=costs.slowdown,
        storage_total=storage.total,
        storage_node=storage.node,
        storage_latency=storage.latency,
        link_bytes=machines.link_bytes,
        link_latency=machines.link_latency,
        overlap=machines.overlap,
        last_bucket=machines.last_bucket,
        slow_nodes=machines.slow_nodes,
        slow_by=machines.slow_by,
    )
    turns = math.ceil(machines.loaders / step.micro_steps)  # updates in which each loader has its turn once
    steps = simulate_steps(step, cluster, TURNS * turns, turns)
    run = _whole_run(costs, corpus, steps.seconds * corpus.crops / batch, nodes, machines)
    device = step.micro_steps * step.forward_backward + step.update
    limit = _limit(steps, device, step.forward_backward > machines.step_overhead)
    return TrainPoint(corpus, form_name, batch, gpus, steps, run, device, limit, machines.gpu_hour)


def _step_costs(costs: Costs, corpus: Corpus, form: Form, crops: int, machines: Gpus) -> StepCosts:
    micro_steps = math.ceil(crops / machines.batch)
    crops //= micro_steps
    reads, size = corpus.reads(form)
    return StepCosts(
        load=crops * costs.crops[form.part],
        read_bytes=crops * size,
        reads=crops * reads,
        forward_backward=max(
            machines.step_overhead, crops * assumptions.CROP_FLOPS / machines.peak / machines.utilisation
        ),
        update=machines.update,
        gradient_bytes=4 * assumptions.TRAINED,
        variation=machines.variation,
        micro_steps=micro_steps,
    )


def _whole_run(costs: Costs, corpus: Corpus, work: float, nodes: int, machines: Gpus) -> LongRunTime:
    size = 4 * assumptions.PARAMETERS + 8 * assumptions.TRAINED  # weights, and two moments of those that learn
    run = LongRun(
        work=work,
        start=costs.start + machines.connect + corpus.rows * assumptions.ROW_SECONDS,
        checkpoint_every=CHECKPOINT_EVERY,
        checkpoint=size / costs.checkpoint,
        notice=machines.notice,
        nodes=nodes,
        node_mtbf=machines.node_mtbf,
    )
    runs = [simulate_long_run(run, seed) for seed in range(SEEDS)]
    fields = LongRunTime.__dataclass_fields__
    return LongRunTime(**{field: statistics.mean(getattr(one, field) for one in runs) for field in fields})


def _limit(step: StepsRun, device: float, computes: bool) -> str:
    """Name what most of an update goes to."""
    if step.waiting <= LATE * step.seconds:
        shares = {
            "GPUs" if computes else "kernel launches": device,
            "network": step.exchange,
            "slow ranks": step.straggling,
        }
        return max(shares, key=lambda name: shares[name])
    if step.storage > FULL:
        return "storage"
    if step.link > FULL:
        return "link to the storage"
    return "cores" if step.cores > FULL else "latency of the storage"


def sensitivity(costs: Costs, corpus: Corpus, form: str, batch: int, nodes: int) -> list[tuple[str, TrainPoint]]:
    """Return the point with one assumption changed at a time."""
    machines, storage = GPUS, STORAGE
    minutes = replace(corpus, row_seconds=60.0, rows=corpus.rows * corpus.row_seconds / 60)
    one_block = replace(corpus, seeks=1)
    changed: list[tuple[str, Gpus, Storage]] = [
        ("as assumed", machines, storage),
        ("25 % of the peak", replace(machines, utilisation=0.25), storage),
        ("45 % of the peak", replace(machines, utilisation=0.45), storage),
        ("A100 (312e12 a second)", replace(machines, peak=312e12), storage),
        ("half the cores", replace(machines, cores=machines.cores // 2), storage),
        ("twice the cores", replace(machines, cores=machines.cores * 2), storage),
        ("storage of 10 GB/s", machines, replace(storage, total=10e9)),
        ("storage of 200 GB/s", machines, replace(storage, total=200e9)),
        ("object store (30 ms)", machines, replace(storage, latency=0.03)),
        ("one card of 200 Gbit/s a machine", replace(machines, link_bytes=0.8 * 25e9), storage),
        ("messages of 20 microseconds", replace(machines, link_latency=20e-6), storage),
        ("no slow machines", replace(machines, slow_nodes=0.0), storage),
        ("steps vary by 5 %", replace(machines, variation=0.05), storage),
        ("kernel launches of 5 ms", replace(machines, step_overhead=0.005), storage),
        ("machines fail ten times as often", replace(machines, node_mtbf=machines.node_mtbf / 10), storage),
    ]
    points = [(name, train_point(costs, corpus, form, batch, nodes, m, s)) for name, m, s in changed]
    if corpus.is_long(assumptions.FORMS[form]):
        points.append(("MP3 in recordings of a minute", train_point(costs, minutes, "MP3", batch, nodes)))
        points.append(("one block read a crop", train_point(costs, one_block, form, batch, nodes)))
    return points


# ---- tagging
@dataclass(frozen=True)
class TagPoint:
    """A job with so many workers: cores, or GPUs with their share of the cores."""

    kind: str
    workers: int
    shard_hours: float
    run: CorpusRun
    worker_hour: float  # dollars

    @property
    def worker_hours(self) -> float:
        """Hours of all workers, until the last one has finished."""
        return self.workers * self.run.seconds / HOUR

    @property
    def dollars(self) -> float:
        """Price of these hours."""
        return self.worker_hours * self.worker_hour


def corpus_job(
    costs: Costs, workers: int, shard_hours: float, machines: TagMachines = TAG_MACHINES, storage: Storage = STORAGE
) -> CorpusJob:
    """Return the job of tagging ``TAG_HOURS`` hours with mn04_as, on cores."""
    return CorpusJob(
        hours=assumptions.TAG_HOURS,
        shard_hours=shard_hours,
        workers=workers,
        hour_seconds=HOUR / costs.audio * costs.clip * costs.slowdown,
        hour_bytes=HOUR * machines.bytes,
        hour_reads=HOUR / machines.recording,
        start=costs.start,
        per_shard=machines.per_shard + shard_hours * HOUR / machines.recording * machines.per_recording,
        storage_latency=storage.latency,
        storage_total=storage.total,
        storage_worker=storage.node / machines.cores,
        mtbf=machines.mtbf,
        replaced=machines.replaced,
        variation=machines.variation,
    )


def on_gpus(costs: Costs, job: CorpusJob, gpus: Gpus = GPUS, storage: Storage = STORAGE) -> CorpusJob:
    """Return the job with a GPU per worker, which has nothing to do but wait for the cores that decode for it."""
    cores = gpus.cores / gpus.per_node
    seconds = HOUR / costs.audio * costs.decode * costs.slowdown / cores
    return replace(job, hour_seconds=seconds, storage_worker=storage.node / gpus.per_node, ahead=round(3 * cores))


def tag_points(costs: Costs, shard_hours: float) -> list[TagPoint]:
    """Return the points on cores and on GPUs."""
    price, gpu_price = TAG_MACHINES.core_hour, GPUS.gpu_hour
    points = []
    for workers in assumptions.WORKERS:
        job = corpus_job(costs, workers, shard_hours)
        points.append(TagPoint("cores", workers, shard_hours, simulate_job(job), price))
        points.append(TagPoint("GPUs", workers, shard_hours, simulate_job(on_gpus(costs, job)), gpu_price))
    return points


SHARD_KINDS: dict[str, Callable[[CorpusJob], CorpusJob]] = {
    "workers stay": lambda job: job,
    "workers stay, a dead one's shard is done again": lambda job: replace(job, keeps=False),
    "a job per shard": lambda job: replace(job, start_per_shard=True),
    "a job per shard, done again when it dies": lambda job: replace(job, start_per_shard=True, keeps=False),
}


def shard_sweep(costs: Costs, workers: int) -> dict[str, list[TagPoint]]:
    """Return, for each way to run a job, its points by the size of shards."""
    price = TAG_MACHINES.core_hour
    return {
        kind: [
            TagPoint(kind, workers, hours, simulate_job(change(corpus_job(costs, workers, hours))), price)
            for hours in assumptions.SHARD_HOURS
        ]
        for kind, change in SHARD_KINDS.items()
    }
