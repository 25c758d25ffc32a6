"""Optimisers by name, in the fused form that PyTorch offers."""

from __future__ import annotations

from typing import Any

import torch


def make_optimiser(groups: list[dict[str, Any]], name: str, lr: float) -> torch.optim.Optimizer:
    """AdamW with betas (0.9, 0.95) and eps 1e-8, or SGD with momentum 0.9 and no decay (specification m2d 5.1, 5.3)."""
    if name == "sgd":
        return torch.optim.SGD([{**group, "weight_decay": 0.0} for group in groups], lr=lr, momentum=0.9)
    return torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95), eps=1e-8, fused=True)
