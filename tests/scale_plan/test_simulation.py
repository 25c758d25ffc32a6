"""The laws of the simulation in ``benchmarks/scale_plan``."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import simpy
from benchmarks.scale_plan.corpus_job import CorpusJob, simulate_job
from benchmarks.scale_plan.long_run import LongRun, best_checkpoint_interval, simulate_long_run
from benchmarks.scale_plan.pool import PoolCosts, simulate_pool
from benchmarks.scale_plan.sharing import cores_of, link_of
from benchmarks.scale_plan.steps import Cluster, StepCosts, all_reduce_seconds, exposed_exchange, simulate_steps

POOL = PoolCosts(command=2.0, process=3.0, decode=0.008, score=0.005, hand_over=0.001, gather=0.002, end=0.1)
STEP = StepCosts(load=0.1, read_bytes=1e6, reads=2, forward_backward=0.05, update=0.01, gradient_bytes=4e8)
ONE = Cluster(nodes=1, ranks=1, cores=1, loaders=0)
JOB = CorpusJob(
    hours=1000, shard_hours=10, workers=4, hour_seconds=9, hour_bytes=3e7, hour_reads=360, start=6, per_shard=1
)
RUN = LongRun(work=36000, start=60, checkpoint_every=600, checkpoint=5, notice=120, nodes=8)


# ---- sharing
def test_two_jobs_that_share_a_link_finish_when_their_bytes_are_through():
    env = simpy.Environment()
    link, ends = link_of(env, total=10.0, each=10.0), {}

    def send(name, begin, size):
        yield env.timeout(begin)
        yield link.use(size)
        ends[name] = env.now

    env.process(send("long", 0, 100))
    env.process(send("short", 4, 15))  # alone 40 of 100 bytes, then 5 bytes/s each for 3 s, then alone again
    env.run()
    assert ends == pytest.approx({"short": 7.0, "long": 11.5})
    assert link.utilisation() == pytest.approx(1.0)


def test_no_user_of_a_link_is_faster_than_its_own_limit():
    env = simpy.Environment()
    env.run(link_of(env, total=100.0, each=5.0).use(50))
    assert env.now == pytest.approx(10.0)


def test_a_job_that_is_given_up_leaves_its_rate_to_the_others():
    env = simpy.Environment()
    cores = cores_of(env, 1)
    first, second = cores.use(10), cores.use(10)
    env.run(4)
    assert cores.give_up(first) == pytest.approx(8.0)
    env.run(second)
    assert env.now == pytest.approx(12.0)


def test_busy_cores_slow_each_other_down_and_a_single_one_does_not():
    for jobs, seconds in ((1, 6.0), (2, 6.0 * 1.25), (4, 2 * 6.0 * 1.25)):
        env = simpy.Environment()
        cores = cores_of(env, 2, slowdown=1.25)
        env.run(simpy.AllOf(env, [cores.use(6.0) for _ in range(jobs)]))
        assert env.now == pytest.approx(seconds)


# ---- a pool
def test_one_process_on_one_core_takes_the_sum_of_all_costs():
    run = simulate_pool(POOL, cores=1, processes=1, clips=50)
    assert run.seconds == pytest.approx(2.0 + 3.0 + 50 * POOL.clip + 0.1)
    assert run.utilisation == pytest.approx(1.0)


def test_a_free_core_hides_decoding_behind_the_network():
    run = simulate_pool(POOL, cores=4, processes=1, clips=400)
    assert 1 / run.rate(50) == pytest.approx(max(POOL.decode / 2, POOL.score + POOL.hand_over), rel=1e-3)


@pytest.mark.parametrize("slowdown", [1.0, 1.3])
def test_twice_the_processes_are_at_most_twice_as_fast(slowdown):
    costs = replace(POOL, slowdown=slowdown)
    one, two = (simulate_pool(costs, 2, processes, 400) for processes in (1, 2))
    assert one.rate(50) < two.rate(50) <= 2 * one.rate(50)
    assert two.rate(50) == pytest.approx(2 / slowdown / costs.clip, rel=0.01)  # both cores are full
    assert len(one.answers) == len(two.answers) == 400


# ---- weight updates
def test_a_rank_alone_takes_the_sum_of_its_costs():
    cluster = replace(ONE, storage_total=1e7, storage_node=1e7, storage_latency=0.01)
    run = simulate_steps(STEP, cluster, updates=10)
    assert run.seconds == pytest.approx(2 * 0.01 + 0.1 + STEP.load + STEP.forward_backward + STEP.update)


def test_loaders_hide_behind_the_device_until_the_cores_are_full():
    fast = simulate_steps(STEP, replace(ONE, cores=4, loaders=4), updates=40, skip=20)
    assert fast.seconds == pytest.approx(STEP.forward_backward + STEP.update)
    assert fast.waiting == pytest.approx(0.0)
    bound = simulate_steps(replace(STEP, load=0.5), replace(ONE, cores=4, loaders=4), updates=40, skip=20)
    assert bound.seconds == pytest.approx(0.5 / 4, rel=0.02)
    assert bound.cores == pytest.approx(1.0, abs=0.02)


def test_a_full_storage_gives_exactly_its_bandwidth():
    costs = replace(STEP, read_bytes=1e8, load=0.0)
    run = simulate_steps(costs, Cluster(4, 2, 8, 4, storage_total=1e9, storage_node=1e9), updates=60, skip=40)
    assert run.seconds == pytest.approx(8 * 1e8 / 1e9, rel=0.02)
    assert run.storage == pytest.approx(1.0, abs=0.02)


def test_all_wait_for_the_slowest():
    cluster = Cluster(nodes=4, ranks=2, cores=8, loaders=2, slow_nodes=0.25, slow_by=1.5)
    costs = replace(STEP, load=0.0, read_bytes=0.0)
    run = simulate_steps(costs, cluster, updates=20, skip=5)
    assert run.seconds == pytest.approx(1.5 * (STEP.forward_backward + STEP.update) - 0.5 * STEP.update, rel=0.11)
    assert run.straggling > 0
    varied = replace(costs, variation=0.05)
    few, many = (simulate_steps(varied, Cluster(n, 2, 8, 2), updates=100, skip=5).seconds for n in (1, 16))
    assert many > few > STEP.forward_backward + STEP.update


def test_more_ranks_never_do_more_than_their_number():
    costs = replace(STEP, variation=0.02, load=0.02)
    rates = [n / simulate_steps(costs, Cluster(n, 4, 16, 3, storage_total=5e7), 40, 20).seconds for n in (1, 2, 4, 8)]
    assert all(more <= 2 * less * 1.001 for less, more in pairwise(rates))


def test_a_ring_passes_nearly_twice_the_bytes_and_waits_for_two_rounds_of_messages():
    assert all_reduce_seconds(1, 4e8, 1e10, 1e-5) == 0.0
    assert all_reduce_seconds(2, 4e8, 1e10, 0.0) == pytest.approx(4e8 / 1e10)
    assert all_reduce_seconds(1024, 4e8, 1e10, 1e-5) == pytest.approx(2 * 4e8 / 1e10 * 1023 / 1024 + 2 * 1023 * 1e-5)


def test_the_last_bucket_is_never_hidden():
    cluster = Cluster(2, 8, 8, 2, link_bytes=1e10, overlap=0.5, last_bucket=0.1)
    whole = all_reduce_seconds(16, STEP.gradient_bytes, 1e10, 0.0)
    assert exposed_exchange(STEP, cluster) == pytest.approx(whole - 0.025)
    assert exposed_exchange(replace(STEP, forward_backward=10.0), cluster) == pytest.approx(0.1 * whole)


def test_equal_seeds_give_equal_runs():
    varied = replace(STEP, variation=0.1)
    first, again, other = (simulate_steps(varied, Cluster(2, 2, 8, 2), 30, 5, seed) for seed in (1, 1, 2))
    assert first == again != other


# ---- a whole run
def test_a_run_without_failures_is_its_work_and_its_checkpoints():
    run = simulate_long_run(RUN)
    assert run.seconds == pytest.approx(60 + 36000 + 60 * 5)
    assert (run.failures, run.lost, run.noticing) == (0, 0.0, 0.0)


@pytest.mark.parametrize("seed", range(5))
def test_failures_cost_time_and_never_work(seed):
    run = simulate_long_run(replace(RUN, node_mtbf=20_000.0), seed)
    assert run.failures > 0
    assert run.work == pytest.approx(RUN.work)
    assert 0 <= run.lost <= run.failures * (RUN.checkpoint_every + RUN.checkpoint)
    assert run.seconds == pytest.approx(run.work + run.starting + run.checkpoints + run.lost + run.noticing)


def test_youngs_interval_is_better_than_a_much_longer_and_a_much_shorter_one():
    mtbf = 3600.0
    best = best_checkpoint_interval(RUN.checkpoint, mtbf)

    def seconds(every):
        runs = (replace(RUN, work=400_000, nodes=1, node_mtbf=mtbf, checkpoint_every=every),)
        return sum(simulate_long_run(run, seed).seconds for run in runs for seed in range(4))

    assert seconds(best) < min(seconds(best / 8), seconds(best * 8))


# ---- a corpus
def test_one_worker_takes_the_sum_of_all_shards():
    run = simulate_job(replace(JOB, workers=1))
    assert run.seconds == pytest.approx(6 + 100 * 1 + 1000 * 9)
    assert (run.tail, run.lost) == (0.0, 0.0)


def test_a_last_smaller_shard_is_tagged_too():
    assert simulate_job(replace(JOB, workers=1, hours=1003)).seconds == pytest.approx(6 + 101 + 1003 * 9)


def test_workers_are_at_most_as_many_times_faster_and_a_large_shard_leaves_a_tail():
    one = simulate_job(replace(JOB, workers=1)).seconds
    for shard_hours in (10, 90, 1000):
        run = simulate_job(replace(JOB, shard_hours=shard_hours))
        assert run.seconds >= one / 4 * 0.98
    assert run.seconds == pytest.approx(6 + 1 + 9000)
    assert run.tail == pytest.approx(9001)


def test_reading_that_is_slower_than_computing_sets_the_pace():
    total = simulate_job(replace(JOB, storage_total=3e6))
    assert total.seconds == pytest.approx(1000 * 3e7 / 3e6, rel=0.02)
    assert total.storage == pytest.approx(1.0, abs=0.02)
    waiting = simulate_job(replace(JOB, workers=1, storage_latency=1.0, ahead=3))
    assert waiting.seconds == pytest.approx(6 + 100 + 1000 * 360 / 3)


@pytest.mark.parametrize("keeps", [True, False])
def test_workers_that_die_lose_at_most_their_shard(keeps):
    job = replace(JOB, mtbf=500.0, replaced=30.0, keeps=keeps, variation=0.05)
    run = simulate_job(job, seed=3)
    assert run == simulate_job(job, seed=3)
    assert run.deaths > 0
    assert run.computed == pytest.approx(1000 * 9, rel=0.1)
    assert run.lost == 0 if keeps else 0 < run.lost <= run.deaths * 10 * 9 * 1.3
    assert run.seconds > simulate_job(replace(job, mtbf=math.inf), seed=3).seconds
