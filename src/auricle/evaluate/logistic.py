"""Exact logistic regression on standardised features: two protocols that differ in who chooses the penalty.

``logistic`` has C = 1, as the reference figures (specification evaluation 10); ``logistic_cv`` chooses C inside the
training part. Several labels per clip: one binary regression per class.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from auricle.evaluate.folds import draw_folds
from auricle.evaluate.problem import Problem, Standardiser
from auricle.metrics.by_name import metric

MAX_ITERATIONS = 5000
GRID = tuple(float(c) for c in 10.0 ** np.arange(-4, 3))
INNER_FOLDS = 3


def logistic(problem: Problem, C: float = 1.0) -> np.ndarray:
    """(n_test, C) probabilities. ``C`` is the inverse weight of the L2 penalty."""
    scale = Standardiser.of(problem.train)
    fit = _one_per_class if problem.multilabel else _multinomial
    return fit(scale(problem.train), problem.train_targets, scale(problem.test), C)


def logistic_cv(problem: Problem) -> np.ndarray:
    """As ``logistic``, with the C of ``GRID`` that scores best on the validation part, or, without one, on three folds
    of the training part that keep groups together; the smallest C wins a tie. The test part is never looked at."""
    inner = _inner_problems(problem)
    merit = metric(problem.metric, multilabel=problem.multilabel)
    means = [np.nanmean([merit(logistic(p, C), targets) for p, targets in inner]) for C in GRID]
    return logistic(problem, GRID[int(np.nanargmax(means))] if np.isfinite(means).any() else 1.0)


def _inner_problems(problem: Problem) -> list[tuple[Problem, np.ndarray]]:
    if problem.valid is not None and problem.valid_targets is not None:
        return [(replace(problem, test=problem.valid), problem.valid_targets)]
    groups = problem.groups or tuple(map(str, range(len(problem.train))))
    part = np.array(draw_folds(problem.train_targets, groups, INNER_FOLDS, problem.draws.seed))
    made = [_inner(problem, part != name) for name in sorted(set(part))]
    return [(p, targets) for p, targets in made if (p.train_targets.sum(0) > 0).sum() > 1]


def _inner(problem: Problem, train: np.ndarray) -> tuple[Problem, np.ndarray]:
    parts = {
        "train": problem.train[train],
        "train_targets": problem.train_targets[train],
        "test": problem.train[~train],
    }
    return replace(problem, groups=(), **parts), problem.train_targets[~train]


def _multinomial(train: np.ndarray, targets: np.ndarray, test: np.ndarray, C: float) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    scores = np.zeros((len(test), targets.shape[1]))
    model = LogisticRegression(C=C, max_iter=MAX_ITERATIONS).fit(train, targets.argmax(1))
    scores[:, model.classes_] = model.predict_proba(test)
    return scores


def _one_per_class(train: np.ndarray, targets: np.ndarray, test: np.ndarray, C: float) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression

    scores = np.tile(
        targets.mean(0, dtype=np.float64), (len(test), 1)
    )  # a class that is always or never there keeps its share
    for c in np.flatnonzero((targets.min(0) == 0) & (targets.max(0) == 1)):
        model = LogisticRegression(C=C, max_iter=MAX_ITERATIONS).fit(train, targets[:, c])
        scores[:, c] = model.predict_proba(test)[:, 1]
    return scores
