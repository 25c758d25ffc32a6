"""The data2vec-like variant (specification m2d 4.7): the target encoder sees every patch; all else is M2D."""

from __future__ import annotations

import torch
from torch import Tensor

from auricle.models.masks import Mask
from auricle.models.vit import take
from auricle.objectives.m2d import M2D


class M2DD2V(M2D):
    """What it says of the masked patches it says knowing the visible ones, which M2D's target never sees."""

    @torch.no_grad()
    def targets(self, patches: Tensor, mask: Mask) -> Tensor:
        """(B, M, D): the target encoder on all patches in spatial order; its tokens at the masked places."""
        everywhere = torch.arange(patches.shape[1], device=patches.device).expand(len(patches), -1)
        return take(self.target_of(patches, everywhere), mask.hidden)
