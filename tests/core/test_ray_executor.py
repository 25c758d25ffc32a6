"""Ray Data: two actors give what one process gives, also when one of them is killed. Needs the [ray] extra."""

from __future__ import annotations

import importlib.util
import time

import pytest

from auricle.core.errors import AuricleError
from auricle.core.executors.pool import TRIES
from auricle.core.executors.ray_data import RayExecutor
from helpers import corpus_workers
from helpers.patience import PATIENCE

installed = all(importlib.util.find_spec(name) is not None for name in ("ray", "pandas", "pyarrow"))
needs_ray = pytest.mark.skipif(not installed, reason="[ray] is not installed")


@pytest.mark.skipif(installed, reason="[ray] is installed")
def test_without_ray_the_extra_is_named():
    with pytest.raises(AuricleError, match=r"pip install 'auricle\[ray\]'"):
        RayExecutor(2)


@pytest.fixture(scope="module")
def cluster():
    import ray

    with ray.init(num_cpus=2, object_store_memory=128 << 20, include_dashboard=False, logging_level="ERROR"):
        yield


def results(make, parts, messages=None):
    return list(RayExecutor(2).run(make, parts, "{}: {}".format, ([] if messages is None else messages).append))


@needs_ray
@pytest.mark.slow
def test_two_actors_give_the_results_in_the_order_of_the_parts(cluster):
    assert results(corpus_workers.doubles, range(60)) == [2 * part for part in range(60)]
    assert results(corpus_workers.greedy, range(13)) == list(range(13))


@needs_ray
@pytest.mark.slow
def test_what_a_killed_actor_held_is_done_again_and_told_once_more(cluster, tmp_path):
    messages: list[int] = []
    assert results(corpus_workers.mortal_in(tmp_path, once=13), range(60), messages) == list(range(60))
    assert (tmp_path / "13").exists()
    assert sorted(messages) == list(range(60)), "messages come with the results of a batch"


@needs_ray
@pytest.mark.slow
def test_only_the_part_that_kills_its_actors_is_named(cluster, tmp_path):
    found = results(corpus_workers.mortal_in(tmp_path, always=5), range(20))
    assert found[:5] + found[6:] == [part for part in range(20) if part != 5]
    assert found[5] == f"5: the actor died each of {TRIES} times"


@needs_ray
@pytest.mark.slow
def test_an_exception_and_a_worker_that_cannot_be_made_end_the_run(cluster):
    with pytest.raises(ValueError, match="part 1"):
        results(corpus_workers.faulty, range(6))
    with pytest.raises(AuricleError, match="the actors of Ray end as they make their workers"):
        results(corpus_workers.still_born, range(3))


@needs_ray
@pytest.mark.slow
def test_no_actor_is_left_when_the_caller_stops_early(cluster):
    import ray

    stream = RayExecutor(2).run(corpus_workers.doubles, range(2000), str, print)
    assert next(stream) == 0
    stream.close()
    end = time.monotonic() + PATIENCE
    while ray.available_resources().get("CPU") != 2 and time.monotonic() < end:
        time.sleep(0.1)
    assert ray.available_resources()["CPU"] == 2
