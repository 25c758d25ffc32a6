"""Approximate search finds most of what exact search finds, with the same similarities."""

from __future__ import annotations

import builtins

import numpy as np
import pytest

from auricle.core.errors import AuricleError
from auricle.index.search import approximate
from auricle.index.search.approximate import ApproximateSpans, import_faiss
from auricle.index.search.nearest import NearestSpans


@pytest.fixture
def spans(monkeypatch) -> NearestSpans:
    """20,000 vectors with 20 strong directions, which are too many for exact search here."""
    source = np.random.default_rng(0)
    monkeypatch.setattr(approximate, "FEW", 1000)
    strong = source.standard_normal((20_000, 20)) @ source.standard_normal((20, 100))
    return NearestSpans(np.arange(20_000) * 2, (strong + 0.2 * source.standard_normal(strong.shape)).astype(np.float32))


def queries_near(spans: NearestSpans, count: int = 20) -> np.ndarray:
    return spans.units.rows(slice(0, count))


def test_most_neighbours_are_found_and_similarities_are_exact(spans):
    pytest.importorskip("faiss", reason="needs the extra [search]")
    units = queries_near(spans)
    exact_ids, exact = spans.search_units(units, 10)
    ids, similarities = ApproximateSpans(spans).search_units(units, 10)
    assert (ids[:, 0] == exact_ids[:, 0]).all()
    assert np.mean([np.isin(a, b).mean() for a, b in zip(exact_ids, ids)]) > 0.8
    for a, b, found, expected in zip(exact_ids, ids, similarities, exact):
        assert [found[i] for i in np.flatnonzero(np.isin(b, a))] == [expected[i] for i in np.flatnonzero(np.isin(a, b))]
        assert (np.diff(found) <= 0).all()


def test_noise_without_leading_directions_is_searched_too(monkeypatch):
    pytest.importorskip("faiss", reason="needs the extra [search]")
    monkeypatch.setattr(approximate, "FEW", 1000)
    vectors = np.random.default_rng(0).standard_normal((3000, 30)).astype(np.float32)
    ids, similarities = ApproximateSpans(NearestSpans(np.arange(3000), vectors)).search(vectors[:5], 3)
    assert (ids[:, 0] == np.arange(5)).all()
    assert similarities[:, 0] == pytest.approx(1.0, abs=1e-5)


def test_a_search_among_allowed_spans_is_exact(spans):
    pytest.importorskip("faiss", reason="needs the extra [search]")
    allowed = np.arange(0, 40_000, 202)
    units = queries_near(spans, 3)
    for found, expected in zip(
        ApproximateSpans(spans).search_units(units, 5, allowed), spans.search_units(units, 5, allowed)
    ):
        assert (found == expected).all()


def test_without_faiss_the_message_has_the_install_command(spans, monkeypatch):
    original = builtins.__import__

    def refuse(name, *rest, **options):
        if name == "faiss":
            raise ImportError(name)
        return original(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(AuricleError, match=r"pip install 'auricle\[search\]'"):
        import_faiss()
    with pytest.raises(AuricleError, match=r"\[search\]"):
        ApproximateSpans(spans)
