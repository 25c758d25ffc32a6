"""Embeddings in two dimensions: principal components, then t-SNE where there are clips enough."""

from __future__ import annotations

import numpy as np

COMPONENTS = 50
FEW = 20  # below this many clips principal components alone are drawn
MOST = 1000  # clips that are drawn; t-SNE takes about ten seconds for these on one core


def chosen_rows(count: int, first: np.ndarray, seed: int = 0) -> np.ndarray:
    """At most MOST of ``count`` rows, in order; ``first`` always among them, the rest by a keyed permutation."""
    from auricle.draws import Draws

    if count <= MOST:
        return np.arange(count)
    rest = np.setdiff1d(Draws(seed).of("report/map").permutation(count), first, assume_unique=True)
    return np.sort(np.concatenate([first, rest])[:MOST])


def two_dimensions(features: np.ndarray, seed: int = 0) -> tuple[np.ndarray, str]:
    """(n, D) -> (n, 2) in [0, 1], and the method in words. Features are standardised first."""
    spread = features.std(0)
    values = (features - features.mean(0)) / np.where(spread > 1e-8, spread, 1.0)
    components = principal(values, COMPONENTS)
    if len(components) < FEW:
        return _unit(np.pad(components, ((0, 0), (0, 2)))[:, :2]), "first two principal components"
    return _unit(_tsne(components, seed)), f"t-SNE of {components.shape[1]} principal components"


def principal(values: np.ndarray, most: int) -> np.ndarray:
    """(n, D) centred rows -> (n, k) coordinates on their first principal axes; signs fixed by the largest entry."""
    u, s, _ = np.linalg.svd(values.astype(np.float64), full_matrices=False)
    kept = min(most, int((s > 1e-9 * max(s[0], 1e-12)).sum()) or 1)
    sign = np.sign(u[np.abs(u).argmax(0), np.arange(u.shape[1])])
    return (u * s * sign)[:, :kept]


def _tsne(components: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(components) - 1) / 3)
    start = np.pad(components, ((0, 0), (0, 2)))[:, :2] / max(float(components[:, 0].std()), 1e-9) * 1e-4
    return TSNE(2, perplexity=perplexity, init=start, random_state=seed, max_iter=750).fit_transform(components)


def _unit(points: np.ndarray) -> np.ndarray:
    """Each axis stretched to [0, 1], the longer direction first: neither axis has a unit."""
    turned = principal(points - points.mean(0), 2)
    turned = np.pad(turned, ((0, 0), (0, 2)))[:, :2]
    span = np.ptp(turned, axis=0)
    return np.where(span > 1e-9, (turned - turned.min(0)) / np.maximum(span, 1e-9), 0.5)
