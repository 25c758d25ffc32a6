"""k nearest neighbours without training: three named forms, all with k = 10 (specification evaluation 8 and 10).

vote     features standardised on the training part, cosine, each neighbour one vote (a tie goes to the earlier class)
cosine   the X-ARES weighting, soft-max(similarity / 0.07) over the neighbours, on per-sample unit vectors
xares    the same as published: training vectors are scaled to unit norm per dimension over the training set, test
         vectors per sample, so the similarity is no cosine (quirk, measured)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from auricle.evaluation.probes.base import ProbeData, StandardScaler

NEIGHBOURS = 10
TEMPERATURE = 0.07
Weigh = Callable[[np.ndarray], np.ndarray]
BLOCK = 1024  # test vectors compared at once, to bound memory


def knn_vote(problem: ProbeData, k: int = NEIGHBOURS) -> np.ndarray:
    """(n_test, C) share of the neighbours' votes."""
    scale = StandardScaler.of(problem.train)
    train, test = unit(scale(problem.train), axis=1), unit(scale(problem.test), axis=1)
    return _neighbour_scores(train, problem.train_targets, test, k, _votes)


def knn_cosine(problem: ProbeData, k: int = NEIGHBOURS) -> np.ndarray:
    """(n_test, C) soft-max weights of the neighbours, summed per class; per-sample cosine."""
    return _neighbour_scores(unit(problem.train, 1), problem.train_targets, unit(problem.test, 1), k, _soft_weights)


def knn_xares(problem: ProbeData, k: int = NEIGHBOURS) -> np.ndarray:
    """(n_test, C) as the X-ARES program computes them."""
    return _neighbour_scores(unit(problem.train, 0), problem.train_targets, unit(problem.test, 1), k, _soft_weights)


def unit(vectors: np.ndarray, axis: int) -> np.ndarray:
    """Scaled to unit length along ``axis``; lengths below 1e-12 count as 1e-12."""
    vectors = np.asarray(vectors, dtype=np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=axis, keepdims=True), 1e-12)


def _neighbour_scores(train: np.ndarray, targets: np.ndarray, test: np.ndarray, k: int, weigh: Weigh) -> np.ndarray:
    k = min(k, len(train))
    scores = np.empty((len(test), targets.shape[1]))
    for start in range(0, len(test), BLOCK):
        similarity = test[start : start + BLOCK] @ train.T
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
        weights = weigh(np.take_along_axis(similarity, nearest, axis=1))
        scores[start : start + BLOCK] = np.einsum("nk,nkc->nc", weights, targets[nearest])
    return scores


def _votes(similarity: np.ndarray) -> np.ndarray:
    return np.full(similarity.shape, 1 / similarity.shape[1])


def _soft_weights(similarity: np.ndarray) -> np.ndarray:
    weights = np.exp((similarity - similarity.max(1, keepdims=True)) / TEMPERATURE)
    return weights / weights.sum(1, keepdims=True)
