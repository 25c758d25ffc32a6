"""Mix clips of a batch with each other: mixup of inputs, labels and teacher outputs, and MixStyle of spectrograms.

Functions that compute take the drawn numbers; functions named ``draw_…`` draw them from the keys of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from auricle.core.randomness import BatchKey

STYLE_EPS = 1e-6  # [efficientat_training 8](docs/specification/efficientat_training.md#s8)


@dataclass(frozen=True)
class Mix:
    """Shares and partners of mixup.

    Attributes:
        share: (B,) float32, the share of each clip itself.
        partner: (B,) int64, the clip of the batch that gives the rest; may be the clip itself.
    """

    share: Tensor
    partner: Tensor

    def __call__(self, values: Tensor) -> Tensor:
        """Return share * values + (1 - share) * values[partner], for values (B, …)."""
        share = self.share.to(values).view(-1, *[1] * (values.ndim - 1))
        return share * values + (1 - share) * values[self.partner.to(values.device)]

    def longest(self, lengths: Tensor) -> Tensor:
        """Return the lengths (B,) of the mixtures."""
        return torch.maximum(lengths, lengths[self.partner.to(lengths.device)])


def draw_mix(key: BatchKey, alpha: float, *, fold: bool) -> Mix:
    """Draw mixup: a share Beta(alpha, alpha) per clip and a permutation of the batch.

    Args:
        key: keys of the clips.
        alpha: above 0.
        fold: the clip's own share is the larger one, as EfficientAT
            ([efficientat_training 8](docs/specification/efficientat_training.md#s8)); False: as EVAR
            ([finetuning 3.1](docs/specification/finetuning.md#s3-1)).
    """
    share = np.array([source.beta(alpha, alpha) for source in key.each("mixup")], np.float32)
    if fold:
        share = np.maximum(share, 1 - share)
    partner = key.shared("mixup partner").permutation(len(share))
    return Mix(torch.from_numpy(share), torch.from_numpy(partner))


def mixstyle(values: Tensor, share: Tensor, partner: Tensor) -> Tensor:
    """Give every clip a mixture of its own and its partner's mean and deviation of each band
    ([efficientat_training 8](docs/specification/efficientat_training.md#s8)).

    Args:
        values: (B, F, T) spectrograms. Means and deviations (unbiased) are over time and carry no gradient.
        share: (B,) own share.
        partner: (B,).

    Returns:
        (B, F, T).
    """
    mean = values.mean(2, keepdim=True).detach()
    deviation = (values.var(2, keepdim=True) + STYLE_EPS).sqrt().detach()
    share = share.to(values).view(-1, 1, 1)
    other = partner.to(values.device)
    new_mean = share * mean + (1 - share) * mean[other]
    new_deviation = share * deviation + (1 - share) * deviation[other]
    return (values - mean) / deviation * new_deviation + new_mean


def draw_mixstyle(key: BatchKey, ratio: float, alpha: float) -> Mix | None:
    """Draw MixStyle: None (no change) unless a uniform number of the batch is at most ``ratio``."""
    if key.shared("mixstyle").random() > ratio:
        return None
    share = np.array([source.beta(alpha, alpha) for source in key.each("mixstyle share")], np.float32)
    partner = key.shared("mixstyle partner").permutation(len(share))
    return Mix(torch.from_numpy(share), torch.from_numpy(partner))
