"""k nearest neighbours without training, in three forms.

Source: [evaluation 8](docs/specification/evaluation.md#s8) and [10](docs/specification/evaluation.md#s10).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomKey
from auricle.evaluation.probes.base import Features, ProbeData, StandardScaler
from auricle.evaluation.splits import Split
from auricle.evaluation.targets import Targets
from auricle.metrics.retrieval import unit_length

FORMS = ("vote", "cosine", "xares")
TEMPERATURE = 0.07
BLOCK = 1024  # test vectors compared at once, to bound memory


@dataclass(frozen=True)
class KNN:
    """Score each class by the nearest training clips.

    Attributes:
        form: "vote" standardises features on the training part, compares by cosine and gives each neighbour one vote (a tie
            goes to the earlier class). "cosine" weighs neighbours by soft-max(similarity / 0.07) of per-sample unit vectors,
            as X-ARES intends. "xares" is the X-ARES program as published: training vectors are scaled to unit norm per
            dimension over the training set, test vectors per sample, so the similarity is no cosine (measured).
        k: How many neighbours.
    """

    form: str = "vote"
    k: int = 10

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise AuricleError(f"unknown form of nearest neighbours '{self.form}'; known: {', '.join(FORMS)}")

    def fit_predict(self, features: Features, targets: Targets, split: Split, key: RandomKey) -> np.ndarray:
        """Return the weight of each class among the neighbours, (n_test, C); rows sum to 1 for multiclass tasks."""
        data = ProbeData.of(features, targets, split)
        if self.form == "vote":
            scale = StandardScaler.fit(data.train)
            train, test = unit_length(scale(data.train), axis=1), unit_length(scale(data.test), axis=1)
            return _neighbour_scores(train, data.train_targets, test, self.k, _equal_weights)
        train = unit_length(data.train, axis=1 if self.form == "cosine" else 0)
        return _neighbour_scores(train, data.train_targets, unit_length(data.test, axis=1), self.k, _softmax_weights)


def _neighbour_scores(
    train: np.ndarray, targets: np.ndarray, test: np.ndarray, k: int, weights_of: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    k = min(k, len(train))
    scores = np.empty((len(test), targets.shape[1]))
    for start in range(0, len(test), BLOCK):
        similarity = test[start : start + BLOCK] @ train.T
        nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
        weights = weights_of(np.take_along_axis(similarity, nearest, axis=1))
        scores[start : start + BLOCK] = np.einsum("nk,nkc->nc", weights, targets[nearest])
    return scores


def _equal_weights(similarity: np.ndarray) -> np.ndarray:
    return np.full(similarity.shape, 1 / similarity.shape[1])


def _softmax_weights(similarity: np.ndarray) -> np.ndarray:
    weights = np.exp((similarity - similarity.max(1, keepdims=True)) / TEMPERATURE)
    return weights / weights.sum(1, keepdims=True)
