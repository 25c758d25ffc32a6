"""Exact search gives the answer of comparing everything, whatever it leaves out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auricle.core.errors import AuricleError
from auricle.detectors.suggestions import comparable
from auricle.index.search import bounds, nearest
from auricle.index.search.nearest import NearestSpans


def brute_force(spans: NearestSpans, queries: np.ndarray, top_k: int, rows: np.ndarray | None = None):
    """Ids and similarities of the best rows, equal ones in order, from all products."""
    units = spans.units.rows(slice(None)).astype(np.float64)
    rows = np.arange(len(units)) if rows is None else rows
    products = (units[rows] @ spans.units.of(queries).T.astype(np.float64)).astype(np.float32).T
    order = np.argsort(-products, axis=1, kind="stable")[:, :top_k]
    return spans.ids[rows[order]], np.take_along_axis(products, order, axis=1)


def embeddings(count: int, width: int, rank: int, seed: int, repeats: int = 0) -> np.ndarray:
    """Vectors that vary along ``rank`` directions and a little along all others; the last ``repeats`` repeat the first ones."""
    source = np.random.default_rng(seed)
    strong = source.standard_normal((count, rank)) @ source.standard_normal((rank, width))
    vectors = (strong + 0.05 * source.standard_normal((count, width)) + 3.0).astype(np.float32)
    if repeats:
        vectors[-repeats:] = vectors[:repeats]
    return vectors


@pytest.fixture
def few_rows(monkeypatch):
    """Compare as few rows in full as if there were a million, so that bounds decide."""
    monkeypatch.setattr(nearest, "FEW", 40)


@given(
    count=st.integers(1, 400),
    width=st.integers(1, 80),
    rank=st.integers(1, 6),
    top_k=st.integers(1, 30),
    repeats=st.integers(0, 40),
    zeros=st.integers(0, 3),
    dtype=st.sampled_from(["float32", "float16", "int8"]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_the_answer_is_that_of_comparing_all(count, width, rank, top_k, repeats, zeros, dtype, seed):
    vectors = embeddings(count, width, rank, seed, min(repeats, count))
    vectors[: min(zeros, count)] = 0.0
    queries = np.concatenate([vectors[:3], embeddings(2, width, rank, seed + 1), np.zeros((1, width), np.float32)])
    spans = NearestSpans(np.arange(count) * 7 + 3, vectors, dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nearest, "FEW", 40)
        ids, similarities = spans.search(queries, top_k)
    expected_ids, expected = brute_force(spans, queries, top_k)
    assert (ids == expected_ids).all()
    assert (similarities == expected).all()


@pytest.mark.parametrize("way", ["kernel of PyTorch", "without it"])
@pytest.mark.parametrize("rank", [3, 200])
def test_large_sets_are_searched_by_bounds_and_most_rows_are_left_out(way, rank, monkeypatch):
    monkeypatch.setattr(nearest, "FEW", 300)
    if way == "without it":
        monkeypatch.setattr(bounds, "torch_multiplies_exactly", lambda: False)
    vectors = embeddings(20_000, 200, rank, 0) if rank == 3 else np.random.default_rng(0).standard_normal((20_000, 200))
    spans = NearestSpans(np.arange(len(vectors)), vectors)
    assert len(spans.coarse) == (2 if rank == 3 else 1)  # noise has no leading directions
    compared: list[int] = []
    best = NearestSpans._best

    def counted(self, candidates, *rest):
        compared.extend(map(len, candidates))
        return best(self, candidates, *rest)

    monkeypatch.setattr(NearestSpans, "_best", counted)
    queries = embeddings(4, 200, rank, 1)
    ids, similarities = spans.search(queries, 10)
    expected_ids, expected = brute_force(spans, queries, 10)
    assert (ids == expected_ids).all()
    assert (similarities == expected).all()
    assert max(compared) < 2_000


@pytest.mark.usefixtures("few_rows")
@pytest.mark.parametrize("allowed", [[], [3], [5, 4, 4, 9999], list(range(1, 1500, 2))])
def test_only_allowed_spans_are_found(allowed):
    vectors = embeddings(1500, 48, 4, 0, repeats=100)
    spans = NearestSpans(np.arange(1500), vectors)
    rows = np.array(sorted({id for id in allowed if id < 1500}), np.int64)
    ids, similarities = spans.search(vectors[:3], 8, allowed_ids=allowed)
    expected_ids, expected = brute_force(spans, vectors[:3], 8, rows)
    assert (ids == expected_ids).all()
    assert (similarities == expected).all()


@pytest.mark.usefixtures("few_rows")
def test_an_outlier_does_not_spoil_the_bounds():
    vectors = embeddings(2000, 64, 20, 0)
    vectors[7] = 0.0
    vectors[7, 5] = 1e6  # one coordinate holds everything: the worst case of one scale per row
    spans = NearestSpans(np.arange(2000), vectors)
    ids, similarities = spans.search(vectors[5:9], 10)
    expected_ids, expected = brute_force(spans, vectors[5:9], 10)
    assert (ids == expected_ids).all()
    assert (similarities == expected).all()


def test_similarity_is_that_of_suggestions():
    vectors = embeddings(50, 16, 4, 0)
    ids, similarities = NearestSpans(np.arange(50), vectors).search(vectors[3], 2)
    units = comparable(vectors, vectors.mean(0, dtype=np.float64))
    assert ids[0, 0] == 3
    assert similarities[0, 0] == pytest.approx(1.0, abs=1e-6)
    assert similarities[0, 1] == pytest.approx(np.sort(units @ units[3])[-2], abs=1e-6)


def test_an_index_without_spans_finds_nothing():
    ids, similarities = NearestSpans([], np.zeros((0, 16), np.float32)).search(np.zeros((2, 16), np.float32), 5)
    assert ids.shape == similarities.shape == (2, 0)


@pytest.mark.parametrize(
    ("query", "message"), [(np.zeros(5), "has 16 numbers|have 16 numbers"), (np.full(16, np.nan), "no numbers")]
)
def test_unfit_queries_are_refused_in_words(query, message):
    spans = NearestSpans(np.arange(20), embeddings(20, 16, 4, 0))
    with pytest.raises(AuricleError, match=message):
        spans.search(query)


def test_vectors_that_are_no_numbers_are_refused_in_words():
    vectors = embeddings(20, 16, 4, 0)
    vectors[11, 3] = np.inf
    with pytest.raises(AuricleError, match="vector 11 of 20"):
        NearestSpans(np.arange(20), vectors)


@given(count=st.integers(1, 50), width=st.integers(1, 1500), queries=st.integers(1, 5), seed=st.integers(0, 100))
@settings(max_examples=15, deadline=None)
def test_products_of_codes_are_exact_integers_with_and_without_the_kernel(count, width, queries, seed):
    source = np.random.default_rng(seed)
    rows = source.choice([-127, 127, 3], (count, width)).astype(np.int8)
    columns = source.choice([-127, 127, -1], (queries, width)).astype(np.int8)
    expected = columns.astype(np.int64) @ rows.astype(np.int64).T
    assert (bounds.int8_products(rows, columns).numpy() == expected).all()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounds, "torch_multiplies_exactly", lambda: False)
        assert (bounds.int8_products(rows, columns).numpy() == expected).all()
