"""HEAR's classifier on frozen embeddings: a small network, its settings chosen from a grid on a validation part.

Source: [evaluation 7.4](docs/specification/evaluation.md#s7-4). Inputs are not normalised, as published. As in the published
program the order of the training rows is drawn once, not in every epoch; ``reshuffle`` is the usual form.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from auricle.core.randomness import RandomKey

Validate = Callable[[np.ndarray], tuple[float, Any]]


@dataclass(frozen=True)
class PredictorSettings:
    """One point of the grid, and how long it learns.

    Attributes:
        hidden_layers: Layers before the last one.
        hidden_dim: Width of the hidden layers.
        dropout: Share of hidden values that is dropped in training.
        lr: Learning rate of Adam.
        initialisation: "uniform" or "normal": Xavier's, with the gain of the activation before the layer.
        batch_size: Rows per step.
        epochs: The most epochs.
        check_every: Epochs between two validations.
        patience: Validations without a better score after which training stops.
        reshuffle: Draw a new order of the rows in every epoch.
    """

    hidden_layers: int = 2
    hidden_dim: int = 1024
    dropout: float = 0.1
    lr: float = 1e-3
    initialisation: str = "uniform"
    batch_size: int = 1024
    epochs: int = 500
    check_every: int = 3
    patience: int = 20
    reshuffle: bool = False


@dataclass(frozen=True)
class Grid:
    """Settings that are tried: all combinations, of which ``points`` are drawn.

    Attributes:
        hidden_layers, lrs, initialisations: Values of the settings.
        base: The other settings.
        points: Combinations that are tried.
    """

    hidden_layers: tuple[int, ...] = (1, 2)
    lrs: tuple[float, ...] = (3.2e-3, 1e-3, 3.2e-4, 1e-4)
    initialisations: tuple[str, ...] = ("uniform", "normal")
    base: PredictorSettings = field(default_factory=PredictorSettings)
    points: int = 8

    def candidates(self, key: RandomKey) -> list[PredictorSettings]:
        """Return the settings to try, drawn by the key."""
        every = [
            PredictorSettings(**{**vars(self.base), "hidden_layers": layers, "lr": lr, "initialisation": start})
            for layers, lr, start in product(self.hidden_layers, self.lrs, self.initialisations)
        ]
        order = key.of("hear/grid").permutation(len(every))[: self.points]
        return [every[i] for i in order]


GRIDS = {
    "default": Grid(),
    "fast": Grid(base=PredictorSettings(epochs=50, check_every=3)),
    "faster": Grid((0, 1), base=PredictorSettings(hidden_dim=128, epochs=10, check_every=1, patience=3), points=2),
}


@dataclass(frozen=True)
class FittedPredictor:
    """A trained predictor.

    Attributes:
        settings: Its settings.
        network: The weights of the best validation.
        validation: Its score, higher is better.
        choice: What the validation chose beside it, such as a decoding of events.
        epoch: Epochs that it had learnt.
        multilabel: Whether classes exclude each other.
    """

    settings: PredictorSettings
    network: nn.Module
    validation: float
    choice: Any
    epoch: int
    multilabel: bool

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Return probabilities (n, C) of features (n, D)."""
        return _probabilities(self.network, _tensor(features), self.multilabel)


def make_network(inputs: int, classes: int, settings: PredictorSettings, key: RandomKey) -> nn.Sequential:
    """Return the network: hidden layers of linear, batch norm, dropout and ReLU, then a linear layer (n, C)."""
    source, layers, width, before = key.torch("hear/init"), list[nn.Module](), inputs, 1.0
    start = nn.init.xavier_uniform_ if settings.initialisation == "uniform" else nn.init.xavier_normal_
    for number in range(settings.hidden_layers + 1):
        hidden = number < settings.hidden_layers
        linear = nn.Linear(width, settings.hidden_dim if hidden else classes)
        with torch.no_grad():
            start(linear.weight, gain=before, generator=source)
            linear.bias.uniform_(-(width**-0.5), width**-0.5, generator=source)
        layers.append(linear)
        if hidden:
            layers += [nn.BatchNorm1d(settings.hidden_dim), nn.Dropout(settings.dropout), nn.ReLU()]
            width, before = settings.hidden_dim, nn.init.calculate_gain("relu")
    return nn.Sequential(*layers)


def fit_predictor(
    features: np.ndarray,
    targets: np.ndarray,
    valid: np.ndarray,
    validate: Validate,
    settings: PredictorSettings,
    key: RandomKey,
    *,
    multilabel: bool,
) -> FittedPredictor:
    """Train one predictor with early stopping.

    Args:
        features: (n, D) of the training rows.
        targets: (n, C) of 0 and 1.
        valid: (m, D) of the validation rows.
        validate: Takes probabilities (m, C); returns a score, higher is better, and what it chose.
        settings: The settings.
        key: Key of initialisation and order; dropout draws from the default generator, which is seeded by it.
        multilabel: Whether classes exclude each other.
    """
    order = torch.from_numpy(key.of("hear/order").permutation(len(features)))
    x, y, valid_x = _tensor(features)[order], _tensor(targets)[order], _tensor(valid)
    network = make_network(x.shape[1], y.shape[1], settings, key)
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.lr)
    source, best, waited = (
        key.torch("hear/shuffle"),
        FittedPredictor(settings, network, -np.inf, None, 0, multilabel),
        0,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(key.of("hear/dropout").integers(2**62)))
        for epoch in range(1, settings.epochs + 1):
            rows = torch.randperm(len(x), generator=source) if settings.reshuffle else torch.arange(len(x))
            _train_epoch(network.train(), optimizer, x, y, _batches(rows, settings.batch_size), multilabel)
            if epoch % settings.check_every and epoch != settings.epochs:
                continue
            score, choice = validate(_probabilities(network, valid_x, multilabel))
            waited += 1
            if np.isfinite(score) and score > best.validation:
                state = {name: value.detach().clone() for name, value in network.state_dict().items()}
                best, kept, waited = FittedPredictor(settings, network, score, choice, epoch, multilabel), state, 0
            if waited >= settings.patience:
                break
    if best.epoch:
        network.load_state_dict(kept)
    network.eval()
    return best


def fit_best(
    candidates: Sequence[PredictorSettings],
    fit: Callable[[PredictorSettings], FittedPredictor],
) -> FittedPredictor:
    """Fit every candidate and return the one with the best validation score (the first of equal ones)."""
    best: FittedPredictor | None = None
    for settings in candidates:
        found = fit(settings)
        if best is None or found.validation > best.validation:
            best = found
    assert best is not None
    return best


def _batches(rows: Tensor, size: int) -> list[Tensor]:
    """Rows in batches; a last batch of one row joins the one before, because batch norm needs two."""
    parts = list(rows.split(size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def _train_epoch(
    network: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, batches: list[Tensor], multilabel: bool
) -> None:
    for rows in batches:
        if len(rows) == 1:  # one training row in all: its mean and variance are no statistics
            network.eval()
        logits = network(x[rows])
        if multilabel:
            loss = nn.functional.binary_cross_entropy_with_logits(logits, y[rows])
        else:
            loss = nn.functional.cross_entropy(logits, y[rows].argmax(1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.no_grad()
def _probabilities(network: nn.Module, x: Tensor, multilabel: bool) -> np.ndarray:
    network.eval()
    logits = torch.cat([network(part) for part in x.split(8192)]) if len(x) else torch.zeros(0, 1)
    return (logits.sigmoid() if multilabel else logits.softmax(1)).double().numpy()


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))
