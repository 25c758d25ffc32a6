"""Optimisers by name: AdamW, SGD, and MAE-AST's Adam."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

BETAS = {"adamw": (0.9, 0.95), "adam": (0.9, 0.98)}  # specifications m2d 5.3, mae_ast 9
EPS = {"adamw": 1e-8, "adam": 1e-6}


def make_optimizer(
    groups: list[dict[str, Any]], name: str, lr: float, betas: tuple[float, ...] = (), eps: float | None = None
) -> torch.optim.Optimizer:
    """Return an optimiser, in the fused form that PyTorch offers.

    Args:
        groups: parameters and their weight decay.
        name: "adamw", with betas (0.9, 0.95) and eps 1e-8 (specification m2d 5.3); "adam", MAE-AST's, with (0.9, 0.98) and
            1e-6 (specification mae_ast 9); "sgd", with momentum 0.9 and no decay (specification m2d 5.1).
        betas, eps: replace those.
    """
    if name == "sgd":
        return torch.optim.SGD([{**group, "weight_decay": 0.0} for group in groups], lr=lr, momentum=0.9)
    beta1, beta2 = betas or BETAS[name]
    if name == "adam":
        return Adam(groups, lr, (beta1, beta2), EPS[name] if eps is None else eps)
    return torch.optim.AdamW(groups, lr=lr, betas=(beta1, beta2), eps=EPS[name] if eps is None else eps, fused=True)


class Adam(torch.optim.Optimizer):
    """MAE-AST's Adam: decay before the update, eps added to the uncorrected root (specification mae_ast 9).

    Per update t = 1, 2, … of a parameter p with gradient g:

    m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,  p <- p - lr wd p,
    p <- p - lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + eps).

    Parameters without a gradient (layers that were dropped) are skipped, and their t does not advance. This is PyTorch's
    fused AdamW with eps / sqrt(1 - b2^t) in place of eps, at the same speed. All parameters of a group must be on one
    device in one precision.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient. Raises ValueError for a closure."""
        if closure is not None:
            raise ValueError("this optimiser takes no closure")
        for group in self.param_groups:
            for t, members in self._by_age(group["params"]).items():
                self._update(group, t, members)

    def _by_age(self, parameters: list[Tensor]) -> dict[int, list[Tensor]]:
        """Return the parameters that have a gradient, by the number of their coming update."""
        ages: dict[int, list[Tensor]] = defaultdict(list)
        for parameter in parameters:
            if parameter.grad is not None:
                state = self.state[parameter] or self._fresh(parameter)
                state["step"] += 1
                ages[int(state["step"])].append(parameter)
        return ages

    def _fresh(self, parameter: Tensor) -> dict[str, Tensor]:
        self.state[parameter] = {
            "step": torch.tensor(0.0),
            "exp_avg": torch.zeros_like(parameter),
            "exp_avg_sq": torch.zeros_like(parameter),
        }
        return self.state[parameter]

    def _update(self, group: dict[str, Any], t: int, members: list[Tensor]) -> None:
        beta1, beta2 = group["betas"]
        torch._fused_adamw_(  # type: ignore[attr-defined]
            members,
            [parameter.grad for parameter in members if parameter.grad is not None],
            [self.state[parameter]["exp_avg"] for parameter in members],
            [self.state[parameter]["exp_avg_sq"] for parameter in members],
            [],
            [torch.full((), float(t), device=members[0].device)] * len(members),
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"] / (1 - beta2**t) ** 0.5,
            amsgrad=False,
            maximize=False,
        )
