"""Initialisation as a function of (seed, parameter name): the same network whatever was built before it."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from auricle.core.randomness import RandomKey

Rule = Callable[[str, nn.Module, Tensor, torch.Generator], None]


def keyed(module: nn.Module, seed: int | None, rule: Rule, prefix: str = "") -> None:
    """Apply ``rule(local name, owner, tensor, generator)`` to every parameter, each with a generator of its own name.

    A seed of None leaves the parameters as they are: they are read from a file next.
    """
    if seed is None:
        return
    with torch.no_grad():
        for path, owner in module.named_modules():
            for local, parameter in owner.named_parameters(recurse=False):
                name = ".".join(part for part in (prefix, path, local) if part)
                rule(local, owner, parameter, RandomKey(seed).torch("init/" + name))


def transformer_rule(local: str, owner: nn.Module, parameter: Tensor, generator: torch.Generator) -> None:
    """The M2D family's initialisation: Xavier-uniform matrices, zero biases, unit norms, small tokens.

    Source: [m2d 2.5](docs/specification/m2d.md#s2-5).
    """
    if isinstance(owner, nn.LayerNorm):
        parameter.fill_(1.0 if local == "weight" else 0.0)
    elif isinstance(owner, nn.Conv2d) and local == "bias":
        bound = 1 / math.sqrt(owner.weight[0].numel())  # PyTorch's own convolution default
        parameter.uniform_(-bound, bound, generator=generator)
    elif local == "bias":
        parameter.zero_()
    elif parameter.ndim == 3:  # class and mask tokens
        parameter.normal_(std=0.02, generator=generator)
    else:
        nn.init.xavier_uniform_(parameter.flatten(1), generator=generator)


def normal_rule(local: str, owner: nn.Module, parameter: Tensor, generator: torch.Generator) -> None:
    """MAE-AST's encoder and decoder: N(0, 0.02) matrices, zero biases, unit norms.

    Source: [mae_ast 4.4](docs/specification/mae_ast.md#s4-4).
    """
    if isinstance(owner, nn.LayerNorm):
        parameter.fill_(1.0 if local == "weight" else 0.0)
    elif local == "bias":
        parameter.zero_()
    else:
        parameter.normal_(std=0.02, generator=generator)


def linear_rule(local: str, owner: nn.Module, parameter: Tensor, generator: torch.Generator) -> None:
    """The rest of MAE-AST: PyTorch's own linear layers, unit norms, mask tokens in [0, 1).

    Source: [mae_ast 4.4](docs/specification/mae_ast.md#s4-4).
    """
    if isinstance(owner, nn.LayerNorm):
        parameter.fill_(1.0 if local == "weight" else 0.0)
    elif isinstance(owner, nn.Linear):
        bound = 1 / math.sqrt(owner.in_features)
        parameter.uniform_(-bound, bound, generator=generator)
    else:
        parameter.uniform_(0.0, 1.0, generator=generator)
