"""Losses of MAE-AST over masked tokens: InfoNCE within a clip, and reconstruction, in float32.

Source: [mae_ast 7](docs/specification/mae_ast.md#s7).

``real`` (B, M) is False for padding, which takes no part in a loss; None: all tokens are real.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from auricle.methods.base import token_error

PADDING_SCORE = -1e30  # its probability is exactly 0, and rows of padding alone stay finite


def token_nce(
    prediction: Tensor, target: Tensor, real: Tensor | None = None, *, among: str = "targets"
) -> tuple[Tensor, Tensor]:
    """Compute the matching loss of each token by raw dot products, without temperature.

    Negatives are the other masked tokens of the same clip.

    Args:
        prediction, target: (B, M, P).
        among: "targets": which target belongs to a prediction (MAE-AST); "predictions": which prediction belongs to a
            target, while a match is still decided by the predictions (SSAST).

    Returns:
        The loss (B, M) in nats, 0 for padding, and a bool (B, M), True if the token matches its partner.
    """
    prediction, target = prediction.float(), target.float()
    queries, keys = (prediction, target) if among == "targets" else (target, prediction)
    with torch.autocast(prediction.device.type, enabled=False):
        scores = torch.bmm(queries, keys.transpose(1, 2))
    if real is not None:
        scores = scores.masked_fill(~real[:, None, :], PADDING_SCORE)
    partner = torch.arange(scores.shape[1], device=scores.device).expand(scores.shape[:2])
    loss = functional.cross_entropy(scores.flatten(0, 1), partner.flatten(), reduction="none").view(partner.shape)
    matched = _best(scores.detach(), real, among) == partner
    return (loss, matched) if real is None else (loss * real, matched & real)


def _best(scores: Tensor, real: Tensor | None, among: str) -> Tensor:
    if among == "targets":
        return scores.argmax(dim=-1)
    log_probs = scores.log_softmax(dim=-1)  # SSAST takes the best row of each column of the row-wise probabilities
    return (log_probs if real is None else log_probs.masked_fill(~real[:, :, None], PADDING_SCORE)).argmax(dim=1)


def info_nce(
    prediction: Tensor, target: Tensor, real: Tensor | None = None, *, among: str = "targets"
) -> tuple[Tensor, Tensor]:
    """Return the mean loss in nats and the accuracy, the ratio of tokens that match their partner; see ``token_nce``."""
    loss, matched = token_nce(prediction, target, real, among=among)
    return mean_of(loss, real), mean_of(matched.float(), real)


def reconstruction_loss(reconstruction: Tensor, target: Tensor, real: Tensor | None = None) -> Tensor:
    """Return the mean squared difference of (B, M, P) pairs, a scalar."""
    if real is None:
        return functional.mse_loss(reconstruction.float(), target.float())
    return mean_of(token_error(target, reconstruction, "mse"), real)


def mean_of(values: Tensor, real: Tensor | None) -> Tensor:
    """Return the mean of values (B, M) over the real tokens of all clips."""
    return values.mean() if real is None else (values * real).sum() / real.sum()
