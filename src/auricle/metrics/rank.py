"""Effective rank of features, without labels: RankMe and the area under the spectrum.

Source: [m2d 5.4](docs/specification/m2d.md#s5-4).
"""

from __future__ import annotations

import numpy as np

GUARD = 2.2e-16  # [m2d 5.4](docs/specification/m2d.md#s5-4)
NORM_GUARD = 1e-6


class Spectrum:
    """Singular values of features (n, D) that are added in parts; it stores sums of products, (D, D), in float64."""

    def __init__(self, width: int):
        self.rows = 0
        self.raw = np.zeros((width, width))
        self.unit = np.zeros((width, width))
        self.unit_sum = np.zeros(width)

    def add(self, features: np.ndarray) -> None:
        """Add rows (m, D)."""
        raw = np.asarray(features, np.float64)
        unit = raw / (NORM_GUARD + np.linalg.norm(raw, axis=1, keepdims=True))
        self.rows += len(raw)
        self.raw += raw.T @ raw
        self.unit += unit.T @ unit
        self.unit_sum += unit.sum(axis=0)

    def rank_me(self) -> float:
        """Return exp of the entropy of the normalised singular values of the raw rows; 1 to D."""
        values = self._values(self.raw)
        shares = values / max(values.sum(), GUARD) + GUARD
        return float(np.exp(-(shares * np.log(shares)).sum()))

    def auc(self) -> float:
        """Return the mean of the cumulative shares of the singular values of centred unit rows; 0.5 (even) to 1."""
        mean = self.unit_sum / max(1, self.rows)
        values = self._values(self.unit - self.rows * np.outer(mean, mean))
        return float((values.cumsum() / max(values.sum(), GUARD)).mean())

    def _values(self, products: np.ndarray) -> np.ndarray:
        """The min(n, D) singular values, in descending order."""
        squares = np.linalg.eigvalsh(products)[::-1][: max(1, self.rows)]
        return np.sqrt(squares.clip(min=0))


def rank_me(features: np.ndarray) -> float:
    """Return RankMe of features (n, D)."""
    return _spectrum(features).rank_me()


def spectrum_auc(features: np.ndarray) -> float:
    """Return the area under the cumulative spectrum of features (n, D)."""
    return _spectrum(features).auc()


def _spectrum(features: np.ndarray) -> Spectrum:
    spectrum = Spectrum(features.shape[1])
    spectrum.add(features)
    return spectrum
