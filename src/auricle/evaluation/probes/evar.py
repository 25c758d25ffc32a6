"""EVAR's linear probe, step by step: a layer trained by Adam with early stopping.

Source: [evaluation 2](docs/specification/evaluation.md#s2).

There is no search for a learning rate and no schedule; on small sets the published 3e-5 is far from convergence, so
scores measure the optimiser as much as the encoder. ``logistic`` is the converged form. PyTorch is imported on use.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from auricle.core.randomness import RandomKey
from auricle.evaluation.probes.base import Features, ProbeData, StandardScaler, class_targets_only
from auricle.evaluation.splits import Split
from auricle.evaluation.targets import ClassTargets, Targets

if TYPE_CHECKING:
    from torch import Tensor

LEARNING_RATE = 3e-4
# EVAR's own for M2D and ATST-Frame; all other encoders have 3e-4 ([evaluation 1.4](docs/specification/evaluation.md#s1-4))
PUBLISHED_RATES = {"m2d": 3e-5}
HOLD_OUT_TRIES = 100


@dataclass(frozen=True)
class EvarProbe:
    """EVAR's linear probe. Without a validation part a tenth of the training part is held out for early stopping.

    Attributes:
        lr: Learning rate of Adam, constant.
        epochs: The most epochs.
        patience: Stop after this many epochs in a row that are worse than the best.
        batch_size: Clips per step.
        weight_decay: L2 penalty inside Adam.
        hold_out: Share of the training part that validates where the split has no validation part.
    """

    lr: float = LEARNING_RATE
    epochs: int = 200
    patience: int = 20
    batch_size: int = 200
    weight_decay: float = 1e-8
    hold_out: float = 0.1

    def fit_predict(self, features: Features, targets: Targets, split: Split, key: RandomKey) -> np.ndarray:
        """Return probabilities (n_test, C) of the weights of the best epoch."""
        classes, data = class_targets_only(targets), ProbeData.of(features, targets, split)
        scale = StandardScaler.fit(data.train)  # before the hold-out is split off, as published
        train, valid_rows = np.ones(len(split.train), dtype=bool), split.valid
        valid = scale(data.valid) if len(split.valid) else None
        if valid is None:
            held_out = draw_hold_out(data.train_targets, key, self.hold_out)
            train, valid_rows = ~held_out, split.train[held_out]
            valid = scale(data.train)[held_out]
        weight, bias = self._fit(scale(data.train)[train], data.train_targets[train], valid, valid_rows, classes, key)
        logits = _tensor(scale(data.test)) @ weight.T + bias
        return (logits.sigmoid() if data.multilabel else logits.softmax(1)).double().numpy()

    def _fit(
        self,
        train: np.ndarray,
        train_targets: np.ndarray,
        valid: np.ndarray,
        valid_rows: np.ndarray,
        targets: ClassTargets,
        key: RandomKey,
    ) -> tuple[Tensor, Tensor]:
        """Weight (C, D) and bias (C,) of the epoch with the best validation score."""
        import torch

        x, y, valid_x = _tensor(train), _tensor(train_targets), _tensor(valid)
        weight, bias = best = initial_layer(x.shape[1], y.shape[1], key)
        optimizer = torch.optim.Adam((weight, bias), lr=self.lr, weight_decay=self.weight_decay)
        stopping, shuffle = EarlyStopping(self.patience), key.torch("evar/shuffle")
        for _ in range(self.epochs):
            for rows in torch.randperm(len(x), generator=shuffle).split(min(self.batch_size, len(x))):
                loss = evar_loss(x[rows] @ weight.T + bias, y[rows], multilabel=targets.multilabel)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            with torch.no_grad():
                stop = stopping.stop(targets.merit((valid_x @ weight.T + bias).numpy(), valid_rows))
            if stopping.best_epoch == stopping.epoch:
                best = (weight.detach().clone(), bias.detach().clone())
            if stop:
                break
        return best[0].detach(), best[1].detach()


@dataclass
class EarlyStopping:
    """Remember the best epoch (a tie favours the later one) and stop after ``patience`` worse ones in a row."""

    patience: int = 20
    best: float = -np.inf
    best_epoch: int = -1
    epoch: int = field(default=-1, init=False)

    def stop(self, value: float) -> bool:
        """Take the validation score of one more epoch, larger is better; return True to stop."""
        self.epoch += 1
        value = -np.inf if np.isnan(value) else value
        if value >= self.best:
            self.best, self.best_epoch = value, self.epoch
        return self.epoch - self.best_epoch >= self.patience


def evar_loss(logits: Tensor, targets: Tensor, *, multilabel: bool = False) -> Tensor:
    """Return the mean over batch and classes of -target * log-softmax: cross-entropy divided by C. Both are (B, C)."""
    if multilabel:
        from torch.nn import functional as F

        return F.binary_cross_entropy_with_logits(logits, targets)
    return -(targets * logits.log_softmax(1)).mean()


def draw_hold_out(targets: np.ndarray, key: RandomKey, ratio: float = 0.1) -> np.ndarray:
    """Draw the rows held out, (n,) bool; redrawn up to 100 times until they have every class of ``targets`` (n, C)."""
    source, n = key.of("evar/hold-out"), len(targets)
    held_out = np.zeros(n, dtype=bool)
    for _ in range(HOLD_OUT_TRIES):
        held_out[:] = False
        held_out[source.permutation(n)[: max(1, round(ratio * n))]] = True
        if (targets[held_out].any(0) == targets.any(0)).all():
            break
    return held_out


def initial_layer(inputs: int, classes: int, key: RandomKey) -> tuple[Tensor, Tensor]:
    """Draw weight (C, D) and bias (C,) as ``torch.nn.Linear`` does: uniform within 1 / sqrt(D)."""
    import torch

    source, bound = key.torch("evar/init"), inputs**-0.5
    weight = (torch.rand(classes, inputs, generator=source) * 2 - 1) * bound
    bias = (torch.rand(classes, generator=source) * 2 - 1) * bound
    return weight.requires_grad_(), bias.requires_grad_()


def _tensor(values: np.ndarray) -> Tensor:
    import torch

    return torch.from_numpy(np.asarray(values, dtype=np.float32))
