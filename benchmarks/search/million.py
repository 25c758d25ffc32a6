"""Exact and approximate search among many generated vectors: time of a query, recall, building, memory, vectors of fewer bits.

like embeddings: the mean and the covariance of mn04's embeddings of ESC-10 (of which 5 % are spread evenly over all directions),
half of it between 1,000 clusters and half within them. noise: independent normal numbers, which have no neighbours to speak of.
Everything is measured beside reading the same bytes, since that is what exact search cannot go below; times are minima and medians
over queries of the shortest of some rounds, so that other programs on the machine count little.
"""

from __future__ import annotations

import resource
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import auricle
from auricle.index.search.approximate import ApproximateSpans
from auricle.index.search.nearest import NearestSpans, make_coarse
from auricle.index.search.unit_vectors import UnitVectors
from benchmarks.detectors.settings import MODEL, WEIGHTS
from benchmarks.small_scale.sounds import esc10

LIKE, NOISE = "like embeddings", "noise"
KINDS = (LIKE, NOISE)
DTYPES = ("float32", "float16", "int8")
QUERIES, TOP_K, BATCH, CLUSTERS = 64, 10, 16, 1000
BLOCK = 65_536
Vectors = Callable[[int, int, int], np.ndarray]  # seed, first row, rows


def generator(shared: Path, kind: str, width: int) -> Vectors:
    """Return the function that makes rows of generated vectors, block by block, so that a million need no memory."""
    if kind == NOISE:
        return lambda seed, first, rows: np.random.default_rng((seed, first)).standard_normal((rows, width), np.float32)
    embeddings = auricle.Embedder(MODEL, weights=shared / WEIGHTS)(esc10(shared)).clip.astype(np.float64)
    if embeddings.shape[1] != width:
        raise SystemExit(f"vectors like those of {MODEL} have {embeddings.shape[1]} numbers; leave --width out")
    covariance = np.cov(embeddings.T)
    covariance = 0.95 * covariance + 0.05 * np.trace(covariance) / width * np.eye(width)
    spread = (np.linalg.cholesky(covariance) * np.sqrt(0.5)).astype(np.float32)
    mean = embeddings.mean(0).astype(np.float32)
    centres = np.random.default_rng(0).standard_normal((CLUSTERS, width), np.float32)

    def make(seed: int, first: int, rows: int) -> np.ndarray:
        source = np.random.default_rng((seed, first))
        own = source.standard_normal((rows, width), np.float32)
        return mean + (centres[source.integers(0, CLUSTERS, rows)] + own) @ spread.T

    return make


def measure(shared: Path, out: Path, kinds: list[str], count: int, width: int, rounds: int) -> None:
    """Print what is measured for each kind of vectors."""
    for kind in kinds:
        make = generator(shared, kind, width)
        queries, neighbours = make(1, 0, QUERIES), None
        for dtype in DTYPES:
            folder = out / f"million-{kind.replace(' ', '-')}-{dtype}"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            started, used = time.perf_counter(), time.process_time()
            nearest = build(make, count, dtype, folder)
            spent = f"{time.perf_counter() - started:.0f} s, {time.process_time() - used:.0f} s of processors"
            size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
            levels = " then ".join(str(level.codes.shape[1]) for level in nearest.coarse)
            print(f"\n{kind}, {count:,} x {width}, {dtype}: built in {spent}; {size:.0f} MB; codes of {levels} numbers")
            ids = timed(f"exact, {dtype}", nearest, queries, rounds)
            if neighbours is None:
                neighbours = ids
                check(nearest, queries, ids)
                read_alone(nearest, rounds)
                batched(nearest, queries, rounds)
                approximate(nearest, queries, neighbours, rounds)
            print(f"recall@{TOP_K} of float32's neighbours: {recall(neighbours, ids):.4f}")
            shutil.rmtree(folder)
    print(
        f"peak memory of all: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB, mapped files included"
    )


def build(make: Vectors, count: int, dtype: str, folder: Path) -> NearestSpans:
    """Write the files of an index of generated vectors, and map them."""

    def blocks() -> Iterator[np.ndarray]:
        for first in range(0, count, BLOCK):
            yield make(0, first, min(BLOCK, count - first))

    units = UnitVectors.make(blocks, count, dtype, folder)
    make_coarse(units, folder)
    return NearestSpans.of_folder(np.arange(count), UnitVectors.open(folder), folder)


