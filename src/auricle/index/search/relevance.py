"""What is like some examples and unlike others: the nearest example, the mean of the examples, or a linear classifier.

``rocchio`` and ``linear`` give one direction in the space of ``UnitVectors``, so that exact and approximate search take it.
``benchmarks/search_methods.py`` compares the methods by the number of examples; ``choose_method`` follows it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from auricle.core.randomness import RandomKey

AUTO, NEAREST, ROCCHIO, LINEAR = "auto", "nearest", "rocchio", "linear"
METHODS = (AUTO, NEAREST, ROCCHIO, LINEAR)
# What the nearest negative, and the mean of the negatives, count beside 1 for the positives. For the mean: the ratio of
# Manning, Raghavan and Schuetze, Introduction to Information Retrieval (2008), section 9.1.1 (0.15 to 0.75).
NEAREST_NEGATIVE, MEAN_NEGATIVE = 0.25, 0.2
LEAST_LINEAR = 3  # positives of a classifier
BACKGROUND = 300  # spans drawn at random that a classifier takes for negatives
LINEAR_C = 10.0  # of scikit-learn's LogisticRegression


@dataclass(frozen=True)
class Direction:
    """A direction to search along.

    Attributes:
        unit: (D + 1,) float32 of length 1.
        scale, offset: a span's score is 1 / (1 + exp(-(scale * product + offset))); a scale of None: the product itself.
    """

    unit: np.ndarray
    scale: float | None = None
    offset: float = 0.0

    def scores(self, products: np.ndarray) -> np.ndarray:
        """Return the scores of spans from their products with ``unit``."""
        if self.scale is None:
            return products
        return 1 / (1 + np.exp(-(self.scale * products.astype(np.float64) + self.offset)))


def choose_method(positives: int, negatives: int) -> str:
    """Return the method for so many examples: a classifier for three and more that outnumber the negatives, else the nearest."""
    return LINEAR if positives >= LEAST_LINEAR and positives > negatives else NEAREST


def nearest_scores(vectors: np.ndarray, positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Return the similarity to the nearest positive, less a quarter of that to the nearest negative.

    Args:
        vectors: (m, D + 1) unit vectors of spans.
        positives: (p, D + 1) unit vectors, p > 0.
        negatives: (n, D + 1) unit vectors.

    Returns:
        (m,) float64, never above the similarity to the nearest positive.
    """
    spans = vectors.astype(np.float64)
    scores: np.ndarray = (spans @ positives.T.astype(np.float64)).max(1)
    if len(negatives):
        scores = scores - NEAREST_NEGATIVE * np.maximum((spans @ negatives.T.astype(np.float64)).max(1), 0.0)
    return scores


def rocchio(positives: np.ndarray, negatives: np.ndarray) -> Direction:
    """Return the mean of the positives less a fifth of the mean of the negatives.

    Args:
        positives: (p, D + 1) unit vectors, p > 0.
        negatives: (n, D + 1) unit vectors.

    Returns:
        Direction: scores are cosines.
    """
    direction = positives.mean(0, dtype=np.float64)
    if len(negatives):
        direction = direction - MEAN_NEGATIVE * negatives.mean(0, dtype=np.float64)
    length = float(np.linalg.norm(direction))
    return Direction((direction / length if length > 1e-9 else positives[0]).astype(np.float32))


def background_rows(count: int) -> np.ndarray:
    """Draw the rows of ``count`` spans that stand for all of them; the same ones each time."""
    return np.sort(RandomKey(0).of("search").permutation(count)[:BACKGROUND])


def linear(positives: np.ndarray, negatives: np.ndarray, background: np.ndarray) -> Direction:
    """Fit a logistic regression that tells positives from negatives and background.

    Positives weigh half of all; negatives a quarter; the background, which keeps the classifier from following a chance
    difference between a few examples, the rest.

    Args:
        positives: (p, D + 1) unit vectors, p > 0.
        negatives: (n, D + 1) unit vectors.
        background: (m, D + 1) unit vectors of spans drawn at random, m > 0.

    Returns:
        Direction: scores are the classifier's probabilities, which are not calibrated.
    """
    from sklearn.linear_model import LogisticRegression

    groups = [(positives, 0.5), (negatives, 0.25), (background, 0.25 if len(negatives) else 0.5)]
    groups = [(vectors, weight) for vectors, weight in groups if len(vectors)]
    vectors = np.concatenate([vectors for vectors, _ in groups]).astype(np.float64)
    weights = np.concatenate([np.full(len(vectors), weight / len(vectors)) for vectors, weight in groups])
    truth = np.arange(len(vectors)) < len(positives)
    model = LogisticRegression(C=LINEAR_C, max_iter=1000).fit(vectors, truth, sample_weight=weights * len(vectors))
    coefficients = model.coef_[0]
    length = float(np.linalg.norm(coefficients))
    if length < 1e-9:  # the same vectors on both sides
        return rocchio(positives, negatives)
    return Direction((coefficients / length).astype(np.float32), length, float(model.intercept_[0]))
