"""Heads that turn one vector into logits: linear, mlp, norm-linear, prototype."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.models.heads.base import (
    COSINE_SCALE,
    MOST_INPUTS,
    MOST_LAYERS,
    Standardise,
    VectorHead,
    checked_stats,
    cosine,
    head_rule,
)
from auricle.models.layers.init import keyed, linear_rule


class LinearHead(VectorHead):
    """One linear layer. ``uniform`` draws its weights as PyTorch does: uniform within 1 / sqrt(input_dim)."""

    kind = "linear"

    def __init__(self, input_dim: int, num_classes: int, reads: str = "clip", *, uniform: bool = False, seed: int = 0):
        super().__init__(input_dim, num_classes, reads)
        self.linear = nn.Linear(input_dim, num_classes)
        keyed(self, seed, linear_rule if uniform else head_rule, prefix="heads")

    def vector_logits(self, x: Tensor) -> Tensor:
        return self.linear(x.to(self.linear.weight.dtype)).float()

    @torch.no_grad()
    def fold_input_stats(self, mean: Tensor, std: Tensor) -> None:
        """Change weights that were fitted on (x - mean) / std, so that the head reads x. A feature of std 0 is not divided.

        Args:
            mean, std: (D,) of the features.

        Raises:
            AuricleError: for another number of features, and for values that are no mean and standard deviation.
        """
        mean, std = (values.double() for values in checked_stats(mean, std, self.input_dim))
        weight = self.linear.weight.double() / std
        self.linear.bias.copy_(self.linear.bias.double() - weight @ mean)
        self.linear.weight.copy_(weight)


class MLPHead(VectorHead):
    """Linear, GELU, dropout, linear."""

    kind = "mlp"

    def __init__(
        self,
        input_dim: int,
        num_classes: int,
        reads: str = "clip",
        *,
        hidden_dim: int = 512,
        dropout: float = 0.0,
        seed: int = 0,
    ):
        super().__init__(input_dim, num_classes, reads)
        if not 1 <= hidden_dim <= MOST_INPUTS or not 0 <= dropout < 1:
            raise AuricleError(
                f"an mlp head needs 1 <= hidden_dim <= {MOST_INPUTS:,} and 0 <= dropout < 1, not {hidden_dim} and {dropout}"
            )
        self.hidden_dim = hidden_dim
        self.fc1 = nn.Linear(input_dim, hidden_dim)
        self.dropout = nn.Dropout(dropout)
        self.fc2 = nn.Linear(hidden_dim, num_classes)
        keyed(self, seed, head_rule, prefix="heads")

    def vector_logits(self, x: Tensor) -> Tensor:
        return self.fc2(self.dropout(nn.functional.gelu(self.fc1(x.to(self.fc1.weight.dtype))))).float()

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"hidden_dim": self.hidden_dim, "dropout": self.dropout.p}


class NormLinearHead(VectorHead):
    """EVAR's head: batch norm without scale and shift, then linear layers with ReLU, and dropout between hidden layers.

    The weights are normal with standard deviation 0.01, the biases 0 ([finetuning 4.2](docs/specification/finetuning.md#s4-2)).
    """

    kind = "norm-linear"

    def __init__(
        self,
        input_dim: int,
        num_classes: int,
        reads: str = "clip",
        *,
        hidden: Sequence[int] = (),
        dropout: float = 0.5,
        seed: int = 0,
    ):
        super().__init__(input_dim, num_classes, reads)
        self.hidden, self.dropout = tuple(hidden), dropout
        if len(self.hidden) > MOST_LAYERS or not all(1 <= size <= MOST_INPUTS for size in self.hidden):
            raise AuricleError(
                f"a norm-linear head has up to {MOST_LAYERS} hidden layers of 1 to {MOST_INPUTS:,} units"
            )
        self.norm = nn.BatchNorm1d(input_dim, affine=False)
        layers: list[nn.Module] = []
        for place, (narrow, wide) in enumerate(zip((input_dim, *self.hidden), self.hidden)):
            layers += [*([nn.Dropout(dropout)] if place else []), nn.Linear(narrow, wide), nn.ReLU()]
        if len(self.hidden) > 0:
            layers.append(nn.Dropout(dropout))
        layers.append(nn.Linear((input_dim, *self.hidden)[-1], num_classes))
        self.mlp = nn.Sequential(*layers)
        keyed(self, seed, evar_rule, prefix="heads")

    def vector_logits(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., C). In training, the statistics of the batch; a batch of one uses the running ones."""
        x = x.to(next(self.mlp.parameters()).dtype)
        flat = x.reshape(-1, x.shape[-1])
        if self.training and (len(flat) > 1 or not isinstance(self.norm, nn.BatchNorm1d)):
            normal = self.norm(flat)
        else:
            normal = nn.functional.batch_norm(flat, self.norm.running_mean, self.norm.running_var, eps=self.norm.eps)
        return self.mlp(normal.view(x.shape)).float()

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"hidden": list(self.hidden), "dropout": self.dropout}


class PrototypeHead(VectorHead):
    """One prototype per class: ``scale * cosine(x, prototype) + bias`` of the standardised x, with a learnt scale."""

    kind = "prototype"

    def __init__(self, input_dim: int, num_classes: int, reads: str = "clip", *, seed: int = 0):
        super().__init__(input_dim, num_classes, reads)
        self.standardise = Standardise(input_dim)
        self.prototypes = nn.Linear(input_dim, num_classes, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(math.log(COSINE_SCALE)))
        self.bias = nn.Parameter(torch.zeros(num_classes))
        keyed(self.prototypes, seed, head_rule, prefix="heads.prototypes")

    def set_input_stats(self, mean: Tensor, std: Tensor) -> None:
        """Set mean and standard deviation (D,) of the features. Raises as ``Standardise.set``."""
        self.standardise.set(mean, std)

    def vector_logits(self, x: Tensor) -> Tensor:
        similarity = cosine(self.standardise(x), self.prototypes.weight.float())
        return self.log_scale.float().exp() * similarity + self.bias.float()


def evar_rule(local: str, owner: nn.Module, parameter: Tensor, generator: torch.Generator) -> None:
    """Initialise a linear layer: weights normal with standard deviation 0.01, biases zero.

    See [finetuning 4.2](docs/specification/finetuning.md#s4-2).
    """
    if local == "bias":
        parameter.zero_()
    else:
        nn.init.normal_(parameter, std=0.01, generator=generator)
