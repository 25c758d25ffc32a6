"""Clips shard by shard: few shards at a time, the same clips, keyed, whatever the ranks and wherever a run begins."""

from __future__ import annotations

from itertools import chain, islice, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.commands.prepare.shards import ShardsConfig, prepare_shards
from auricle.core.errors import AuricleError
from auricle.data.loading.sampler import ShuffledBatches
from auricle.methods.supervised.data import open_labelled
from auricle.training.distributed import DistContext
from helpers.finetune_runs import config, labelled_sounds, weight_file

SHARDS = np.repeat(np.arange(10), 20)[np.random.default_rng(0).permutation(200)]  # 10 shards of 20 clips


def sampler(**changes) -> ShuffledBatches:
    return ShuffledBatches(200, **{"batch_size": 5, "seed": 3, "shards": SHARDS, "buffer": 30, **changes})


def test_an_epoch_holds_every_clip_once():
    assert sorted(sampler().order(4).tolist()) == list(range(200))


def test_only_the_shards_of_a_buffer_are_read_at_a_time():
    order = SHARDS[sampler().order(0)]
    assert max(len(set(order[i : i + 30])) for i in range(0, 200, 30)) <= 3
    first_and_last = [(np.flatnonzero(order == shard)[[0, -1]] // 30) for shard in range(10)]
    assert max(last - first for first, last in first_and_last) <= 1


def test_shards_and_clips_have_orders_of_their_own_in_every_epoch():
    first, second = sampler().order(0), sampler().order(1)
    assert list(dict.fromkeys(SHARDS[first])) != list(dict.fromkeys(SHARDS[second]))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(sampler().order(1), second)
    assert not np.array_equal(sampler(seed=4).order(0), first)


def test_clips_of_neighbouring_shards_are_mixed():
    order = SHARDS[sampler(buffer=100).order(0)]
    assert len(set(order[:20].tolist())) >= 4


@settings(max_examples=30, deadline=None)
@given(batch_size=st.integers(1, 7), buffer=st.integers(1, 300), world=st.integers(1, 4))
def test_ranks_take_equally_many_steps_of_one_order(batch_size, buffer, world):
    ranks = [
        list(sampler(batch_size=batch_size, buffer=buffer, rank=rank, world=world, epochs=1)) for rank in range(world)
    ]
    assert len({len(batches) for batches in ranks}) == 1
    single = list(sampler(batch_size=batch_size * world, buffer=buffer, epochs=1))
    assert [list(chain(*batches)) for batches in zip(*ranks, strict=True)] == single


@settings(max_examples=30, deadline=None)
@given(start=st.integers(0, 90))
def test_a_run_continues_in_the_middle_of_a_shard(start):
    whole = sampler()
    epoch, step = divmod(start, whole.micro_steps)
    assert list(islice(sampler(epoch=epoch, micro_step=step), 5)) == list(islice(whole, start, start + 5))


def test_weights_decide_which_clips_are_drawn_and_shards_in_which_order():
    weights = np.where(np.arange(200) < 100, 1.0, 0.0)
    free, ordered = (sampler(weights=weights, shards=shards).order(0) for shards in (None, SHARDS))
    assert sorted(free.tolist()) == sorted(ordered.tolist())
    assert len(set(SHARDS[ordered[:30]])) < len(set(SHARDS[free[:30]]))


def test_shards_that_do_not_fit_the_clips_are_refused():
    with pytest.raises(AuricleError, match="shards of 200 clips and a buffer of at least 1"):
        sampler(shards=SHARDS[:10])


def test_a_run_reads_its_source_shard_by_shard(tmp_path):
    sounds, model = labelled_sounds(tmp_path / "sounds"), weight_file(tmp_path)
    prepare_shards(ShardsConfig(str(sounds), str(tmp_path / "shards"), shard_size="60KB", workers=0, quiet=True))
    ranks = DistContext(0, 1, torch.device("cpu"), quiet=True)
    changes = {"shuffle": "shards", "shuffle_buffer": 2, "epochs": 1}
    data = open_labelled(config(tmp_path / "shards", tmp_path / "run", model, **changes), ranks)
    stores = [data.dataset.clip(int(row)).store for row in data.training_sampler().order(0)]
    changes_of_store = sum(one != other for one, other in pairwise(stores))
    assert len(set(stores)) >= 3
    assert changes_of_store <= 2 * len(set(stores))
    loose = open_labelled(config(sounds, tmp_path / "run", model, **changes), ranks)
    with pytest.raises(AuricleError, match="'auricle prepare shards' writes them"):
        loose.training_sampler()
