"""Rows of an embedding store that nobody needs are removed, and their room is freed."""

from __future__ import annotations

import random

import numpy as np
import pytest

from auricle.data.stores import compaction
from auricle.data.stores.compaction import keep_only
from auricle.data.stores.embeddings import EmbeddingStore
from auricle.data.stores.shards import ClipEmbedding


def clips(ids) -> list[ClipEmbedding]:
    return [ClipEmbedding(str(id), {"clip": np.full(3, id, np.float32)}) for id in ids]


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(compaction, "SHARD_CLIPS", 8)
    return EmbeddingStore.create(tmp_path / "store", {"encoder": "abc"})


def files(store) -> list[str]:
    return sorted(path.name for path in store.folder.glob("shard-*"))


@pytest.mark.parametrize("seed", range(4))
def test_what_stays_can_be_read_and_nothing_else(store, seed):
    draw, expected, next_id = random.Random(seed), set(), 0
    for _ in range(10):
        added = range(next_id, next_id + draw.randrange(12))
        next_id += len(added)
        store.append(clips(added))
        expected |= set(added)
        if draw.random() < 0.6:
            expected = set(draw.sample(sorted(expected), len(expected) // 2))
            keep_only(store, map(str, expected))
            assert len(store) == len(expected)
    again = EmbeddingStore.open(store.folder)
    assert set(map(str, expected)) <= set(again.ids)
    for id in expected:
        assert np.array_equal(again.vectors([str(id)])[0], np.full(3, id))


def test_small_shards_are_joined_and_full_ones_are_not_written_again(store):
    store.append(clips(range(8)))
    for id in range(8, 12):
        store.append(clips([id]))
    full = store.shard_file(0).stat().st_mtime_ns
    assert keep_only(store, map(str, range(12))) == 0
    assert len(files(store)) == 2
    assert store.shard_file(0).stat().st_mtime_ns == full
    before = files(store)
    keep_only(store, map(str, range(12)))
    assert files(store) == before


def test_a_shard_without_a_needed_row_is_removed(store):
    store.append(clips(range(8)))
    store.append(clips(range(8, 16)))
    assert keep_only(store, map(str, range(8, 16))) == 8
    assert files(store) == ["shard-000001.safetensors"]
    keep_only(store, [])
    assert (files(store), len(store)) == ([], 0)
    store.append(clips([99]))
    assert files(store) == ["shard-000002.safetensors"]  # no number is used twice


def test_a_process_that_is_killed_before_the_old_files_are_removed_loses_and_doubles_nothing(store, monkeypatch):
    for id in range(4):
        store.append(clips([id]))
    monkeypatch.setattr(compaction, "_remove", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        keep_only(store, map(str, range(3)))
    again = EmbeddingStore.open(store.folder)
    assert again.ids == ("0", "1", "2")
    monkeypatch.undo()
    keep_only(again, map(str, range(3)))
    assert len(files(again)) == 1
    assert np.array_equal(again.vectors(["2"])[0], np.full(3, 2.0))


def test_int8_rows_stay_what_they_are_when_they_are_moved(tmp_path, monkeypatch):
    monkeypatch.setattr(compaction, "SHARD_CLIPS", 8)
    store = EmbeddingStore.create(tmp_path / "store", {}, dtype="int8")
    rows = np.random.default_rng(0).standard_normal((6, 16)).astype(np.float32)
    for id, row in enumerate(rows):
        store.append([ClipEmbedding(str(id), {"clip": row})])
    before = store.vectors()
    keep_only(store, store.ids)
    assert len(files(store)) == 1
    assert np.allclose(store.vectors(), before, rtol=1e-6, atol=0)