def timed(name: str, nearest: NearestSpans | ApproximateSpans, queries: np.ndarray, rounds: int) -> np.ndarray:
    """Search each query alone, print its time, and return the ids (Q, k)."""
    wall, used, found = np.zeros((rounds, len(queries))), np.zeros((rounds, len(queries))), []
    nearest.search(queries[0], TOP_K)  # maps the files
    for number in range(rounds):
        for q, query in enumerate(queries):
            started, before = time.perf_counter(), time.process_time()
            ids, _ = nearest.search(query, TOP_K)
            wall[number, q], used[number, q] = time.perf_counter() - started, time.process_time() - before
            found.append(ids[0])
    shortest, work = 1000 * wall.min(0), 1000 * used.min(0)
    print(
        f"{name}: a query takes {shortest.min():.1f} ms at least, {np.median(shortest):.1f} in the median, {shortest.max():.1f} at "
        f"most; processor time {np.median(work):.1f} ms in the median, {work.max():.1f} at most"
    )
    return np.array(found[: len(queries)])


def batched(nearest: NearestSpans, queries: np.ndarray, rounds: int) -> None:
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        nearest.search(queries[:BATCH], TOP_K)
        times.append(1000 * (time.perf_counter() - started) / BATCH)
    print(f"{BATCH} queries at once: {min(times):.1f} ms each")


def read_alone(nearest: NearestSpans, rounds: int) -> None:
    """Print how long it takes to read the codes that a search reads, and as many bytes of float32 vectors."""
    import torch

    for level in nearest.coarse:
        numbers = torch.from_numpy(level.codes).view(-1)
        numbers = numbers[: len(numbers) // 8 * 8].view(torch.int64)
        times = []
        for _ in range(3 * rounds):
            started = time.perf_counter()
            numbers.sum()
            times.append(time.perf_counter() - started)
        rate = numbers.nbytes / min(times) / 1e9
        print(
            f"reading the {numbers.nbytes / 1e6:.0f} MB of codes of {level.codes.shape[1]} numbers alone: "
            f"{1000 * min(times):.1f} ms, {rate:.0f} GB/s with {torch.get_num_threads()} threads; the float32 vectors would take "
            f"{4000 * len(nearest) * nearest.units.width / rate / 1e9:.0f} ms"
        )


def check(nearest: NearestSpans, queries: np.ndarray, found: np.ndarray) -> None:
    """Compare with all products, block by block."""
    units = nearest.units.of(queries)
    best, values = np.zeros((len(units), 0), np.int64), np.zeros((len(units), 0), np.float32)
    for first in range(0, len(nearest), BLOCK):
        rows = np.arange(first, min(first + BLOCK, len(nearest)))
        values = np.concatenate([values, nearest.units.similarities(slice(rows[0], rows[-1] + 1), units).T], axis=1)
        best = np.concatenate([best, np.broadcast_to(rows, (len(units), len(rows)))], axis=1)
        order = np.argsort(-values, axis=1, kind="stable")[:, :TOP_K]
        best, values = np.take_along_axis(best, order, 1), np.take_along_axis(values, order, 1)
    same = int((best == found).all(1).sum())
    print(f"the answers to {same} of {len(queries)} queries are those of comparing everything")


def approximate(nearest: NearestSpans, queries: np.ndarray, neighbours: np.ndarray, rounds: int) -> None:
    started, used = time.perf_counter(), time.process_time()
    search = ApproximateSpans(nearest)
    spent = f"{time.perf_counter() - started:.0f} s, {time.process_time() - used:.0f} s of processors"
    ids = timed(f"approximate (built in {spent})", search, queries, rounds)
    print(f"recall@{TOP_K} of the approximate search: {recall(neighbours, ids):.4f}")


def recall(neighbours: np.ndarray, found: np.ndarray) -> float:
    return float(np.mean([np.isin(a, b).mean() for a, b in zip(neighbours, found)]))
