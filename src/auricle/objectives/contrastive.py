"""InfoNCE within a clip, and reconstruction, over masked tokens (specification mae_ast 7). Everything in float32."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def info_nce(
    prediction: Tensor, target: Tensor, real: Tensor | None = None, *, among: str = "targets"
) -> tuple[Tensor, Tensor]:
    """(B, M, P) pairs -> loss in nats and accuracy (the share that finds its partner), both scalars.

    Raw dot products, no temperature; negatives are the other masked tokens of the same clip. ``among="targets"``: which
    target belongs to a prediction (MAE-AST); ``"predictions"``: which prediction belongs to a target, its accuracy
    counted over predictions (SSAST). ``real`` (B, M) is False for padding, which is neither asked nor offered.
    """
    prediction, target = prediction.float(), target.float()
    asked, offered = (prediction, target) if among == "targets" else (target, prediction)
    with torch.autocast(prediction.device.type, enabled=False):
        scores = torch.bmm(asked, offered.transpose(1, 2))
    partner = torch.arange(scores.shape[1], device=scores.device).expand(scores.shape[:2])
    if real is not None:
        scores = scores.masked_fill(~real[:, None, :], -torch.inf)
        partner = partner.masked_fill(~real, -100)
    loss = functional.cross_entropy(scores.flatten(0, 1), partner.flatten(), ignore_index=-100)
    return loss, _found(scores.detach(), partner, among)


@torch.no_grad()
def _found(scores: Tensor, partner: Tensor, among: str) -> Tensor:
    if among == "predictions":  # by column of the row-wise probabilities, as SSAST does
        share = scores.log_softmax(dim=-1).masked_fill((partner < 0)[..., None], -torch.inf)
        best = share.argmax(dim=1)
    else:
        best = scores.argmax(dim=-1)
    return (best == partner).sum() / (partner >= 0).sum()


def token_error(reconstruction: Tensor, target: Tensor) -> Tensor:
    """(B, M, P) pairs -> (B, M) mean squared difference per token."""
    return (reconstruction.float() - target.float()).square().mean(dim=-1)


def reconstruction_loss(reconstruction: Tensor, target: Tensor, real: Tensor | None = None) -> Tensor:
    """(B, M, P) pairs -> mean squared difference over the real tokens."""
    if real is None:
        return functional.mse_loss(reconstruction.float(), target.float())
    return token_error(reconstruction, target)[real].mean()
