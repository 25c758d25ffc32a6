"""Train the head of a task: Adam, accumulated gradients, the head of the best validation.

Source: [evaluation 6.1](docs/specification/evaluation.md#s6-1), [6.4](docs/specification/evaluation.md#s6-4).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomKey
from auricle.evaluation.suites.superb.featurizer import Featurizer
from auricle.evaluation.suites.superb.inputs import Inputs
from auricle.evaluation.suites.superb.settings import HeadSettings

Rows = Sequence[int] | np.ndarray
Predictions = dict[int, Tensor]  # by row
Validate = Callable[[Predictions], float]  # higher is better


class Downstream(nn.Module):
    """The sum of the layers and a head; ``encoder`` where it is trained too."""

    def __init__(self, featurizer: Featurizer, head: Any, encoder: nn.Module | None = None):
        super().__init__()
        self.featurizer, self.head = featurizer, head
        self.encoder = encoder

    def loss(self, hidden: Tensor, lengths: Tensor, targets: Any) -> Tensor:
        return self.head.loss(self.featurizer(hidden), lengths, targets)

    @torch.no_grad()
    def predict(self, inputs: Inputs, rows: Rows, batch_size: int) -> Predictions:
        """Return what the head says of every clip, by row."""
        self.eval()
        found: Predictions = {}
        for start in range(0, len(rows), batch_size):
            part = [int(row) for row in rows[start : start + batch_size]]
            hidden, lengths = inputs(part)
            found.update(zip(part, (value.cpu() for value in self.head.predict(self.featurizer(hidden), lengths))))
        return found


@dataclass(frozen=True)
class Trained:
    """A trained head.

    Attributes:
        model: The head with the weights of the best validation, or of the last step without one.
        step: The step that they are from.
        validation: Its score; NaN without a validation part.
        weights: (L,) the soft-max of the layers' weights.
        skipped: Updates that were left out because their gradient was not finite.
    """

    model: Downstream
    step: int
    validation: float
    weights: tuple[float, ...]
    skipped: int


def train_head(
    model: Downstream,
    inputs: Inputs,
    rows: np.ndarray,
    targets: Sequence[Any],
    settings: HeadSettings,
    key: RandomKey,
    *,
    weights: np.ndarray | None = None,
    valid: Rows = (),
    validate: Validate | None = None,
    on_step: Callable[[], None] = lambda: None,
) -> Trained:
    """Train a head, and keep the weights of its best validation.

    Args:
        model: The head.
        inputs: Hidden states of rows.
        rows: (n,) training rows.
        targets: What is to be learnt, by row.
        settings: How.
        key: Key of the order of the clips.
        weights: (n,) how often each training row is drawn, relative to the others; None: each once an epoch.
        valid: Rows of the validation part; without any the last weights are kept.
        validate: Scores predictions of these rows, higher is better.
        on_step: Called after every update.

    Raises:
        AuricleError: No update had a finite gradient.
    """
    make = torch.optim.AdamW if settings.kind == "speakers" else torch.optim.Adam
    optimizer: torch.optim.Optimizer = make([p for p in model.parameters() if p.requires_grad], lr=settings.lr)
    drawn, best, skipped = batches(rows, weights, settings.batch_size, key), None, 0
    for step in range(1, settings.steps + 1):
        model.train()
        for _ in range(settings.accumulate):
            part = next(drawn)
            hidden, lengths = inputs(part, True)
            loss = model.loss(hidden, lengths, _chosen(targets, part, hidden.device)) / settings.accumulate
            loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
        if torch.isfinite(norm):
            optimizer.step()
        else:
            skipped += 1
        optimizer.zero_grad()
        on_step()
        if validate is not None and len(valid) and (step % settings.checks == 0 or step == settings.steps):
            score = validate(model.predict(inputs, valid, settings.batch_size))
            if best is None or score > best[0]:
                best = (score, step, copy.deepcopy(model.state_dict()))
    if skipped == settings.steps:
        raise AuricleError(
            "every update had a gradient that is not finite; the features or the learning rate are wrong"
        )
    if best is not None:
        model.load_state_dict(best[2])
    score, step = best[:2] if best is not None else (float("nan"), settings.steps)
    model.eval()
    return Trained(model, step, score, tuple(model.featurizer.weights.softmax(0).tolist()), skipped)


def batches(rows: np.ndarray, weights: np.ndarray | None, size: int, key: RandomKey) -> Iterator[list[int]]:
    """Yield batches without end: every row once an epoch in a new order, or drawn by weight with repetition.

    A last batch of one clip is left out.
    """
    source = key.of("superb/order")
    share = None if weights is None else weights / weights.sum()
    while True:
        order = source.permutation(rows) if share is None else source.choice(rows, len(rows), p=share)
        for start in range(0, len(order), size):
            batch = [int(row) for row in order[start : start + size]]
            if len(batch) > 1 or len(order) == 1:  # a batch norm needs two clips
                yield batch


def _chosen(targets: Sequence[Any], rows: Sequence[int], device: torch.device) -> Any:
    """The targets of rows: one tensor where all have one shape, else a list."""
    chosen = [targets[row] for row in rows]
    return torch.stack(chosen).to(device) if len({len(target) for target in chosen}) == 1 else chosen


def class_weights(labels: Sequence[int]) -> np.ndarray:
    """Return (n,) weights with which every class is drawn equally often."""
    values = np.asarray(labels)
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return 1.0 / counts[place]
