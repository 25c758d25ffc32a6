"""The averaged copy that a student learns from (specification m2d 4.2)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from auricle.objectives.base import Progress


def decay_at(progress: Progress, init: float, end: float) -> float:
    """Linear from ``init`` at the first micro-step to ``end`` at the last."""
    return init + (end - init) * progress.micro_step / max(1, progress.micro_steps - 1)


@torch.no_grad()
def ema_update(target: Iterable[nn.Parameter], online: Iterable[torch.Tensor], decay: float) -> None:
    """target <- decay * target + (1 - decay) * online, all tensors together, in float32."""
    averaged: list[torch.Tensor] = list(target)
    torch._foreach_mul_(averaged, decay)
    torch._foreach_add_(averaged, [*online], alpha=1.0 - decay)
