"""How far a prediction is from a feature target (specification m2d 4.1 point 5)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

VARIANCE_GUARD = 1e-6  # specification m2d 4.1


def standardised(target: Tensor) -> Tensor:
    """Each token (…, D) to zero mean and unit (unbiased) variance over its channels."""
    mean, variance = target.mean(dim=-1, keepdim=True), target.var(dim=-1, keepdim=True)
    return (target - mean) / (variance + VARIANCE_GUARD).sqrt()


def token_error(target: Tensor, prediction: Tensor, loss_fn: str) -> Tensor:
    """(…, D) pairs -> (…) errors, float32: 2 - 2 cosine for "norm_mse" (0 to 4), the mean squared difference for "mse"."""
    target, prediction = target.float(), prediction.float()
    if loss_fn == "mse":
        return (target - prediction).square().mean(dim=-1)
    target, prediction = functional.normalize(target, dim=-1), functional.normalize(prediction, dim=-1)
    return 2 - 2 * (target * prediction).sum(dim=-1)
