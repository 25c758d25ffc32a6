"""Near duplicates that were put in are found, in any block, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from auricle.core.errors import AuricleError
from auricle.index.search import duplicates
from auricle.index.search.duplicates import near_duplicates
from auricle.index.search.nearest import NearestSpans


def planted(groups: list[int], others: int, width: int, seed: int) -> tuple[np.ndarray, list[set[int]]]:
    """Vectors of which some are almost the same, in an order of chance; and their groups of rows."""
    source = np.random.default_rng(seed)
    vectors = [source.standard_normal((1, width)).repeat(size, 0) for size in groups]
    vectors = np.concatenate([*vectors, source.standard_normal((others, width))])
    vectors = vectors + 0.01 * source.standard_normal(vectors.shape)
    order, member = source.permutation(len(vectors)), np.repeat(np.arange(len(groups)), groups)
    rows = np.argsort(order)[: len(member)]
    return vectors[order].astype(np.float32), [set(rows[member == g].tolist()) for g in range(len(groups))]


@pytest.mark.parametrize("side", [32, 2048])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_planted_groups_are_found_largest_first(side, dtype, monkeypatch):
    monkeypatch.setattr(duplicates, "SIDE", side)
    vectors, groups = planted([2, 5, 3, 40], 300, 64, seed=0)
    spans = NearestSpans(np.arange(len(vectors)), vectors, dtype)
    found = near_duplicates(spans.ids, spans.units, 0.98)
    assert [set(group.ids) for group in found] == [groups[3], groups[1], groups[2], groups[0]]
    for group in found:
        assert list(group.ids) == sorted(group.ids)
        assert group.similarities[0] == pytest.approx(1.0, abs=0.01)
        assert min(group.similarities) >= 0.97


@given(
    count=st.integers(0, 150),
    width=st.integers(1, 70),
    threshold=st.floats(0.05, 1.0),
    seed=st.integers(0, 1000),
    of_recordings=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_groups_are_those_of_all_pairs(count, width, threshold, seed, of_recordings):
    source = np.random.default_rng(seed)
    vectors = (source.integers(-1, 2, (count, width)) + 0.1 * source.standard_normal((count, width))).astype(np.float32)
    spans = NearestSpans(np.arange(count), vectors)
    recordings = source.integers(0, 10, count) if of_recordings else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "SIDE", 32)
        found = near_duplicates(spans.ids, spans.units, threshold, recordings=recordings)
    units = spans.units.rows(slice(None))
    linked = np.einsum("nd,md->nm", units, units, dtype=np.float64) >= threshold - duplicates.EQUAL
    if recordings is not None:
        linked &= recordings[:, None] != recordings
    expected = set()
    if count:
        numbers = connected_components(linked, directed=False)[1]
        expected = {tuple(np.flatnonzero(numbers == n).tolist()) for n in set(numbers) if (numbers == n).sum() > 1}
    assert {group.ids for group in found} == expected


def test_two_spans_of_one_recording_are_no_duplicates_of_each_other():
    vectors, (group,) = planted([4], 30, 32, seed=1)
    spans, rows = NearestSpans(np.arange(34), vectors), sorted(group)
    same = np.arange(34)
    same[rows] = 99
    assert near_duplicates(spans.ids, spans.units, 0.98, recordings=same) == []
    same[rows[0]] = 100
    assert [set(g.ids) for g in near_duplicates(spans.ids, spans.units, 0.98, recordings=same)] == [group]


def test_an_impossible_threshold_is_refused():
    spans = NearestSpans(np.arange(2), np.eye(2, 8, dtype=np.float32))
    with pytest.raises(AuricleError, match=r"above 0 and up to 1, got 1\.5"):
        near_duplicates(spans.ids, spans.units, 1.5)


def test_every_row_is_reported_once():
    vectors, _ = planted([3], 100, 16, seed=0)
    spans, done = NearestSpans(np.arange(103), vectors), []
    near_duplicates(spans.ids, spans.units, 0.98, on_rows=done.append)
    assert sum(done) == 103
