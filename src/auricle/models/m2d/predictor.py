"""The decoder of masked pre-training: from what was seen to every grid cell ([m2d 4.1](docs/specification/m2d.md#s4-1) point 3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from auricle.models.layers.transformer import Transformer, grid_table, take
from auricle.models.m2d.config import PredictorConfig
from auricle.models.masking.patches import Mask


class Predictor(nn.Module):
    """latent (B, 1 + K, D) of the visible tokens -> (B, N, out) for all tokens in spatial order."""

    pos_embed: Tensor

    def __init__(self, config: PredictorConfig, embed_dim: int, grid: tuple[int, int], out: int):
        super().__init__()
        inner = config.decoder_embed_dim
        self.embed = nn.Linear(embed_dim, inner)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, inner))
        self.register_buffer("pos_embed", grid_table(inner, grid))
        self.transformer = Transformer(inner, config.decoder_depth, config.decoder_num_heads)
        self.project = nn.Linear(inner, out)

    def forward(self, latent: Tensor, mask: Mask) -> Tensor:
        return self.project(self.inner(latent, mask)[:, 1:])

    def hidden(self, latent: Tensor, mask: Mask) -> Tensor:
        """(B, M, out): the masked tokens only, in the mask's order; the last block and what follows skip the others.

        Tokens stay in the mask's order: attention does not care, and positions are looked up.
        """
        x, positions = self.embed(latent), self.pos_embed[0]
        seen = x + torch.cat([positions[:1].expand(len(x), 1, -1), positions[1:][mask.visible]], dim=1)
        hidden = self.mask_token + positions[1:][mask.hidden]
        return self.project(self.transformer.tail(torch.cat([seen, hidden.to(seen.dtype)], dim=1), hidden.shape[1]))

    def inner(self, latent: Tensor, mask: Mask) -> Tensor:
        """(B, 1 + N, d): the class token, then all tokens in spatial order, after the final norm."""
        x = self.embed(latent)
        hidden = self.mask_token.to(x.dtype).expand(len(x), mask.hidden.shape[1], -1)
        tokens = take(torch.cat([x[:, 1:], hidden], dim=1), mask.ids_restore)
        return self.transformer(torch.cat([x[:, :1], tokens], dim=1) + self.pos_embed)
