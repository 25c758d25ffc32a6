"""EVAR's linear probe, step by step: a layer trained by Adam with early stopping.

Source: [evaluation 2](docs/specification/evaluation.md#s2).

There is no search for a learning rate and no schedule; on small sets the published 3e-5 is far from convergence, so
scores measure the optimiser as much as the encoder. ``logistic`` is the converged form. PyTorch is imported on use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from auricle.core.randomness import RandomKey
from auricle.evaluation.probes.base import Features, ProbeData, StandardScaler, class_targets_only
from auricle.evaluation.splits import Split
from auricle.evaluation.targets import ClassTargets, Targets

if TYPE_CHECKING:
    from torch import Generator, Tensor

    Layers = tuple[tuple[Tensor, Tensor], ...]

LEARNING_RATE = 3e-4
# EVAR's own for M2D and ATST-Frame; all other encoders have 3e-4 ([evaluation 1.4](docs/specification/evaluation.md#s1-4))
PUBLISHED_RATES = {"m2d": 3e-5}
HOLD_OUT_TRIES = 100
DROPPED = 0.5  # of the values of a hidden layer
MIXUP = 0.1


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
        hidden: Sizes of hidden layers, each with ReLU and a dropout of 0.5; none: a linear layer.
        standardise: Standardise by the training part.
        mixup: Mix each clip with another of its batch, by draws of Beta(0.1, 0.1).
    """

    lr: float = LEARNING_RATE
    epochs: int = 200
    patience: int = 20
    batch_size: int = 200
    weight_decay: float = 1e-8
    hold_out: float = 0.1
    hidden: tuple[int, ...] = ()
    standardise: bool = True
    mixup: bool = False

    def fit_predict(self, features: Features, targets: Targets, split: Split, key: RandomKey) -> np.ndarray:
        """Return probabilities (n_test, C) of the weights of the best epoch."""
        classes, data = class_targets_only(targets), ProbeData.of(features, targets, split)
        scale = StandardScaler.fit(data.train) if self.standardise else _unchanged  # before the hold-out, as published
        train, valid_rows = np.ones(len(split.train), dtype=bool), split.valid
        valid = scale(data.valid) if len(split.valid) else None
        if valid is None:
            held_out = draw_hold_out(data.train_targets, key, self.hold_out)
            train, valid_rows = ~held_out, split.train[held_out]
            valid = scale(data.train)[held_out]
        layers = self._fit(scale(data.train)[train], data.train_targets[train], valid, valid_rows, classes, key)
        logits = outputs(layers, _tensor(scale(data.test)))
        return (logits.sigmoid() if data.multilabel else logits.softmax(1)).double().numpy()

    def _fit(
        self,
        train: np.ndarray,
        train_targets: np.ndarray,
        valid: np.ndarray,
        valid_rows: np.ndarray,
        targets: ClassTargets,
        key: RandomKey,
    ) -> Layers:
        """The layers of the epoch with the best validation score."""
        import torch

        x, y, valid_x = _tensor(train), _tensor(train_targets), _tensor(valid)
        layers = best = initial_layers((x.shape[1], *self.hidden, y.shape[1]), key)
        tensors = [tensor for layer in layers for tensor in layer]
        optimizer = torch.optim.Adam(tensors, lr=self.lr, weight_decay=self.weight_decay)
        stopping, shuffle = EarlyStopping(self.patience), key.torch("evar/shuffle")
        dropout, mixing = key.torch("evar/dropout"), key.of("evar/mixup")
        for _ in range(self.epochs):
            for rows in torch.randperm(len(x), generator=shuffle).split(min(self.batch_size, len(x))):
                batch, wanted = _mixed(x[rows], y[rows], mixing) if self.mixup else (x[rows], y[rows])
                loss = evar_loss(outputs(layers, batch, dropout), wanted, multilabel=targets.multilabel)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            with torch.no_grad():
                stop = stopping.stop(targets.merit(outputs(layers, valid_x).numpy(), valid_rows))
            if stopping.best_epoch == stopping.epoch:
                best = tuple((weight.detach().clone(), bias.detach().clone()) for weight, bias in layers)
            if stop:
                break
        return tuple((weight.detach(), bias.detach()) for weight, bias in best)


def outputs(layers: Layers, x: Tensor, dropout: Generator | None = None) -> Tensor:
    """Return the logits (n, C) of features (n, D); hidden values are dropped by the generator, where one is given."""
    import torch

    *hidden, (weight, bias) = layers
    for inner, shift in hidden:
        x = (x @ inner.T + shift).relu()
        if dropout is not None:
            x = x * (torch.rand(x.shape, generator=dropout) >= DROPPED) / (1 - DROPPED)
    return x @ weight.T + bias


def _mixed(x: Tensor, y: Tensor, source: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Each row with another of the batch, and their targets, by one share per row."""
    import torch

    share = torch.from_numpy(source.beta(MIXUP, MIXUP, size=(len(x), 1)).astype(np.float32))
    other = torch.from_numpy(source.permutation(len(x)))
    return share * x + (1 - share) * x[other], share * y + (1 - share) * y[other]


def _unchanged(features: np.ndarray) -> np.ndarray:
    return features


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


def initial_layers(sizes: Sequence[int], key: RandomKey) -> Layers:
    """Draw weight (out, in) and bias (out,) of each layer as ``torch.nn.Linear`` does: uniform within 1 / sqrt(in)."""
    import torch

    source = key.torch("evar/init")

    def drawn(inputs: int, *shape: int) -> Tensor:
        return ((torch.rand(*shape, generator=source) * 2 - 1) * inputs**-0.5).requires_grad_()

    return tuple((drawn(size, after, size), drawn(size, after)) for size, after in pairwise(sizes))


def _tensor(values: np.ndarray) -> Tensor:
    import torch

    return torch.from_numpy(np.asarray(values, dtype=np.float32))
