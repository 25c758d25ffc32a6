"""Exact logistic regression on standardised features, with C = 1 or with C chosen inside the training part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from auricle.core.devices import one_thread
from auricle.core.randomness import RandomKey
from auricle.evaluation.probes.base import Features, ProbeData, StandardScaler, class_targets_only
from auricle.evaluation.splits import NO_ROWS, Split, draw_folds
from auricle.evaluation.targets import ClassTargets, Targets

MAX_ITERATIONS = 5000
TOLERANCE = 1e-4  # of the gradient, scikit-learn's default
SELECTION_TOLERANCE = 1e-3  # while C is only being chosen


@dataclass(frozen=True)
class Logistic:
    """Logistic regression; one binary regression per class where clips have several labels.

    Attributes:
        C: Inverse weight of the L2 penalty; the reference figures have 1 ([evaluation 10](docs/specification/evaluation.md#s10)).
    """

    C: float = 1.0

    def fit_predict(self, features: Features, targets: Targets, split: Split, key: RandomKey) -> np.ndarray:
        """Return probabilities (n_test, C)."""
        return _fit_each(ProbeData.of(features, targets, split), (self.C,), TOLERANCE)[0]


@dataclass(frozen=True)
class LogisticCV:
    """``Logistic`` with the C of the grid that scores best by the task's metric; the smallest wins a tie.

    The validation part chooses; without one, folds of the training part that keep groups together.

    Attributes:
        grid: Values of C, ascending.
        folds: How many folds of the training part.
    """

    grid: tuple[float, ...] = tuple(float(c) for c in 10.0 ** np.arange(-4, 3))
    folds: int = 3

    def fit_predict(self, features: Features, targets: Targets, split: Split, key: RandomKey) -> np.ndarray:
        """Return probabilities (n_test, C)."""
        classes, training = class_targets_only(targets), features.for_training or features
        merits = []
        for inner in self._selection_splits(classes, split, key):
            scores = _fit_each(ProbeData.of(training, classes, inner), self.grid, SELECTION_TOLERANCE)
            merits.append([classes.merit(s, inner.test) for s in scores])
        means = np.nanmean(merits, axis=0) if merits else np.full(len(self.grid), np.nan)
        C = self.grid[int(np.nanargmax(means))] if np.isfinite(means).any() else 1.0
        return Logistic(C).fit_predict(features, targets, split, key)

    def _selection_splits(self, targets: ClassTargets, split: Split, key: RandomKey) -> list[Split]:
        """Splits whose test rows choose C: the validation part, else folds whose training part has two classes."""
        if len(split.valid):
            return [replace(split, test=split.valid, valid=NO_ROWS)]
        rows = split.train
        groups = [split.groups[i] for i in rows] if split.groups else [str(i) for i in range(len(rows))]
        fold = np.array(draw_folds(targets.values[rows], groups, self.folds, key.seed))
        splits = [Split(name, rows[fold != name], NO_ROWS, rows[fold == name]) for name in sorted(set(fold))]
        return [s for s in splits if (targets.values[s.train].sum(0) > 0).sum() > 1]


def _fit_each(data: ProbeData, grid: Sequence[float], tolerance: float) -> list[np.ndarray]:
    """(n_test, C) for each C of an ascending grid; every fit starts from the one before it.

    One thread: these products are so small that a second one costs more than it brings (70 times more on a busy machine).
    """
    scale = StandardScaler.fit(data.train)
    train, test = in_row_space(scale(data.train), scale(data.test))
    fit = _one_per_class if data.multilabel else _multinomial
    with one_thread():
        return fit(train, data.train_targets, test, grid, tolerance)


def in_row_space(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Write both in an orthonormal basis of the training rows' span, where there are fewer clips than features.

    Weights with an L2 penalty lie in that span, so the solution is the same and the problem is smaller.
    """
    with one_thread(_work(train)):
        basis = row_basis(train)
        return (train, test) if basis is None else (train @ basis.T, test @ basis.T)


def row_basis(train: np.ndarray) -> np.ndarray | None:
    """Return an orthonormal basis (n, D) of the span of n rows (n, D); None where they are no fewer than features."""
    if len(train) >= train.shape[1]:
        return None
    return np.linalg.qr(train.astype(np.float64).T)[0].T  # several times faster than an SVD


def _work(rows: np.ndarray) -> float:
    """Multiply-adds of the row basis of (n, D)."""
    n, width = rows.shape
    return 4.0 * n * n * width


ABSENT_LOGIT = -10.0  # of a class that no training clip has


def logistic_weights(
    features: np.ndarray, targets: np.ndarray, known: np.ndarray, C: float, *, multilabel: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Fit the weights of ``Logistic`` for features as they are: the standardisation is in the weights.

    Args:
        features: (n, D).
        targets: (n, K) of 0 and 1.
        known: (n, K), 0 where a class was not annotated; it matters with ``multilabel`` alone.
        C: inverse weight of the L2 penalty.
        multilabel: one regression per class, on the clips where it was annotated; else one for all classes.

    Returns:
        Weights (K, D) and biases (K,) of the logits.
    """
    scale = StandardScaler.fit(features)
    rows = scale(features)
    with one_thread(_work(rows)):
        basis = row_basis(rows)
        rows = rows if basis is None else rows @ basis.T
    fit = _weights_per_class if multilabel else _weights_of_all
    with one_thread():
        weights, biases = fit(rows, targets, known, C)
    weights = (weights if basis is None else weights @ basis) / scale.std
    return weights, biases - weights @ scale.mean


def _weights_of_all(
    rows: np.ndarray, targets: np.ndarray, known: np.ndarray, C: float
) -> tuple[np.ndarray, np.ndarray]:
    index = targets.argmax(1)
    weights, biases = np.zeros((targets.shape[1], rows.shape[1])), np.full(targets.shape[1], ABSENT_LOGIT)
    if len(present := np.unique(index)) < 2:
        biases[present] = 0.0
        return weights, biases
    model = _model(TOLERANCE).set_params(C=C).fit(rows, index)
    if len(present) == 2:  # one logit, that of the second class
        weights[present[1]], biases[present] = model.coef_[0], (0.0, model.intercept_[0])
    else:
        weights[present], biases[present] = model.coef_, model.intercept_
    return weights, biases


def _weights_per_class(
    rows: np.ndarray, targets: np.ndarray, known: np.ndarray, C: float
) -> tuple[np.ndarray, np.ndarray]:
    """A class that every clip has, or none, has its smoothed frequency: (positives + 1/2) / (clips + 1)."""
    weights, biases = np.zeros((targets.shape[1], rows.shape[1])), np.zeros(targets.shape[1])
    for c in range(targets.shape[1]):
        annotated = known[:, c] > 0
        column = targets[annotated, c]
        positives = column.sum()
        if not 0 < positives < len(column):
            biases[c] = np.log((positives + 0.5) / (len(column) - positives + 0.5))
            continue
        model = _model(TOLERANCE).set_params(C=C).fit(rows[annotated], column)
        weights[c], biases[c] = model.coef_[0], model.intercept_[0]
    return weights, biases


def _multinomial(
    train: np.ndarray, targets: np.ndarray, test: np.ndarray, grid: Sequence[float], tolerance: float
) -> list[np.ndarray]:
    model, predictions = _model(tolerance), []
    for C in grid:
        model.set_params(C=C).fit(train, targets.argmax(1))
        scores = np.zeros((len(test), targets.shape[1]))
        scores[:, model.classes_] = model.predict_proba(test)
        predictions.append(scores)
    return predictions


def _one_per_class(
    train: np.ndarray, targets: np.ndarray, test: np.ndarray, grid: Sequence[float], tolerance: float
) -> list[np.ndarray]:
    """A class that every training clip has, or none, is predicted with its frequency."""
    predictions = [np.tile(targets.mean(0, dtype=np.float64), (len(test), 1)) for _ in grid]
    for c in np.flatnonzero((targets.min(0) == 0) & (targets.max(0) == 1)):
        model = _model(tolerance)
        for scores, C in zip(predictions, grid):
            scores[:, c] = model.set_params(C=C).fit(train, targets[:, c]).predict_proba(test)[:, 1]
    return predictions


def _model(tolerance: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=MAX_ITERATIONS, tol=tolerance, warm_start=True)
