"""Optimisers by name, in the fused form that PyTorch offers."""

from __future__ import annotations

from typing import Any

import torch

from auricle.training.adam import Adam

BETAS = {"adamw": (0.9, 0.95), "adam": (0.9, 0.98)}  # specifications m2d 5.3, mae_ast 9
EPS = {"adamw": 1e-8, "adam": 1e-6}


def make_optimiser(
    groups: list[dict[str, Any]], name: str, lr: float, betas: tuple[float, ...] = (), eps: float = 0.0
) -> torch.optim.Optimizer:
    """AdamW with betas (0.9, 0.95) and eps 1e-8 (specification m2d 5.3), MAE-AST's Adam with (0.9, 0.98) and 1e-6
    (specification mae_ast 9), or SGD with momentum 0.9 and no decay (m2d 5.1). ``betas`` and ``eps`` replace those."""
    if name == "sgd":
        return torch.optim.SGD([{**group, "weight_decay": 0.0} for group in groups], lr=lr, momentum=0.9)
    beta1, beta2 = betas or BETAS[name]
    if name == "adam":
        return Adam(groups, lr, (beta1, beta2), eps or EPS[name])
    return torch.optim.AdamW(groups, lr=lr, betas=(beta1, beta2), eps=eps or EPS[name], fused=True)
