"""Have the targets collapsed? What their variance consists of, and how many directions it fills.

At small scale the published M2D target falls to a constant of the clip within some hundred steps: the predictor then only has
to say which clip it is (or how loud). These shares say so while it happens.
"""

from __future__ import annotations

import torch
from torch import Tensor

from auricle.metrics.rank import rank_me


def target_shares(target: Tensor, ids: Tensor) -> dict[str, float]:
    """Targets (B, M, D) of tokens ``ids`` (B, M) -> shares of their mean square, and the effective rank (RankMe) of what varies.

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
        "target_rank": rank_me(centred[:2048].cpu().numpy()),
    }


def position_means(target: Tensor, ids: Tensor) -> Tensor:
    """(B, M, D) -> (B, M, D): each token replaced by the mean over the batch of the tokens at its position."""
    flat, index = target.flatten(0, 1), ids.flatten()
    sums = flat.new_zeros(int(index.max()) + 1, flat.shape[1]).index_add_(0, index, flat)
    counts = torch.bincount(index).clamp(min=1).to(flat.dtype)
    return (sums / counts[:, None])[index].view_as(target)
