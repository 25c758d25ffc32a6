"""Keyed draws depend on seed, epoch, position and purpose, and on nothing else."""

from __future__ import annotations

import numpy as np
import torch

from auricle.core.randomness import BatchKey, RandomKey, key_of, order_of


def test_equal_keys_draw_equal_numbers_and_every_part_of_a_key_counts():
    drawn = RandomKey(1, 2, 3).of("mask").random(4)
    assert np.array_equal(drawn, RandomKey(1, 2, 3).of("mask").random(4))
    for other in (RandomKey(0, 2, 3).of("mask"), RandomKey(1, 0, 3).of("mask"), RandomKey(1, 2, 0).of("mask")):
        assert not np.array_equal(drawn, other.random(4))
    assert not np.array_equal(drawn, RandomKey(1, 2, 3).of("crop").random(4))


def test_keys_are_the_same_on_every_machine():
    assert key_of(1, "a") == key_of("1", "a") != key_of("1a")
    assert RandomKey(7).of("order").permutation(5).tolist() == order_of(7, 0, 5).tolist()
    assert torch.equal(*(torch.rand(3, generator=RandomKey(7, 1, 2).torch("init")) for _ in range(2)))


def test_a_batch_draws_with_the_keys_of_its_clips():
    batch = BatchKey(1, 2, (5, 3))
    rows = batch.uniform("mask", 4)
    assert rows.shape == (2, 4)
    assert np.array_equal(rows[1], BatchKey(1, 2, (3,)).uniform("mask", 4)[0])
    assert batch.shared("edges").random() == BatchKey(1, 2, (5, 9)).shared("edges").random()
