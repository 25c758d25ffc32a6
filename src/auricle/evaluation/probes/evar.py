"""EVAR's linear probe, step by step (specification evaluation 2): a layer trained by Adam with early stopping.

There is no search for a learning rate and no schedule; on small sets the published 3e-5 is far from convergence, so
scores measure the optimiser as much as the encoder. ``logistic`` is the converged form.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from auricle.core.randomness import RandomKey
from auricle.evaluation.probes.base import ProbeData, StandardScaler
from auricle.metrics.classification import metric

EPOCHS = 200
PATIENCE = 20
BATCH = 200
WEIGHT_DECAY = 1e-8
LEARNING_RATE = 3e-4
PUBLISHED_RATES = {"m2d": 3e-5}  # EVAR's own for M2D and ATST-Frame; all other encoders have 3e-4 (evaluation 1.4)
HOLD_OUT = 0.1
HOLD_OUT_TRIES = 100


@dataclass
class EarlyStopping:
    """An epoch as good as the best becomes the best (ties favour the later); stop after ``patience`` worse ones in a
    row."""

    patience: int = PATIENCE
    best: float = -np.inf
    best_epoch: int = -1
    epoch: int = field(default=-1, init=False)

    def stop(self, value: float) -> bool:
        """Call once per epoch with the validation score."""
        self.epoch += 1
        value = -np.inf if np.isnan(value) else value
        if value >= self.best:
            self.best, self.best_epoch = value, self.epoch
        return self.epoch - self.best_epoch >= self.patience


def evar_probe(problem: ProbeData, lr: float = LEARNING_RATE) -> np.ndarray:
    """(n_test, C) probabilities of the weights of the best epoch."""
    scale = StandardScaler.of(problem.train)  # before the hold-out is split off, as published
    train, valid = _train_and_valid(problem, scale)
    weights = _fit(*train, *valid, problem, lr)
    logits = _tensor(scale(problem.test)) @ weights[0].T + weights[1]
    return (logits.sigmoid() if problem.multilabel else logits.softmax(1)).double().numpy()


def evar_loss(logits: Tensor, targets: Tensor, *, multilabel: bool = False) -> Tensor:
    """Mean over the batch and the classes of -target * log-softmax: cross-entropy divided by C. logits, targets (B,
    C)."""
    if multilabel:
        return F.binary_cross_entropy_with_logits(logits, targets)
    return -(targets * logits.log_softmax(1)).mean()


def hold_out(targets: np.ndarray, key: RandomKey) -> np.ndarray:
    """(n,) True where held out: a random tenth, redrawn up to 100 times until every class of ``targets`` occurs in
    it."""
    source, n = key.of("evar/hold-out"), len(targets)
    held = np.zeros(n, dtype=bool)
    for _ in range(HOLD_OUT_TRIES):
        held[:] = False
        held[source.permutation(n)[: max(1, round(HOLD_OUT * n))]] = True
        if (targets[held].any(0) == targets.any(0)).all():
            break
    return held


def _train_and_valid(problem: ProbeData, scale: StandardScaler) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    if problem.valid is not None and problem.valid_targets is not None:
        valid = _tensor(scale(problem.valid)), _tensor(problem.valid_targets)
        return (_tensor(scale(problem.train)), _tensor(problem.train_targets)), valid
    held = hold_out(problem.train_targets, problem.key)
    features, targets = _tensor(scale(problem.train)), _tensor(problem.train_targets)
    return (features[~held], targets[~held]), (features[held], targets[held])


def _fit(
    x: Tensor, y: Tensor, valid_x: Tensor, valid_y: Tensor, problem: ProbeData, lr: float
) -> tuple[Tensor, Tensor]:
    weights = initial_layer(x.shape[1], y.shape[1], problem.key)
    optimizer = torch.optim.Adam(weights, lr=lr, weight_decay=WEIGHT_DECAY)
    merit, stopping, best = metric(problem.metric, multilabel=problem.multilabel), EarlyStopping(), weights
    shuffle = problem.key.torch("evar/shuffle")
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x), generator=shuffle).split(min(BATCH, len(x))):
            loss = evar_loss(x[rows] @ weights[0].T + weights[1], y[rows], multilabel=problem.multilabel)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            stop = stopping.stop(merit((valid_x @ weights[0].T + weights[1]).numpy(), valid_y.numpy()))
        if stopping.best_epoch == stopping.epoch:
            best = (weights[0].detach().clone(), weights[1].detach().clone())
        if stop:
            break
    return best


def initial_layer(width: int, classes: int, key: RandomKey) -> tuple[Tensor, Tensor]:
    """Weight (C, D) and bias (C,) as ``torch.nn.Linear`` draws them: uniform within 1 / sqrt(D)."""
    source, bound = key.torch("evar/init"), width**-0.5
    weight = (torch.rand(classes, width, generator=source) * 2 - 1) * bound
    bias = (torch.rand(classes, generator=source) * 2 - 1) * bound
    return weight.requires_grad_(), bias.requires_grad_()


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))
