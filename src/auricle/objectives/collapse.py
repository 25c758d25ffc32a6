"""Have the targets collapsed? What their variance consists of, and how many directions it fills.

At small scale the published M2D target falls to a constant of the clip within some hundred steps: the predictor then only has
to say which clip it is (or how loud). These shares say so while it happens.
"""

from __future__ import annotations

import torch
from torch import Tensor

RANK_GUARD = 2.2e-16  # specification m2d 5.4


def effective_rank(features: Tensor) -> float:
    """RankMe of (n, D) rows: exp of the entropy of the normalised singular values (specification m2d 5.4); 1 to D."""
    values = torch.linalg.svdvals(features.float())
    shares = values / values.sum() + RANK_GUARD
    return float(torch.exp(-(shares * shares.log()).sum()))


def target_shares(target: Tensor, ids: Tensor) -> dict[str, float]:
    """Targets (B, M, D) of tokens ``ids`` (B, M) -> shares of their mean square, and the effective rank of what varies.

    constant: one vector for all tokens; clip: the mean of each clip beside it; position: the mean of each position beside it.
    The shares overlap where clips see different positions, so they need not add up to the whole.
    """
    target = target.float()
    total = target.square().mean().clamp(min=1e-12)
    mean = target.mean(dim=(0, 1))
    clip = target.mean(dim=1) - mean
    position = position_means(target, ids) - mean
    centred = (target - mean).flatten(0, 1)
    return {
        "target_constant": float(mean.square().mean() / total),
        "target_clip": float(clip.square().mean() / total),
        "target_position": float(position.square().mean() / total),
        "target_rank": effective_rank(centred[:2048]),
    }


def position_means(target: Tensor, ids: Tensor) -> Tensor:
    """(B, M, D) -> (B, M, D): each token replaced by the mean over the batch of the tokens at its position."""
    flat, index = target.flatten(0, 1), ids.flatten()
    sums = flat.new_zeros(int(index.max()) + 1, flat.shape[1]).index_add_(0, index, flat)
    counts = torch.bincount(index).clamp(min=1).to(flat.dtype)
    return (sums / counts[:, None])[index].view_as(target)
