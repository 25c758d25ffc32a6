"""InfoNCE within a clip, and reconstruction, over masked tokens (specification mae_ast 7). Everything in float32.

``real`` (B, M) is False for padding, which is neither asked nor offered nor counted; None: all tokens are real.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

NEVER = -1e30  # the score of padding: its probability is exactly 0, and rows of nothing else stay finite


def token_nce(
    prediction: Tensor, target: Tensor, real: Tensor | None = None, *, among: str = "targets"
) -> tuple[Tensor, Tensor]:
    """(B, M, P) pairs -> (B, M) loss in nats (0 for padding) and (B, M) bool, whether a token found its partner.

    Raw dot products, no temperature; negatives are the other masked tokens of the same clip. ``among="targets"``: which
    target belongs to a prediction (MAE-AST); ``"predictions"``: which prediction belongs to a target, found by the
    predictions all the same (SSAST).
    """
    prediction, target = prediction.float(), target.float()
    asked, offered = (prediction, target) if among == "targets" else (target, prediction)
    with torch.autocast(prediction.device.type, enabled=False):
        scores = torch.bmm(asked, offered.transpose(1, 2))
    if real is not None:
        scores = scores.masked_fill(~real[:, None, :], NEVER)
    partner = torch.arange(scores.shape[1], device=scores.device).expand(scores.shape[:2])
    loss = functional.cross_entropy(scores.flatten(0, 1), partner.flatten(), reduction="none").view(partner.shape)
    found = _best(scores.detach(), real, among) == partner
    return (loss, found) if real is None else (loss * real, found & real)


def _best(scores: Tensor, real: Tensor | None, among: str) -> Tensor:
    if among == "targets":
        return scores.argmax(dim=-1)
    chances = scores.log_softmax(dim=-1)  # SSAST looks down the columns of the row-wise probabilities
    return (chances if real is None else chances.masked_fill(~real[:, :, None], NEVER)).argmax(dim=1)


def info_nce(
    prediction: Tensor, target: Tensor, real: Tensor | None = None, *, among: str = "targets"
) -> tuple[Tensor, Tensor]:
    """(B, M, P) pairs -> mean loss in nats and accuracy, the share that finds its partner; see ``token_nce``."""
    loss, found = token_nce(prediction, target, real, among=among)
    return mean_of(loss, real), mean_of(found.float(), real)


def token_error(reconstruction: Tensor, target: Tensor) -> Tensor:
    """(B, M, P) pairs -> (B, M) mean squared difference per token."""
    return (reconstruction.float() - target.float()).square().mean(dim=-1)


def reconstruction_loss(reconstruction: Tensor, target: Tensor, real: Tensor | None = None) -> Tensor:
    """(B, M, P) pairs -> mean squared difference, a scalar."""
    if real is None:
        return functional.mse_loss(reconstruction.float(), target.float())
    return mean_of(token_error(reconstruction, target), real)


def mean_of(values: Tensor, real: Tensor | None) -> Tensor:
    """(B, M) -> the mean over the real tokens of all clips."""
    return values.mean() if real is None else (values * real).sum() / real.sum()
