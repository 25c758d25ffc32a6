"""Exact logistic regression on standardised features: two protocols that differ in who chooses the penalty.

``logistic`` has C = 1, as the reference figures (specification evaluation 10); ``logistic_cv`` chooses C inside the
training part. Several labels per clip: one binary regression per class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from auricle.evaluation.probes.base import ProbeData, StandardScaler
from auricle.evaluation.splits import draw_folds
from auricle.metrics.classification import metric

MAX_ITERATIONS = 5000
GRID = tuple(float(c) for c in 10.0 ** np.arange(-4, 3))
INNER_FOLDS = 3
TOLERANCE = 1e-4  # of the gradient, scikit-learn's default
CHOOSING_TOLERANCE = 1e-3  # while C is only being chosen


def logistic(problem: ProbeData, C: float = 1.0) -> np.ndarray:
    """(n_test, C) probabilities. ``C`` is the inverse weight of the L2 penalty."""
    return logistic_path(problem, (C,), TOLERANCE)[0]


def logistic_cv(problem: ProbeData) -> np.ndarray:
    """As ``logistic``, with the C of ``GRID`` that scores best on the validation part, or, without one, on three folds
    of the training part that keep groups together; the smallest C wins a tie. The test part is never looked at."""
    merit = metric(problem.metric, multilabel=problem.multilabel)
    inner = [[merit(scores, t) for scores in logistic_path(p, GRID, CHOOSING_TOLERANCE)] for p, t in _inner(problem)]
    means = np.nanmean(inner, axis=0) if len(inner) else np.full(len(GRID), np.nan)
    return logistic(problem, GRID[int(np.nanargmax(means))] if np.isfinite(means).any() else 1.0)


def logistic_path(problem: ProbeData, grid: Sequence[float], tolerance: float) -> list[np.ndarray]:
    """(n_test, C) for each C of an ascending grid; every fit starts from the one before it.

    One thread: these products are so small that a second one costs more than it brings (70 times more on a busy machine).
    """
    from threadpoolctl import threadpool_limits

    scale = StandardScaler.of(problem.train)
    train, test = in_row_space(scale(problem.train), scale(problem.test))
    fit = _one_per_class if problem.multilabel else _multinomial
    with threadpool_limits(1):
        return fit(train, problem.train_targets, test, grid, tolerance)


def in_row_space(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both in an orthonormal basis of the training rows' span, where there are fewer clips than features.

    Weights with an L2 penalty lie in that span, so the solution is the same and the problem as small as the clips are few.
    """
    if len(train) >= train.shape[1]:
        return train, test
    basis = np.linalg.svd(train.astype(np.float64), full_matrices=False)[2]
    return train @ basis.T, test @ basis.T


def _inner(problem: ProbeData) -> list[tuple[ProbeData, np.ndarray]]:
    """The training part cut again: problems and the targets of their test parts."""
    if problem.valid is not None and problem.valid_targets is not None:
        return [(replace(problem, test=problem.valid), problem.valid_targets)]
    groups = problem.groups or tuple(map(str, range(len(problem.train))))
    part = np.array(draw_folds(problem.train_targets, groups, INNER_FOLDS, problem.key.seed))
    made = [(_cut(problem, part != name), problem.train_targets[part == name]) for name in sorted(set(part))]
    return [(p, targets) for p, targets in made if (p.train_targets.sum(0) > 0).sum() > 1]


def _cut(problem: ProbeData, train: np.ndarray) -> ProbeData:
    parts = {
        "train": problem.train[train],
        "train_targets": problem.train_targets[train],
        "test": problem.train[~train],
    }
    return replace(problem, groups=(), **parts)


def _multinomial(
    train: np.ndarray, targets: np.ndarray, test: np.ndarray, grid: Sequence[float], tolerance: float
) -> list[np.ndarray]:
    model, found = _model(tolerance), []
    for C in grid:
        model.set_params(C=C).fit(train, targets.argmax(1))
        scores = np.zeros((len(test), targets.shape[1]))
        scores[:, model.classes_] = model.predict_proba(test)
        found.append(scores)
    return found


def _one_per_class(
    train: np.ndarray, targets: np.ndarray, test: np.ndarray, grid: Sequence[float], tolerance: float
) -> list[np.ndarray]:
    """A class that every training clip has, or none, keeps its share."""
    found = [np.tile(targets.mean(0, dtype=np.float64), (len(test), 1)) for _ in grid]
    for c in np.flatnonzero((targets.min(0) == 0) & (targets.max(0) == 1)):
        model = _model(tolerance)
        for scores, C in zip(found, grid):
            scores[:, c] = model.set_params(C=C).fit(train, targets[:, c]).predict_proba(test)[:, 1]
    return found


def _model(tolerance: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=MAX_ITERATIONS, tol=tolerance, warm_start=True)
