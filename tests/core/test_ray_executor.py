"""The Ray executor: two actors give what one process gives, also when one of them is killed. Needs the [ray] extra."""

from __future__ import annotations

import importlib.util

import pytest

from auricle.core.errors import AuricleError
from auricle.core.executors.ray_actors import RayExecutor
from helpers import corpus_workers

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="[ray] is not installed")


@pytest.mark.skipif(importlib.util.find_spec("ray") is not None, reason="[ray] is installed")
def test_without_ray_the_extra_is_named():
    with pytest.raises(AuricleError, match=r"pip install 'auricle\[ray\]'"):
        RayExecutor(2)


@needs_ray
@pytest.mark.slow
def test_two_actors_give_the_results_in_order_and_do_again_what_a_killed_one_held(tmp_path):
    import ray

    with ray.init(num_cpus=2, object_store_memory=128 << 20, include_dashboard=False, logging_level="ERROR"):
        for make, expected in (
            (corpus_workers.doubles, [2 * part for part in range(60)]),
            (corpus_workers.mortal_in(tmp_path, once=13), list(range(60))),
        ):
            assert list(RayExecutor(2).run(make, range(60), "{}: {}".format, [].append)) == expected
        found = list(RayExecutor(2).run(corpus_workers.mortal_in(tmp_path, always=5), range(20), "{1}".format, print))
    assert found[:5] + found[6:] == [part for part in range(20) if part != 5]
    assert found[5].startswith("the actor died each of 3 times")
