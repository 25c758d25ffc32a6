"""Distances between predicted and target tokens, in float32."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

VARIANCE_GUARD = 1e-6  # added to the variance before the root (specification m2d 4.1)


def standardize_tokens(target: Tensor) -> Tensor:
    """Scale each token (…, D) to zero mean and unit (unbiased) variance over its channels."""
    mean, variance = target.mean(dim=-1, keepdim=True), target.var(dim=-1, keepdim=True)
    return (target - mean) / (variance + VARIANCE_GUARD).sqrt()


def token_error(target: Tensor, prediction: Tensor, loss_fn: str) -> Tensor:
    """Compute the error of each token (specification m2d 4.1 point 5).

    Args:
        target, prediction: (…, D).
        loss_fn: "norm_mse", 2 - 2 cosine (0 to 4), or "mse", the mean squared difference.

    Returns:
        (…) float32.
    """
    target, prediction = target.float(), prediction.float()
    if loss_fn == "mse":
        return (target - prediction).square().mean(dim=-1)
    target, prediction = functional.normalize(target, dim=-1), functional.normalize(prediction, dim=-1)
    return 2 - 2 * (target * prediction).sum(dim=-1)
